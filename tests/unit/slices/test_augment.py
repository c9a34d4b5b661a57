"""Augmentation: what each kind of change does, alone."""

import torch

from ich_seq.config import AugmentConfig
from ich_seq.slices.augment import augment, draw

OFF = AugmentConfig(flip_probability=0, shift_fraction=0, rotate_deg=0, scale_fraction=0, brightness=0, contrast=0)
TILES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_without_any_change_tiles_come_back() -> None:
    torch.testing.assert_close(
        augment(TILES, OFF, draw(4)), TILES, rtol=0, atol=1e-5
    )  # bilinear at the pixels' own centres


def test_a_certain_flip_mirrors_left_and_right() -> None:
    flipped = augment(TILES, OFF.model_copy(update={"flip_probability": 1.0}), draw(4))
    torch.testing.assert_close(flipped, TILES.flip(-1), rtol=0, atol=1e-5)


def test_a_certain_vertical_flip_mirrors_top_and_bottom_and_leaves_the_sides() -> None:
    flipped = augment(TILES, OFF.model_copy(update={"vertical_flip_probability": 1.0}), draw(4))
    torch.testing.assert_close(flipped, TILES.flip(-2), rtol=0, atol=1e-5)


def test_a_turned_tile_is_mirrored_after_the_turn() -> None:
    turned = OFF.model_copy(update={"rotate_deg": 90.0})
    both = turned.model_copy(update={"vertical_flip_probability": 1.0})
    draws = draw(4)
    draws.angle.fill_(1.0)
    plain, mirrored = augment(TILES, turned, draws), augment(TILES, both, draws)
    quarter = torch.rot90(TILES, 1, (-2, -1))
    torch.testing.assert_close(plain, quarter, rtol=0, atol=1e-4)  # sines of 90 degrees in float32
    assert any(torch.allclose(mirrored, quarter.flip(axis), atol=1e-4) for axis in (-1, -2))


def test_a_shift_moves_the_picture_and_brings_in_air() -> None:
    torch.manual_seed(0)
    shifted = augment(torch.ones(64, 1, 32, 32), OFF.model_copy(update={"shift_fraction": 0.25}), draw(64))
    share = shifted.mean(dim=(1, 2, 3))
    # At most a quarter of rows and of columns leave: at least 0.75 * 0.75 of the tile stays.
    assert share.min() >= 0.75**2 - 1e-4
    assert share.min() < 0.8
    assert share.max() <= 1


def test_tiles_stay_between_0_and_1_and_air_stays_air() -> None:
    torch.manual_seed(0)
    tiles = torch.cat((torch.zeros(8, 1, 32, 32), torch.ones(8, 1, 32, 32)))
    changed = augment(tiles, AugmentConfig(brightness=0.5, contrast=0.5), draw(16))
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert changed[:8].abs().max() == 0


def test_the_same_seed_draws_the_same_changes() -> None:
    pictures = []
    for _ in range(2):
        torch.manual_seed(3)
        pictures.append(augment(TILES, AugmentConfig(), draw(4)))
    assert torch.equal(*pictures)


def test_each_tile_of_a_batch_has_its_own_draw() -> None:
    torch.manual_seed(3)
    same = TILES[:1].repeat(2, 1, 1, 1)
    first, second = augment(same, AugmentConfig(), draw(2))
    assert not torch.allclose(first, second)


def test_a_tile_is_changed_alike_in_a_batch_in_parts_and_alone() -> None:
    torch.manual_seed(3)
    draws = draw(4)
    whole = augment(TILES, AugmentConfig(), draws)
    for places in (slice(0, 1), slice(1, 4), torch.tensor([3, 0])):
        torch.testing.assert_close(augment(TILES[places], AugmentConfig(), draws.of(places)), whole[places])

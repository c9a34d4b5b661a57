"""Several networks from several seeds: each as if alone, each resumed, the best on the validation patients kept."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from kills import digests

from ich_seq.config import Config, LstmConfig, TrainLstmConfig
from ich_seq.errors import CheckpointError
from ich_seq.sequence.dataset import Scan
from ich_seq.sequence.seeds import SeededFit, Watch, keep_best, train_seeds
from ich_seq.sequence.train import train_lstm
from ich_seq.training.loop import FitResult, Progress

WEIGHTS = "**/lstm.safetensors"


def scan(slices: int, seed: int) -> Scan:
    """Labels follow the first coordinates, so that there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    reduced = torch.randn(slices, 8, generator=generator)
    prob = torch.rand(slices, 6, generator=generator)
    return Scan(
        f"series {seed}", tuple(f"{seed}.{k}" for k in range(slices)), reduced, prob, (reduced[:, :6] > 0.5).float()
    )


SCANS = {
    "stage_one": [scan(5, 1)],
    "stage_two": [scan(6 + k, 10 + k) for k in range(6)],
    "validation": [scan(9, 30 + k) for k in range(3)],
}


def config(seeds: int) -> Config:
    train = TrainLstmConfig(
        epochs=3, batch_size=2, learning_rate=1e-2, reverse_probability=0.5, blend="validation", seeds=seeds
    )
    return Config(name="seeds", about="Small.", seed=3, lstm=LstmConfig(hidden=4, layers=2), train_lstm=train)


@contextlib.contextmanager
def silent(number: int) -> Iterator[Callable[[Progress], None]]:
    yield lambda progress: None


def fitted(folder: Path, seeds: int, watch: Watch = silent) -> list[SeededFit]:
    fits = train_seeds(config(seeds), SCANS, folder, "cpu", watch)
    keep_best(fits, folder)
    return fits


def losses(log: Path) -> list[float]:
    return [json.loads(line)["validation"]["loss"] for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    fitted(folder, 3)
    return folder


def test_a_single_network_lies_where_it_always_did(tmp_path: Path) -> None:
    train_lstm(config(1), SCANS, tmp_path / "direct", "cpu")
    fitted(tmp_path / "one", 1)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "direct").iterdir()}
    assert not any(name.startswith("seed_") for name in names)
    assert digests(tmp_path / "one", WEIGHTS) == digests(tmp_path / "direct", WEIGHTS)


def test_number_0_of_three_is_the_network_of_a_run_with_one_seed(three: Path, tmp_path: Path) -> None:
    fitted(tmp_path, 1)
    assert digests(three / "seed_0", WEIGHTS) == digests(tmp_path, WEIGHTS)
    assert losses(three / "seed_0" / "metrics.jsonl") == losses(tmp_path / "metrics.jsonl")


def test_each_seed_gives_another_network_and_each_is_that_seeds_own(three: Path, tmp_path: Path) -> None:
    assert len({digests(three / f"seed_{k}", WEIGHTS)["lstm.safetensors"] for k in range(3)}) == 3
    train_lstm(config(1).model_copy(update={"seed": 3 + 2}), SCANS, tmp_path, "cpu")
    assert digests(three / "seed_2", WEIGHTS) == digests(tmp_path, WEIGHTS)


def test_interrupted_in_the_second_of_three_it_continues_there_to_the_same_weights(three: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, int]] = []

    @contextlib.contextmanager
    def until_the_second_epoch_of_the_second(number: int) -> Iterator[Callable[[Progress], None]]:
        def stop(progress: Progress) -> None:
            if (number, progress.epoch, progress.step) == (1, 1, 2):
                raise KeyboardInterrupt

        yield stop

    @contextlib.contextmanager
    def noting(number: int) -> Iterator[Callable[[Progress], None]]:
        yield lambda progress: steps.append((number, progress.epoch, progress.step))

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, 3, until_the_second_epoch_of_the_second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed_0", "seed_1"]
    fitted(tmp_path, 3, noting)
    assert steps[0] == (1, 1, 1)  # the first network is not fitted again, nor the first epoch of the second
    assert len(digests(three, WEIGHTS)) == 4
    assert digests(tmp_path, WEIGHTS) == digests(three, WEIGHTS)


def test_the_network_with_the_lowest_validation_loss_is_kept_with_its_log(three: Path) -> None:
    best = min(range(3), key=lambda k: min(losses(three / f"seed_{k}" / "metrics.jsonl")))
    kept = digests(three / f"seed_{best}", WEIGHTS)
    assert digests(three, "lstm.safetensors") == kept
    assert losses(three / "metrics.jsonl") == losses(three / f"seed_{best}" / "metrics.jsonl")


@pytest.mark.parametrize(
    ("best_losses", "expected"), [((0.5, 0.3, 0.4), 1), ((0.5, 0.4, 0.3), 2), ((0.3, 0.4, 0.3), 0)]
)
def test_the_first_of_the_lowest_is_kept(tmp_path: Path, best_losses: tuple[float, ...], expected: int) -> None:
    fits = [made(tmp_path, number, loss) for number, loss in enumerate(best_losses)]
    assert keep_best(fits, tmp_path) is fits[expected]
    for name in ("lstm.safetensors", "metrics.jsonl"):
        assert (tmp_path / name).read_text() == f"{name} {expected}"


def made(base: Path, number: int, loss: float) -> SeededFit:
    """A finished fit by hand."""
    folder = base / f"seed_{number}"
    folder.mkdir()
    for name in ("lstm.safetensors", "metrics.jsonl"):
        (folder / name).write_text(f"{name} {number}")
    return SeededFit(7 + number, folder, FitResult(0, loss, False, []))


def test_other_data_are_refused_by_the_folder_of_the_seed(three: Path) -> None:
    other = SCANS | {"validation": [scan(9, 99)]}
    with pytest.raises(CheckpointError, match=r"seed_0/last\.pt: made with another config or other data"):
        train_seeds(config(3), other, three, "cpu", silent)

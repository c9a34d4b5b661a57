"""Where heat is drawn, and its colours: never on air or bone, and told from grey by every eye."""

import numpy as np
import pytest

from ich_seq.report.heat_picture import Plane, colours, drawable, overlay
from ich_seq.report.heat_sheet import Sheet, draw_sheet

# Severity 1.0. Source: Machado, Oliveira, Fernandes 2009, 10.1109/TVCG.2009.113, table 1.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def head(side: int = 100) -> np.ndarray:
    """A head in air: a disc of tissue in a ring of bone under skin, with a cavity of air, and a table below it."""
    y, x = np.mgrid[:side, :side] - side / 2
    radius = np.hypot(y, x)
    hu = np.full((side, side), -1000, np.float32)
    hu[radius < 40] = 40
    hu[(radius > 30) & (radius < 36)] = 900
    hu[(radius > 32) & (radius < 34)] = 120  # marrow
    hu[np.hypot(y - 10, x) < 6] = -900
    hu[-4:-2] = 100
    return hu


def test_heat_is_drawn_inside_the_head_on_neither_air_nor_bone() -> None:
    hu = head()
    found = drawable(hu, 1.0)
    assert not found[hu >= 200].any()
    assert not found[hu < -200].any()
    assert not found[-4:-2].any()
    y, x = np.mgrid[:100, :100] - 50
    assert not found[(np.hypot(y, x) > 31) & (np.hypot(y, x) < 35)].any()
    tissue = (np.hypot(y, x) < 29) & (np.hypot(y - 10, x) > 7)
    assert found[tissue].all()


@pytest.mark.parametrize("pixel_mm", [0.45, 1.0])
def test_a_head_holder_that_touches_the_head_is_none_of_it(pixel_mm: float) -> None:
    """A shell of 6 mm in the form of a U whose arms reach the skin, as a real one does at an ear."""
    side = round(200 / pixel_mm)
    y, x = (np.mgrid[:side, :side] - side / 2) * pixel_mm
    hu = np.full((side, side), -1000, np.float32)
    inside = np.hypot(y, x) < 70
    arms = (np.abs(np.abs(x) - 73) < 3) & (y > -5)
    hu[arms | ((np.abs(y - 85) < 3) & (np.abs(x) < 76))] = 100
    hu[inside] = 40
    found = drawable(hu, pixel_mm)
    assert found[np.hypot(y, x) < 69].all()
    outside = np.hypot(y, x) > 76
    assert (hu[outside] == 100).any()
    assert not found[outside].any()


def test_a_slice_of_air_has_nowhere_to_draw() -> None:
    assert not drawable(np.full((20, 20), -1000, np.float32), 0.5).any()


@pytest.mark.parametrize("drawn", [True, False])
def test_nothing_shows_below_the_threshold_nor_where_heat_may_not_be_drawn(drawn: bool) -> None:
    hu = head()
    plane = Plane(hu, drawable(hu, 1.0), 1.0)
    heat = np.full(hu.shape, 0.7, np.float32)
    laid = overlay(heat, plane, drawn)
    assert (laid.rgba[..., 3] > 0).any() == drawn
    assert not laid.rgba[~plane.drawable, 3].any()
    assert laid.hidden_share == pytest.approx(1 - plane.drawable.mean())


def test_equal_heat_is_equal_colour_whatever_else_is_in_the_picture() -> None:
    plane = Plane(np.full((4, 4), 40, np.float32), np.ones((4, 4), bool), 1.0)
    cold, hot = np.full((4, 4), 0.2, np.float32), np.full((4, 4), 0.2, np.float32)
    hot[0, 0] = 5
    assert (overlay(cold, plane, True).rgba[3] == overlay(hot, plane, True).rgba[3]).all()


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_are_told_from_grey_and_brighten_with_heat_for_every_eye(sight: str) -> None:
    """CIELAB: a difference of 2.3 is just noticed; grey has no chroma."""
    share = np.linspace(0, 1, 8)
    linear = ((colours(share) / 255 + 0.055) / 1.055) ** 2.4
    xyz = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1) @ TO_XYZ.T / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness, chroma = 116 * f[:, 1] - 16, np.hypot(500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2]))
    assert chroma.min() > 3 * 2.3
    assert np.diff(lightness).min() > 2.3


def test_a_sheet_has_the_slice_twice_and_a_bar_of_50_mm() -> None:
    from PIL import Image

    grey, clear = Image.new("L", (400, 300), 90), Image.new("RGBA", (400, 300))
    picture = np.asarray(draw_sheet(Sheet(grey, clear, 0.5, "heading", ("line",))))
    flat = (picture == 90).all(axis=2)
    columns = np.flatnonzero(flat.any(axis=0))
    assert columns.max() - columns.min() + 1 == 2 * 400 + 8
    bar = (picture[:, : picture.shape[1] // 2] == (236, 240, 244)).all(axis=2).sum(axis=1).max()
    assert bar == pytest.approx(50 / 0.5, abs=4)  # strokes of 2 pixels stand at either end

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ich_seq.dicom.spacing import analyse_spacing


def analyse(positions, thickness=None):
    return analyse_spacing(list(map(float, positions)), [thickness] * len(positions))


def test_equal_steps_are_complete_and_silent():
    spacing = analyse(np.arange(30) * 5.0)
    assert (spacing.spacing_mm, spacing.variable, spacing.gaps) == (5.0, False, ())


def test_a_missing_slice_is_a_gap_after_its_neighbour():
    positions = [0, 5, 10, 20, 25, *range(30, 150, 5)]
    (gap,) = analyse(positions).gaps
    assert (gap.after_mm, gap.gap_mm, gap.missing) == (10.0, 10.0, 1)


def test_one_slice_missing_of_thirty_is_a_warning_but_no_refusal():
    spacing = analyse([p for p in range(0, 150, 5) if p != 50])
    assert spacing.gaps
    assert not spacing.refused


def test_above_ten_percent_missing_is_refused():
    spacing = analyse([p for p in range(0, 150, 5) if p not in (20, 50, 80, 110)])  # 4 of 30
    assert spacing.missing_share == pytest.approx(4 / 30)
    assert spacing.refused


def test_a_gap_above_20_mm_is_refused_however_long_the_series():
    spacing = analyse([p for p in range(0, 600, 5) if not 100 < p < 125])
    assert spacing.gaps[0].gap_mm == 25.0
    assert spacing.refused


@pytest.mark.parametrize(("excess_mm", "refused"), [(0.0, False), (4e-7, False), (0.002, True)])
def test_a_gap_of_20_mm_is_the_widest_whatever_rounding_adds(excess_mm, refused):
    """Four of 45 slices, 4 mm apart, are missing side by side: 8.9 %, a gap of 20 mm."""
    spacing = analyse([4.0 * i + (excess_mm if i > 20 else 0) for i in range(45) if not 16 < i < 21])
    assert spacing.gaps[0].gap_mm == pytest.approx(20 + excess_mm)
    assert spacing.refused is refused


def test_ten_percent_missing_is_not_yet_too_much():
    spacing = analyse([p for p in range(0, 150, 5) if p not in (20, 60, 100)])  # 3 of 30
    assert spacing.missing_share == pytest.approx(0.1)
    assert not spacing.refused


@pytest.mark.parametrize(("last_step", "gaps"), [(7.5, 0), (7.6, 1)])
def test_a_step_of_one_and_a_half_times_the_others_is_the_widest_that_is_no_gap(last_step, gaps):
    assert len(analyse([0, 5, 10, 15, 20, 20 + last_step]).gaps) == gaps


@pytest.mark.parametrize(("step", "variable"), [(5.09, False), (5.11, True), (10.19, False), (10.21, True)])
def test_steps_are_equal_within_a_tenth_of_a_millimetre_or_two_percent(step, variable):
    usual = 5.0 if step < 6 else 10.0
    assert analyse([0, usual, 2 * usual, 3 * usual, 3 * usual + step, 4 * usual + step]).variable is variable


def test_slices_more_than_20_mm_apart_are_refused_even_when_even():
    assert analyse(np.arange(6) * 25.0).refused


def test_spacing_that_changes_once_by_protocol_is_no_gap():
    positions = [*np.arange(14) * 4.45, *(13 * 4.45 + 1.2 + np.arange(14) * 7.78)]
    spacing = analyse(positions)
    assert spacing.gaps == ()
    assert spacing.variable


def test_two_slices_missing_alternately_in_the_middle_are_gaps_not_a_protocol():
    positions = [p for p in range(0, 150, 5) if p not in (50, 60)]
    assert [gap.gap_mm for gap in analyse(positions).gaps] == [10.0, 10.0]


def test_slice_thickness_accounts_for_wide_steps():
    positions = [0, 5, 10, 15, 25, 30, 35]
    thickness = [5.0, 5.0, 5.0, 10.0, 10.0, 5.0, 5.0]
    assert analyse_spacing([float(p) for p in positions], thickness).gaps == ()


@pytest.mark.parametrize(("thickness", "gaps"), [(5.0, 1), (20.5, 1), (1e300, 1)])
def test_an_absurd_slice_thickness_hides_no_gap(thickness, gaps):
    assert len(analyse([p for p in range(0, 150, 5) if p != 50], thickness).gaps) == gaps


def test_overlap_is_no_gap():
    assert analyse(np.arange(60) * 2.5, thickness=5.0).gaps == ()


def test_every_second_slice_and_more_missing_at_random_is_refused():
    kept = np.flatnonzero(np.random.default_rng(0).random(60) < 0.5)
    assert analyse(kept * 5.0).refused


def test_jitter_below_a_tenth_of_a_millimetre_is_silent():
    jitter = np.random.default_rng(1).uniform(-0.04, 0.04, 40)
    spacing = analyse(np.arange(40) * 5.0 + jitter)
    assert not spacing.variable
    assert spacing.gaps == ()


def test_every_second_slice_left_out_of_an_even_stack_is_a_gap_where_the_numbers_leap_too():
    positions = [float(p) for p in range(0, 100, 10)]
    found = analyse_spacing(positions, [5.0] * 10, range(1, 20, 2))
    assert [gap.missing for gap in found.gaps] == [1] * 9
    assert found.refused


@pytest.mark.parametrize(
    ("thickness", "numbers"),
    [(5.0, range(1, 11)), (10.0, range(1, 20, 2)), (None, range(1, 20, 2)), (5.0, [None] * 10)],
    ids=["numbers in sequence", "thickness accounts for it", "no thickness", "no numbers"],
)
def test_an_even_stack_with_wide_steps_may_be_a_protocol(thickness, numbers):
    positions = [float(p) for p in range(0, 100, 10)]
    assert analyse_spacing(positions, [thickness] * 10, list(numbers)).gaps == ()


def test_one_slice_has_no_spacing():
    assert analyse([3.0]).spacing_mm == 0.0


def test_positions_that_do_not_ascend_are_the_callers_slip():
    with pytest.raises(ValueError, match="ascend"):
        analyse([0.0, 5.0, 5.0])


@given(
    count=st.integers(12, 60),
    spacing=st.floats(0.6, 6.0),
    where=st.floats(0.1, 0.9),
    width=st.integers(1, 3),
    thick=st.booleans(),
)
def test_any_slices_missing_inside_an_even_stack_are_found(count, spacing, where, width, thick):
    first = min(max(3, int(where * count)), count - width - 3)
    positions = [i * spacing for i in range(count) if not first <= i < first + width]
    found = analyse(positions, spacing if thick else None)
    assert [gap.missing for gap in found.gaps] == [width]
    # the gap begins at the slice before the first missing one
    assert found.gaps[0].after_mm == pytest.approx((first - 1) * spacing)

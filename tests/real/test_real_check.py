"""`ichseq check` on real series: usable with notes only, or refused as incomplete, as their own description says."""

from pathlib import Path

import pytest

import ich_seq
from ich_seq.study.check import Verdict


@pytest.mark.parametrize(
    ("name", "slices"),
    [("ge_tilt_variable_spacing", 28), ("philips_phantom_5mm", 28), ("rsna_series_ID_52c1ab5a", 32)],
)
def test_a_whole_series_is_usable_with_notes_only(real_data: Path, name: str, slices: int) -> None:
    found = ich_seq.check_study(real_data / name)
    assert (found.verdict, found.exit_code) == (Verdict.USABLE, 0)
    assert {item.severity for item in found.findings} <= {"note"}
    assert found.series is not None
    assert (found.series.slices, found.series.gaps) == (slices, ())


def test_studies_of_which_most_slices_were_left_out_are_refused_with_their_gaps(real_data: Path) -> None:
    checks = [each.check for each in ich_seq.check_studies([real_data / "labelled_studies"])]
    assert len(checks) == 4
    for check in checks:
        assert check.refusal is not None
        assert (check.verdict, check.refusal.code, check.status) == (Verdict.REFUSED, "E-INCOMPLETE", "incomplete")
        assert check.series is not None
        assert check.series.gaps

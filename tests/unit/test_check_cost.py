"""What `benchmarks.check_cost` measures is what it says."""

from dicom_factory import make_series

from benchmarks.check_cost import make_thin, measure
from ich_seq.dicom import read_study_files
from ich_seq.study.thin import ThinScan, as_the_model_knows
from ich_seq.volume import Volume


def test_thin_slices_made_of_a_series_are_one_thin_series_without_a_warning(tmp_path):
    make_series(tmp_path / "thick", 20, size=(64, 64))
    thin = make_thin(tmp_path / "thin", tmp_path / "thick", 200)
    (study,) = read_study_files([thin]).studies
    assert study.chosen is not None
    scan = as_the_model_knows(Volume(study.chosen))
    assert isinstance(scan, ThinScan)
    assert len(study.chosen) == 200
    assert {found.code.value for found in scan.findings} == {"N-MATRIX", "N-THIN-SERIES"}
    assert sum(1 for _ in scan.read()) == len(scan) == 19  # 95 mm and half a thin step at either end


def test_phases_of_a_clean_series_are_timed_and_add_up(tmp_path):
    make_series(tmp_path, 20, size=(64, 64))
    cost = measure(tmp_path, passes=2)
    assert cost.slices == 20
    assert min(cost.headers_ms, cost.bare_ms, cost.digest_ms, cost.read_ms) > 0
    counted = cost.checks_ms + cost.headers_ms + cost.bare_ms + cost.digest_ms
    assert abs(counted - (cost.inventory_ms + cost.read_ms + cost.settle_ms)) < 1e-6

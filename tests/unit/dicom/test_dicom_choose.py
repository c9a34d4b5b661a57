import pytest
from dicom_factory import generate_series_uid, generate_study_uid, make_series

from ich_seq.dicom import read_study_files
from ich_seq.errors import InputRefusedError, SeriesRefusedError

STUDY = "1.2.3.99"


def in_one_study(uid_seed, **values):
    def edit(dataset, _index):
        dataset.StudyInstanceUID = STUDY
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return {"edit": edit, "uid_seed": uid_seed}


def two_series(tmp_path, second, slices=24, **options):
    """A plain series `a` and another `b` in one study; the study's candidates."""
    make_series(tmp_path / "a", 24, **in_one_study("a"))
    make_series(tmp_path / "b", slices, **in_one_study("b", **second), **options)
    (study,) = read_study_files([tmp_path]).studies
    return study


def reason_of(study, uid_seed):
    (candidate,) = [c for c in study.candidates if c.series_instance_uid == generate_series_uid(uid_seed)]
    return candidate


@pytest.mark.parametrize(
    ("second", "options", "reason"),
    [
        ({"ConvolutionKernel": "H60s"}, {}, "a sharp kernel"),
        ({"ContrastBolusAgent": "yes"}, {}, "with contrast"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {}, "a reformat"),
        ({}, {"slices": 12}, "60 mm covered"),
        ({}, {"slices": 200, "spacing_mm": 0.6, "size": (64, 64)}, "0.6 mm apart"),
        ({}, {"slices": 23}, "23 slices"),
        ({}, {"slices": 5, "spacing_mm": 25.0}, "E-INCOMPLETE"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, {}, "E-NOT-AXIAL"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, {}, "E-DERIVED"),
    ],
)
def test_the_plain_soft_tissue_series_wins_and_the_other_is_told_why(tmp_path, second, options, reason):
    study = two_series(tmp_path, second, **options)
    assert study.chosen is not None
    assert study.chosen.series_instance_uid == generate_series_uid("a")
    assert reason_of(study, "a").chosen
    assert not reason_of(study, "b").chosen
    assert reason in reason_of(study, "b").reason


def test_the_reason_of_the_winner_says_what_it_is(tmp_path):
    make_series(tmp_path, 24)
    ((candidate,),) = [study.candidates for study in read_study_files([tmp_path]).studies]
    assert candidate.reason == (
        "the only CT series: axial, no contrast, original slices, soft kernel, 120 mm covered, 5.0 mm apart, "
        "complete, 24 slices"
    )


def test_equal_series_are_decided_by_uid_with_a_warning(tmp_path):
    study = two_series(tmp_path, {})
    assert study.chosen is not None
    assert study.chosen.series_instance_uid == min(generate_series_uid("a"), generate_series_uid("b"))
    assert "W-SERIES-AMBIGUOUS" in {item.code.value for item in study.chosen.findings}


def test_the_user_may_name_another_series(tmp_path):
    two_series(tmp_path, {"ConvolutionKernel": "H60s"})
    wanted = generate_series_uid("b")
    (study,) = read_study_files([tmp_path], series_uid=wanted).studies
    assert study.chosen is not None
    assert study.chosen.series_instance_uid == wanted
    assert reason_of(study, "b").reason.startswith("asked for")
    assert reason_of(study, "a").reason == "another series was asked for"


def test_a_series_that_is_not_there_is_refused(tmp_path):
    make_series(tmp_path, 6)
    with pytest.raises(InputRefusedError, match=r"no CT series with the UID 1\.2\.3"):
        read_study_files([tmp_path], series_uid="1.2.3")


def test_a_named_series_that_must_not_be_scored_stays_refused(tmp_path):
    two_series(tmp_path, {"ImageType": ["DERIVED", "SECONDARY", "MIP"]})
    (study,) = read_study_files([tmp_path], series_uid=generate_series_uid("b")).studies
    assert study.chosen is None
    assert isinstance(study.refusal, SeriesRefusedError)


def test_when_no_series_can_be_scored_the_study_says_how_many(tmp_path):
    make_series(tmp_path / "a", 6, **in_one_study("a", ImageType=["DERIVED", "SECONDARY", "MIP"]))
    make_series(tmp_path / "b", 6, **in_one_study("b", ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is None
    assert str(study.refusal).startswith("none of the 2 CT series can be scored (E-DERIVED, E-NOT-AXIAL)")


def cut(folder):
    """Every file of a folder without its last 100 bytes."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])


def test_a_series_of_which_no_file_can_be_used_is_listed_with_the_reason(tmp_path):
    make_series(tmp_path / "a", 3, **in_one_study("a"))
    make_series(tmp_path / "b", 3, **in_one_study("b"))
    cut(tmp_path / "b")
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    assert study.chosen.series_instance_uid == generate_series_uid("a")
    lost = reason_of(study, "b")
    assert (lost.chosen, lost.slices) == (False, 0)
    assert lost.reason == ("no slice can be used: D-TRUNCATED: Pixel data that end too early: 10140 of 10240 bytes [3]")
    uids = [candidate.series_instance_uid for candidate in study.candidates]
    assert uids == sorted(uids)


def test_a_series_that_is_asked_for_and_cannot_be_used_is_refused_for_its_own_reason(tmp_path):
    make_series(tmp_path / "a", 3, **in_one_study("a"))
    make_series(tmp_path / "b", 3, **in_one_study("b"))
    make_series(tmp_path / "c", 3, **in_one_study("c", PhotometricInterpretation="RGB"))
    cut(tmp_path / "b")
    (study,) = read_study_files([tmp_path], series_uid=generate_series_uid("b")).studies
    assert study.chosen is None
    assert isinstance(study.refusal, SeriesRefusedError)
    assert study.refusal.code == "E-NO-SLICE-LEFT"
    assert "D-TRUNCATED" in str(study.refusal)
    assert "D-NOT-GRAYSCALE" not in str(study.refusal)


def test_each_of_several_studies_has_its_own_choice_or_refusal(tmp_path):
    make_series(tmp_path / "a", 3, uid_seed="a")
    make_series(tmp_path / "b", 3, lambda dataset, _index: setattr(dataset, "RescaleType", "US"), uid_seed="b")
    found = {study.study_instance_uid: study for study in read_study_files([tmp_path]).studies}
    one, two = found[generate_study_uid("a")], found[generate_study_uid("b")]
    assert one.chosen is not None
    assert one.chosen.study_instance_uid == generate_study_uid("a")
    assert isinstance(two.refusal, SeriesRefusedError)
    assert two.refusal.code == "E-NOT-HU"

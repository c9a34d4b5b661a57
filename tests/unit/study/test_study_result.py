"""The format of results: its schema, its versions, its statuses."""

import json

import jsonschema
import pytest
from example_result import example_result
from pydantic import ValidationError

from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.study.result import Status, StudyResult, reading_of, result_schema, schema_from_models, status_of


def test_shipped_schema_is_the_one_of_the_models():
    assert result_schema() == schema_from_models()


def test_shipped_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(result_schema())


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("slices", [1, 10])
def test_results_fit_the_schema(status, slices):
    content = json.loads(example_result(slices, status, gap_after=0).model_dump_json())
    jsonschema.Draft202012Validator(result_schema()).validate(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("status",), "fine"),
        (("input_sha256",), "abc"),
        (("slices", 0, "stage_two", "any"), 1.2),
        (("scan", 0, "label"), "extradural"),
        (("version",), "2.0"),
    ],
)
def test_schema_refuses_what_a_result_never_holds(path, value):
    content = json.loads(example_result().model_dump_json())
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(result_schema()).validate(content)


def test_a_result_survives_json():
    result = example_result()
    assert StudyResult.model_validate_json(result.model_dump_json()) == result


def test_fields_of_a_later_minor_version_are_ignored():
    content = json.loads(example_result().model_dump_json()) | {"version": "1.7", "urgency": "high"}
    content["slices"][0]["explanation"] = "later"
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    assert StudyResult.model_validate(content).slices[0].index == 0


def test_another_major_version_is_refused():
    content = json.loads(example_result().model_dump_json()) | {"version": "2.0"}
    with pytest.raises(ValidationError, match="version"):
        StudyResult.model_validate(content)


def test_no_number_is_refused_as_a_probability():
    content = json.loads(example_result().model_dump_json())
    content["slices"][0]["stage_one"]["any"] = float("nan")
    with pytest.raises(ValidationError):
        StudyResult.model_validate(content)


def test_missing_slices_outweigh_warnings():
    assert status_of(slices_missing=True, warnings=True) is Status.INCOMPLETE
    assert status_of(slices_missing=True, warnings=False) is Status.INCOMPLETE
    assert status_of(slices_missing=False, warnings=True) is Status.WITH_WARNINGS
    assert status_of(slices_missing=False, warnings=False) is Status.COMPLETE


def test_an_incomplete_scan_reads_indeterminate_whatever_the_score():
    result = example_result(status=Status.INCOMPLETE)
    assert {score.reading for score in result.scan} == {"indeterminate"}
    assert reading_of(Status.WITH_WARNINGS) == reading_of(Status.COMPLETE) == "not thresholded"
    assert reading_of(Status.INCOMPLETE, 0.1, 0.5) == reading_of(Status.INCOMPLETE, 0.9, 0.5) == "indeterminate"


def test_a_result_of_version_1_0_is_read_and_fits_the_schema():
    content = json.loads(example_result().model_dump_json()) | {"version": "1.0"}
    for part in content["scan"]:
        del part["calibrated"], part["balanced_threshold"]
    for part in content["slices"]:
        del part["calibrated"]
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    assert StudyResult.model_validate(content).label("any").calibrated is None


def test_every_result_carries_the_notice_and_six_labels_in_order():
    result = example_result()
    assert result.notice == RESEARCH_NOTICE
    assert tuple(score.label for score in result.scan) == LABEL_NAMES


def test_an_unknown_label_is_refused_by_name():
    with pytest.raises(ValueError, match="'extradural'"):
        example_result().label("extradural")
    with pytest.raises(ValueError, match="'extradural'"):
        example_result().slices[0].stage_two.of("extradural")


def test_timing_adds_a_phase_and_changes_nothing_else():
    result = example_result()
    timed = result.with_timing("write", 0.25)
    assert timed.timings_s == {"stage_one": 1.0, "write": 0.25}
    assert timed.model_copy(update={"timings_s": result.timings_s}) == result

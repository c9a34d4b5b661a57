"""StudyResults written out by hand, for tests of what is made from them."""

from ich_seq.labels import LABELS
from ich_seq.study.result import (
    CalibratedProbabilities,
    CandidateSummary,
    Dropped,
    FindingSummary,
    Gap,
    LabelScore,
    ModelIdentity,
    Peak,
    Probabilities,
    SeriesSummary,
    SliceScore,
    Status,
    StudyResult,
    reading_of,
)

SPACING_MM = 5.0


def example_result(
    slices: int = 10, status: Status = Status.COMPLETE, text: str = "text", gap_after: int = 4
) -> StudyResult:
    """A scan whose stage two rises to 0.9 for `any` at slice index 3; `text` stands wherever a header's text could.

    With status incomplete there is a gap of three spacings after slice index `gap_after`.
    """
    gapped = status is Status.INCOMPLETE
    scores = tuple(_slice(index, text, gap_after if gapped else slices) for index in range(slices))
    return StudyResult(
        status=status,
        study_instance_uid=text,
        series_instance_uid=text,
        input_sha256="1" * 64,
        model=ModelIdentity(
            name=text,
            digest="2" * 64,
            trained_on=text,
            backbone="resnext14_8x4d",
            input_size=32,
            windows=((40.0, 80.0),),
            calibrated=False,
            thresholded=False,
        ),
        scan=tuple(_label(name, scores, status) for name in (label.name for label in LABELS)),
        slices=scores,
        series=SeriesSummary(
            slices=slices,
            rows=64,
            columns=80,
            spacing_mm=SPACING_MM,
            coverage_mm=scores[-1].position_mm + SPACING_MM,
            tilt_deg=11.0,
            gaps=(Gap(after_mm=gap_after * SPACING_MM, gap_mm=3 * SPACING_MM),) if gapped else (),
        ),
        candidates=(CandidateSummary(series_instance_uid=text, slices=slices, chosen=True, reason=text),),
        findings=(FindingSummary(code="W-TEST", severity="warning", message=text, what_to_do=text, count=1),),
        dropped=(Dropped(code="D-TEST", reason=text, count=2, in_series=False),),
        timings_s={"stage_one": 1.0},
        versions={"ichseq": text},
    )


def _slice(index: int, text: str, gap_after: int) -> SliceScore:
    position = SPACING_MM * (index + (2 if index > gap_after else 0))
    high = {3: 0.9, 2: 0.5, 4: 0.5}.get(index, 0.1)
    values = {
        label.name: round(high * share, 3) for label, share in zip(LABELS, (0.1, 0.8, 0.6, 0.2, 0.3, 1.0), strict=True)
    }
    return SliceScore(
        index=index,
        sop_instance_uid=text,
        position_mm=position,
        image_position_patient=(0.0, 0.0, position),
        stage_one=Probabilities(**{name: round(value / 2, 4) for name, value in values.items()}),
        stage_two=Probabilities(**values),
    )


def _label(name: str, scores: tuple[SliceScore, ...], status: Status) -> LabelScore:
    title = next(label.title for label in LABELS if label.name == name)
    peaks = {}
    for stage in ("stage_one", "stage_two"):
        highest = max(scores, key=lambda score: getattr(score, stage).of(name))
        peaks[stage] = Peak(
            probability=getattr(highest, stage).of(name),
            slice_index=highest.index,
            position_mm=highest.position_mm,
            sop_instance_uid=highest.sop_instance_uid,
        )
    return LabelScore.model_validate({"label": name, "title": title, "reading": reading_of(status), **peaks})


def calibrated_result(status: Status = Status.COMPLETE) -> StudyResult:
    """The example by a model that calibrates all but epidural (to half of each score) and has thresholds of .5 but for epidural."""
    result = example_result(status=status)
    scan = []
    for score in result.scan:
        known = score.label != "epidural"
        high = score.stage_two.probability
        threshold = 0.5 if known else None
        more = {
            "calibrated": high / 2 if known else None,
            "balanced_threshold": threshold,
            "reading": reading_of(status, high, threshold),
        }
        scan.append(score.model_copy(update=more))
    slices = []
    for score in result.slices:
        values = {label.name: score.stage_two.of(label.name) / 2 for label in LABELS} | {"epidural": None}
        slices.append(score.model_copy(update={"calibrated": CalibratedProbabilities.model_validate(values)}))
    model = result.model.model_copy(update={"calibrated": True, "thresholded": True})
    return result.model_copy(update={"scan": tuple(scan), "slices": tuple(slices), "model": model})

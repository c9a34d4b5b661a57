"""Published figures are whole and stand only where they belong."""

import pytest

from ich_seq.config import shipped_configs
from ich_seq.evaluation.published import ASIP_POINTS, PUBLISHED, PublishedPoint, published_for
from ich_seq.labels import LABEL_NAMES


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.work}, {row.system}, {row.unit}, {row.figure}")
def test_each_row_has_a_source_a_split_and_a_sentence_on_comparing(row) -> None:
    assert row.source
    assert row.split
    assert row.comparable.endswith(".")
    assert row.unit in ("slice", "scan")
    assert set(row.values) in (set(LABEL_NAMES), {"weighted log loss"})
    assert all(0 < value < 1 for value in row.values.values())


def test_stage_two_is_above_stage_one_in_burdujas_table_for_every_label() -> None:
    one, two = (
        next(row.values for row in PUBLISHED if "Burduja" in row.work and row.system == f"stage {n}")
        for n in ("one", "two")
    )
    assert all(two[name] > one[name] for name in LABEL_NAMES)


def test_none_stands_beside_another_dataset() -> None:
    assert published_for("rsna2019") == PUBLISHED
    assert published_for("phantom") == published_for("cq500") == ()


def implied(point: PublishedPoint) -> tuple[float, float]:
    """The share of positives that accuracy, recall and precision leave, and the mean of sensitivity and specificity with it."""
    false_positives = point.recall * (1 / point.precision - 1)  # by positive
    share = (1 - point.accuracy) / (1 - point.recall + false_positives)
    specificity = 1 - false_positives * share / (1 - share)
    return share, (point.recall + specificity) / 2


@pytest.mark.parametrize("point", ASIP_POINTS, ids=lambda point: f"{point.table}, {point.system}")
def test_paper_004s_lines_agree_with_themselves_so_they_were_read_right(point: PublishedPoint) -> None:
    """Three decimals of four figures: F1 follows to .001, the share of positives is RSNA's of any, .143, to about .006."""
    assert 2 * point.recall * point.precision / (point.recall + point.precision) == pytest.approx(point.f1, abs=1.1e-3)
    share, mean = implied(point)
    assert share == pytest.approx(0.146, abs=6e-3)
    if point.system != "average of optimised, windowed":  # .857 is printed twice; its line gives .847
        assert mean == pytest.approx(point.auc, abs=1.2e-3)


def test_the_line_that_was_left_out_contradicts_itself() -> None:
    share, mean = implied(PublishedPoint(6, "weighted, optimised, windowed", 0.944, 0.858, 0.813, 0.909, 0.851))
    assert share > 0.2
    assert mean > 0.89


def test_each_of_paper_004s_single_models_is_a_shipped_config() -> None:
    configs = {point.config for point in ASIP_POINTS if point.config}
    assert configs == {name for name in shipped_configs() if name.startswith("asip2022_")}
    assert len(configs) == 12

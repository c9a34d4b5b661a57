"""What a model says of the real series at hand: that it reads them, not how well (the demo's model knows synthetic heads only).

    .venv/bin/python -m benchmarks.real_series --model runs/demo/model

Writes `benchmarks/results/real_series.md`. The real files are found through ICHSEQ_REAL_DATA, by default ../shared/data.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np

from ich_seq.dicom import ReadOptions
from ich_seq.files import write_text
from ich_seq.labels import LABELS
from ich_seq.metrics import roc_auc
from ich_seq.model.bundle import read_info
from ich_seq.study.model import load_model
from ich_seq.study.score import FailedStudy, score_studies

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
SERIES = ("rsna_series_ID_52c1ab5a", "ge_tilt_variable_spacing", "philips_phantom_5mm", "labelled_studies/*")


def series_rows(data: Path, model: object) -> list[str]:
    """One table row a series: status, slices, codes, and both stages' scan scores for each label."""
    rows = []
    for pattern in SERIES:
        for folder in sorted(data.glob(pattern)):
            for outcome in score_studies([folder], model, options=ReadOptions(allow_incomplete=True)):  # type: ignore[arg-type]
                if isinstance(outcome, FailedStudy):
                    rows.append(f"| {folder.name} | refused: {outcome.error.message} |" + " |" * (2 + len(LABELS)))
                    continue
                result = outcome.result
                codes = ", ".join(finding.code for finding in result.findings)
                scores = " | ".join(
                    f"{score.stage_one.probability:.2f} / {score.stage_two.probability:.2f}" for score in result.scan
                )
                rows.append(f"| {folder.name} | {result.status} | {len(result.slices)} | {codes} | {scores} |")
    return rows


def slice_rows(data: Path, model: object) -> list[str]:
    """Each label's AUC and mean probability on the 25 single slices, each scored as a scan of one slice."""
    with (data / "rsna_slices" / "stage_2_train.csv").open(encoding="utf-8-sig") as file:
        truth = {row["ID"]: int(row["Label"]) for row in csv.DictReader(file)}
    scores: dict[str, tuple[list[int], list[float]]] = {label.name: ([], []) for label in LABELS}
    for path in sorted((data / "rsna_slices").glob("*.dcm")):
        (outcome,) = score_studies([path], model, options=ReadOptions(allow_incomplete=True))  # type: ignore[arg-type]
        if isinstance(outcome, FailedStudy):
            raise outcome.error
        for score in outcome.result.scan:
            known, found = scores[score.label]
            known.append(truth[f"{path.stem}_{score.label}"])
            found.append(score.stage_one.probability)
    rows = []
    for label in LABELS:
        known, found = (np.array(values) for values in scores[label.name])
        means = [f"{found[known == kind].mean():.2f}" if (known == kind).any() else "-" for kind in (1, 0)]
        rows.append(
            f"| {label.title} | {known.sum()} of {len(known)} | {means[0]} | {means[1]} | {roc_auc(known, found):.2f} |"
        )
    return rows


def main() -> None:
    """Scores and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/demo/model"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    data = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data"))
    info, model = read_info(args.model), load_model(args.model)
    labels = " | ".join(label.abbreviation for label in LABELS)
    newline = "\n"
    page = f"""# What the model `{info.name}` says of real series

`.venv/bin/python -m benchmarks.real_series`. {info.trained_on.description}
These rows show that real series are read, ordered and scored; they say nothing about accuracy, and nothing was tuned
on them. Scores: stage one / stage two, maximum over slices.

| series | status | slices | codes | {labels} |
| --- | --- | ---: | --- |{" --- |" * len(LABELS)}
{newline.join(series_rows(data, model))}

## 25 single RSNA slices, each scored alone by stage one

| label | positive | mean score of positives | of negatives | AUC (25 slices: no evidence) |
| --- | --- | ---: | ---: | ---: |
{newline.join(slice_rows(data, model))}
"""
    write_text(args.out / "real_series.md", page)
    print(page)


if __name__ == "__main__":
    main()

"""RSNA 2019's size, simulated: seconds and peak memory of every step that does not look at pixels.

    .venv/bin/python -m benchmarks.rsna_size --work /tmp/rsna_size

A generated table of 874,035 rows with 3.6 GB of generated embeddings, each step in a process of its own; 50,000 DICOM files that are
nearly all header for `index`. About half an hour on one core and 6 GB of disk, which are freed. Writes
`benchmarks/results/rsna_size.json` and `.md`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.processes import ICHSEQ, timed
from benchmarks.rsna_steps import STEPS
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.training.run import machine

RESULTS = Path(__file__).parent / "results"
LIMIT_MB, LIMIT_EVALUATION_S = 8_000, 300
NEEDED_GB = 6.5
IMAGES = 50_000


def generate(work: Path, share: float) -> dict[str, Any]:
    """Everything the steps read, in `work`, and how large it became."""
    from benchmarks.generated import RSNA_TEST, RSNA_TRAIN, make_table, scaled, write_images, write_labels, write_parts
    from ich_seq.labels import LABEL_NAMES
    from ich_seq.manifest.table import write_table

    table = make_table((scaled(RSNA_TRAIN, share), scaled(RSNA_TEST, share)))
    write_table(table, work / "table.parquet")
    write_labels(work / "labels.csv", table.iloc[: scaled(RSNA_TRAIN, share).slices])
    identities = write_parts(work / "features", table)
    write_text(work / "identities.txt", "\n".join(identities))
    images = table.iloc[: round(IMAGES * min(1.0, 10 * share))]
    write_images(work / "images", images)
    patients = table.groupby("patient_id")[list(LABEL_NAMES)].max().mean()
    return {
        "slices": len(table),
        "series": table["series_instance_uid"].nunique(),
        "patients": table["patient_id"].nunique(),
        "images": len(images),
        "slice_prevalence": table[list(LABEL_NAMES)].mean().round(4).to_dict(),
        "patient_prevalence": patients.round(4).to_dict(),
    }


def measure(work: Path, names: list[str], lstm_scans: int) -> dict[str, dict[str, Any]]:
    """Each step by its name: seconds, peak memory, and what it says of itself; also those measured earlier in the same `work`."""
    for name in names:
        command: tuple[str, ...] = (sys.executable, "-m", "benchmarks.rsna_steps", name, str(work), str(lstm_scans))
        if name == "index":
            jobs = str(len(os.sched_getaffinity(0)))
            places = ("--root", str(work / "images"), "--out", str(work / "index.parquet"))
            command = (*ICHSEQ, "index", "rsna2019", *places, "--jobs", jobs, "--quiet")
        timing = timed(command, 1, cwd=Path(__file__).resolve().parents[1], warm_up=0)
        facts_path = work / f"{name}.json"
        facts = json.loads(facts_path.read_text()) if facts_path.exists() else {}
        write_json(work / f"{name}.timing.json", asdict(timing) | facts)
        print(f"{name:<20}{timing.median_s:9.1f} s{timing.peak_mb:9.0f} MB  {facts}", flush=True)
    measured = ((name, work / f"{name}.timing.json") for name in ("index", *STEPS))
    return {name: json.loads(path.read_text()) for name, path in measured if path.exists()}


def main() -> None:
    """Generates, measures, writes, cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where to put 6 GB; a temporary folder by default")
    parser.add_argument("--share", type=float, default=1.0, help="of RSNA's size, to try it out")
    parser.add_argument(
        "--lstm-scans", type=int, default=0, help="train on so many scans and extrapolate; 0: a whole epoch"
    )
    parser.add_argument("--steps", nargs="*", default=["index", *STEPS], help="which steps, in order")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the page")
    parser.add_argument("--keep", action="store_true", help="leave the generated files, and use them if they are there")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    work = make_folder(args.work) if args.work else Path(tempfile.mkdtemp(prefix="rsna_size_"))
    if (free := shutil.disk_usage(work).free / 1e9) < NEEDED_GB * args.share:
        raise SystemExit(
            f"{work}: {free:.1f} GB free, {NEEDED_GB * args.share:.1f} needed; name another place with --work"
        )
    made = work / "made.json"
    try:
        started = time.monotonic()
        if not (args.keep and made.exists()):
            write_json(made, generate(work, args.share))
            print(f"generated in {time.monotonic() - started:.0f} s", flush=True)
        size = json.loads(made.read_text())
        result = {
            "machine": machine(),
            "size": size,
            "note": args.note,
            "steps": measure(work, args.steps, args.lstm_scans),
        }
    finally:
        if not args.keep:
            shutil.rmtree(work)
    write_json(make_folder(args.out) / "rsna_size.json", result)
    write_text(args.out / "rsna_size.md", markdown(result))
    print(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """The page that is committed."""
    facts, size, steps = result["machine"], result["size"], result["steps"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    titles = {"index": f"`ichseq index rsna2019` over {size['images']:,} files"} | {
        name: step.title for name, step in STEPS.items()
    }
    rows = "\n".join(
        f"| {titles[name]} | {row['median_s']:.1f} | {_seconds(row)} | {row['peak_mb']:.0f} | {_said(name, row, size)} |"
        for name, row in steps.items()
    )
    missed = [titles[name] for name, row in steps.items() if row["peak_mb"] > LIMIT_MB]
    memory = "missed by " + ", ".join(missed) if missed else "held"
    evaluation = steps["evaluate"]["median_s"] if "evaluate" in steps else None
    verdict = "not measured" if evaluation is None else "held" if evaluation < LIMIT_EVALUATION_S else "missed"
    prevalence = "; ".join(
        f"{name} {share:.4f} of slices, {size['patient_prevalence'][name]:.4f} of patients"
        for name, share in size["slice_prevalence"].items()
    )
    return f"""# RSNA 2019's size, simulated

`.venv/bin/python -m benchmarks.rsna_size` on {facts["cores"]} core(s) ({facts["system"]}), Python {facts["python"]}, {versions}.
{result["note"]}

{size["slices"]:,} generated rows in {size["series"]:,} series of {size["patients"]:,} patients, every one labelled, with generated
embeddings of 2,048 float16 in a real cache. No image was read: these figures say what the tables, the cache and the statistics cost
at that size, nothing of the networks' speed on pixels or of accuracy. Labels as drawn: {prevalence}.

Each row is one process, run once, its start included; peak memory is of its largest single process. Seconds of the clock grow
with whatever else the machine does, seconds of the processor hardly.

| step | s | processor s | peak MB | of which |
| --- | ---: | ---: | ---: | --- |
{rows}

Limits: every peak under {LIMIT_MB:,} MB: {memory}; evaluation of the held-out slices with 1,000 rounds under
{LIMIT_EVALUATION_S} s: {verdict}.
"""


def _seconds(row: dict[str, Any]) -> str:
    return "not taken" if row["processor_s"] is None else f"{row['processor_s']:.1f}"


def _said(name: str, row: dict[str, Any], size: dict[str, Any]) -> str:
    if name == "index":
        rate = size["images"] / row["median_s"]
        hours = size["slices"] / rate / 60
        return f"{rate:.0f} files/s; extrapolated to {size['slices']:,}: {hours:.1f} min, from files of 8.6 kB in the system's cache"
    return row.get("said", "")


if __name__ == "__main__":
    main()

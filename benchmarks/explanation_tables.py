"""The figures of `benchmarks.explanations` as tables: pointing game, share of heat, differences, and what random weights give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ich_seq.evaluation.bootstrap import Estimate, PatientBootstrap, Statistic
from ich_seq.labels import ANY, SUBTYPES

_SYSTEMS = (
    *("stage one", "stage two", "centre", "random map"),
    *("stage one, random weights", "stage two, random weights"),
)
_FIGURES = {"hit": "Pointing game", "share": "Share of the heat on the bleed"}
ALL_SUBTYPES = "five subtypes"
DIFFERENCES = (
    ("stage two", "centre"),
    ("stage one", "centre"),
    ("stage two", "stage one"),
    ("stage two", "random map"),
    ("stage two", "stage two, random weights"),
    ("stage one", "stage one, random weights"),
)


def page(rows: pd.DataFrame, runs: Sequence[dict[str, Any]], computer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The result page and its numbers. `rows` has one row for each positive slice, label and system."""
    groups = {each.title: rows[rows["label"] == each.name] for each in (*SUBTYPES, ANY)}
    groups[ALL_SUBTYPES] = rows[rows["label"] != ANY.name]
    groups = {title: found for title, found in groups.items() if len(found)}
    figures = {title: _figures(found) for title, found in groups.items()}
    parts = ["# Heat maps measured on phantoms", _intro(runs, computer, rows)]
    for name, heading in _FIGURES.items():
        parts += [f"## {heading}", _table(figures, groups, name)]
    parts += ["## Against maps that look at nothing", _differences(figures), _verdict(figures)]
    parts += ["## Randomised weights", _sanity(figures)]
    return "\n\n".join(parts) + "\n", {"runs": list(runs), "machine": computer, "figures": figures}


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    """Of one label: each system's figures, their differences, and how alike trained and random maps are."""
    first = rows[rows["system"] == "centre"]
    bootstrap = PatientBootstrap(first["patient"].to_numpy(str))
    found: dict[str, Any] = {
        "slices": len(first),
        "patients": first["patient"].nunique(),
        "bleed": float(first["bleed"].mean()),
    }
    for name in _FIGURES:
        means: dict[str, Statistic] = {
            system: bootstrap.mean(rows[rows["system"] == system][name].to_numpy(np.float64)) for system in _SYSTEMS
        }
        found[name] = {system: mean.estimate().model_dump() for system, mean in means.items()}
        found[f"{name}_difference"] = {
            f"{one} - {other}": (means[one] - means[other]).estimate().model_dump() for one, other in DIFFERENCES
        }
    found["alike"] = {
        system: _mean_of(rows[rows["system"] == system]["alike"]) for system in ("stage one", "stage two")
    }
    return found


def _mean_of(values: pd.Series) -> float | None:
    """The mean of the values that are there; None where none is, since every map of random weights was cold."""
    known = values.dropna().astype(float)
    return float(known.mean()) if len(known) else None


def _intro(runs: Sequence[dict[str, Any]], computer: dict[str, Any], rows: pd.DataFrame) -> str:
    told = "; ".join(
        f"{run['model']} ({run['backbone']}, {run['size']} px, map of {run['grid'][0]} by {run['grid'][1]} cells, "
        f"digest {run['digest'][:8]})"
        for run in runs
    )
    return (
        f"`python -m benchmarks.explanations` on {len(runs)} run{'s' if len(runs) > 1 else ''} of synthetic heads, torch "
        f"{computer['packages']['torch']}: {told}. Held-out patients: {rows['patient'].nunique()} with a bleed.\n\n"
        "Of every slice that has a label its map is compared with the mask. Pointing game: the hottest pixel lies on the bleed or\n"
        "within 10 mm. Maps count where they may be drawn: inside the head, on neither air nor bone, whatever the score. A map\n"
        "without heat misses. `centre` is a Gaussian in the middle of the head, `random map` has random cells on the same grid;\n"
        "neither looks at the slice. Brackets: 95 % interval, resampling patients; differences are on the same resamples."
    )


def _table(figures: dict[str, Any], groups: dict[str, pd.DataFrame], name: str) -> str:
    head = ["", "slices", "patients", "area of the bleed", *_SYSTEMS]
    body = [
        [title, str(each["slices"]), str(each["patients"]), f"{each['bleed']:.1%}"]
        + [_shown(each[name][system]) for system in _SYSTEMS]
        for title, each in figures.items()
    ]
    return _markdown([head, *body])


def _differences(figures: dict[str, Any]) -> str:
    parts = []
    for name, heading in _FIGURES.items():
        head = [heading, *(f"{one} - {other}" for one, other in DIFFERENCES)]
        body = [
            [title, *(_signed(each[f"{name}_difference"][key]) for key in head[1:])] for title, each in figures.items()
        ]
        parts.append(_markdown([head, *body]))
    return "\n\n".join(parts)


def _verdict(figures: dict[str, Any]) -> str:
    """Whether the map through both stages beats the blob in the middle, with its interval, in words."""
    lines = []
    for name, heading in _FIGURES.items():
        beaten, lost = [], []
        for title, each in figures.items():
            low = each[f"{name}_difference"]["stage two - centre"]["low"]
            (beaten if low is not None and low > 0 else lost).append(title)
        said = f"- {heading}: the two-stage map beats the centre-of-head map, interval above zero, for {_named(beaten)}"
        lines.append(said + (f"; it does **not** for {_named(lost)}." if lost else "."))
    return "\n".join(lines)


def _named(titles: Sequence[str]) -> str:
    return ", ".join(titles) if titles else "no label"


def _sanity(figures: dict[str, Any]) -> str:
    rows: list[list[str]] = [["", "stage one", "stage two"]]
    for title, each in figures.items():
        cells = [each["alike"][stage] for stage in rows[0][1:]]
        rows.append([title, *("all cold" if cell is None else f"{cell:.2f}" for cell in cells)])
    return (
        "Rank correlation over cells (Spearman, mean over slices) of a trained map with the one that the same networks give with new\n"
        "random weights: near 0 where maps come from what was learnt, near 1 where they only show the picture.\n\n"
        + _markdown(rows)
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _shown(found: dict[str, Any]) -> str:
    estimate = Estimate.model_validate(found)
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _signed(found: dict[str, Any]) -> str:
    estimate = Estimate.model_validate(found)
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    mark = " +" if estimate.low > 0 else " -" if estimate.high < 0 else ""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]{mark}"

"""How an ensemble was chosen, as Markdown and as values for JSON: every model that was offered, the ensemble, and the best subsets."""

from collections.abc import Sequence
from typing import Any

from ich_seq.evaluation.make_ensemble import Figures, Made
from ich_seq.labels import RESEARCH_NOTICE
from ich_seq.model.card import describe_choice, describe_combination

_SHOWN = 10
ON_VALIDATION = (
    "Figures are of stage two on the validation patients that chose the ensemble, so its own are too good; measure it on others with "
    "`ichseq evaluate --model`."
)
_VOTE = (
    "A vote's score is a share of models, not a probability: where all are wrong its log loss is that of certainty. Compare votes by "
    "AUC, or by the calibrated scores that `evaluate` gives."
)


def choice_values(made: Made) -> dict[str, Any]:
    """All of it as plain values."""
    info, found = made.info, made.found
    return {
        "name": info.name,
        "digest": info.digest(),
        "offered": list(made.offered),
        "members": [{"name": member.info.name, "digest": member.info.digest()} for member in made.members],
        "method": info.stage_two.method,
        "stage_one": info.stage_one.model_dump(mode="json"),
        "stage_two": info.stage_two.model_dump(mode="json"),
        "chosen_on": info.chosen_on.model_dump(mode="json"),
        "unseen": info.unseen,
        "figures": [_values(each) for each in made.figures],
        "search": None if info.search is None else info.search.model_dump(mode="json"),
        "subsets": [] if found is None else [{"members": _numbers(s.members), "loss": s.loss} for s in found.subsets],
    }


def choice_markdown(made: Made) -> str:
    """The same to read."""
    info = made.info
    parts = [
        f"# How the ensemble {_cell(info.name)} was chosen",
        RESEARCH_NOTICE,
        f"{describe_combination(info)} Members: {_cell(', '.join(_kept(made)))}.",
        describe_choice(info),
        _table(
            ("model", "loss by slice", "loss by scan", "AUC any by slice", "by scan"), map(figure_cells, made.figures)
        ),
        "Losses are weighted log losses in nats, lower is better.",
        *remarks(made),
    ]
    if made.found is not None:
        best = [[", ".join(map(str, _numbers(s.members))), f"{s.loss:.4f}"] for s in made.found.subsets[:_SHOWN]]
        parts += [f"## The best of {len(made.found.subsets)} subsets", _table(("models", "loss"), best)]
    return "\n\n".join(parts) + "\n"


def remarks(made: Made) -> list[str]:
    """What must be known to read the figures."""
    votes = made.info.stage_two.method == "vote"
    return [ON_VALIDATION, *([_VOTE] if votes else [])]


def figure_cells(each: Figures) -> list[str]:
    """One model's figures; an AUC with one class only is a dash."""
    aucs = ("-" if auc != auc else f"{auc:.3f}" for auc in (each.slice_auc, each.scan_auc))  # noqa: PLR0124  # nan
    return [each.name, f"{each.slice_loss:.4f}", f"{each.scan_loss:.4f}", *aucs]


def _kept(made: Made) -> list[str]:
    places = range(len(made.offered)) if made.found is None else made.found.subsets[0].members
    return [made.offered[place] for place in places]


def _numbers(members: Sequence[int]) -> list[int]:
    return [place + 1 for place in members]


def _values(each: Figures) -> dict[str, Any]:
    numbers = {name: getattr(each, name) for name in ("slice_loss", "scan_loss", "slice_auc", "scan_auc")}
    return {"name": each.name} | {name: None if value != value else value for name, value in numbers.items()}  # noqa: PLR0124


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

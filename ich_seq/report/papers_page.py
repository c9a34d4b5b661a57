"""The table of the papers' methods as one HTML page that needs nothing else, and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ich_seq.evaluation.comparison import Entry
from ich_seq.evaluation.paper_result import PaperTable, RowSystem
from ich_seq.evaluation.paper_rows import row_of
from ich_seq.labels import RESEARCH_NOTICE
from ich_seq.report import papers_text as text
from ich_seq.report.comparison_page import markdown_rows, roc_figure
from ich_seq.report.figures import ACCENT, INK, SOFT, as_data_uri, new_figure
from ich_seq.report.page import render_page

_ANSWER_HEADS = ("", "", "AUC any", "loss lower by")
_ENSEMBLE_HEADS = ("", "AUC any", "weighted log loss", "AUC against the best row", "loss lower by")
_PRINTED_HEADS = ("", "", "accuracy", "F1", "recall", "precision", "AUC", "here, mean of sensitivity and specificity")
_ANSWER_NOTE = (
    "A pair is said to be better or worse where the interval of its loss excludes zero, positive being better; of twenty pairs that "
    "differ in nothing one does so by chance. One fit stands for each row: another seed may move it by more than its interval."
)
_PRINTED_AUC_HEADS = ("", "paper", "score of", "figure", "in print", "here", "why they differ")
_AUC_NOTE = "A figure without brackets rests on so few positive patients that resamples often have none."
_TITLE = "The papers' methods on one cohort"


@dataclass(frozen=True)
class _Part:
    """A part of the page: words before its table, and a note after it."""

    title: str
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    words: str = ""
    note: str = ""


def render_papers_page(table: PaperTable, entries: Sequence[Entry]) -> str:
    """The page; the ROC curves are those of each paper's row with the lowest loss, of the rows that learnt."""
    best = _best_of_papers(table, entries)
    return render_page(
        "papers.html.j2",
        ("study.css", "explore.css"),
        title=_TITLE,
        table=table,
        notice=RESEARCH_NOTICE,
        conclusions=text.conclusions(table),
        sections=_sections(table),
        gains=_gain_figure(table),
        roc=roc_figure(best, "slice") if best else "",
    )


def papers_markdown(table: PaperTable) -> str:
    """The same tables in Markdown."""
    parts = [f"# {_TITLE}", _about(table), "\n".join(f"- {line}" for line in text.conclusions(table))]
    for section in _sections(table):
        filled = markdown_rows(section.heads, section.rows) if section.rows else ""
        parts += [each for each in (f"## {section.title}", section.words, filled, section.note) if each]
    return "\n\n".join(parts) + "\n"


def _about(table: PaperTable) -> str:
    lines = [f"- {name}: {words}" for name, words in {**table.shared, **table.counts}.items()]
    return "What all rows share:\n\n" + "\n".join(lines) + "\n\nWhat the table says:"


def _sections(table: PaperTable) -> list[_Part]:
    """Each part of the page, in order."""
    parts = [_Part("Rows", text.ROW_HEADS, text.rows(table), note=text.NOTE)]
    if table.failed:
        parts.append(_Part("Rows that failed", ("", "error"), [list(each) for each in table.failed.items()]))
    if table.missing:
        parts.append(_Part("Rows that were not asked for", words=", ".join(table.missing)))
    for answer in table.answers:
        parts.append(_Part(answer.title, _ANSWER_HEADS, text.answer_rows(answer), words=answer.caution))
    if table.answers:
        parts[-1] = replace(parts[-1], note=_ANSWER_NOTE)
    parts.append(_Part("Ensembles", _ENSEMBLE_HEADS, text.ensemble_rows(table), words=text.ensemble_words(table)))
    parts.append(_Part("AUC by label", ("", "verdict", *text.LABEL_TITLES), text.auc_rows(table), note=_AUC_NOTE))
    parts.append(_Part("What each row is and takes", text.COST_HEADS, text.cost_rows(table), note=text.COST_NOTE))
    if printed := text.published_aucs(table):
        parts.append(_Part("In print: the two-stage recipe", _PRINTED_AUC_HEADS, printed))
    if printed := text.published_points(table):
        parts.append(_Part("In print: paper 004", _PRINTED_HEADS, printed, words=text.published_words()))
    return parts


def _best_of_papers(table: PaperTable, entries: Sequence[Entry]) -> list[tuple[str, Entry, str]]:
    """The learnt row of each paper with the lowest loss."""
    best: dict[str, RowSystem] = {}
    for each in text.own_systems(table):
        paper = row_of(each.row).paper
        if each.learnt and (paper not in best or (each.loss.value or 0) < (best[paper].loss.value or 0)):
            best[paper] = each
    of_name = {entry.name: entry for entry in entries}
    return [(each.row, of_name[each.row], each.stage) for each in best.values()]


def _gain_figure(table: PaperTable) -> str:
    """Each row's gain over the prevalence floor and its AUC of any, as points with their intervals, the table's first row on top."""
    systems = text.own_systems(table)
    figure = new_figure(9.3, 0.9 + 0.27 * len(systems))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, each in enumerate(systems):
        for axes, found in ((left, each.gain), (right, each.auc[-1])):
            colour = ACCENT if each.learnt else SOFT
            if found.value is None:
                continue
            low, high = (found.value if end is None else end for end in (found.low, found.high))
            axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
            axes.plot(found.value, place, "o", color=colour, markersize=5, fillstyle="full" if each.learnt else "none")
    left.set_yticks(range(len(systems)), [each.row for each in systems], fontsize=8, color=INK)
    left.set_ylim(len(systems) - 0.4, -0.6)
    for axes, title, zero in (
        (left, "log loss below the prevalence's by", 0.0),
        (right, "AUC of any haemorrhage", 0.5),
    ):
        axes.axvline(zero, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return as_data_uri(figure)

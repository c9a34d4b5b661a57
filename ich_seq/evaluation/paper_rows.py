"""The rows of the table of the papers' methods, and the questions that pairs of rows answer."""

from dataclasses import dataclass

from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One classifier of a paper: its shipped config, and the stage whose score is the paper's own result."""

    config: str
    paper: str
    stage: str = STAGE_ONE


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that differ in what a question asks: `second` has it, `first` has not; `where` tells the question's pairs apart."""

    first: str
    second: str
    where: str


@dataclass(frozen=True, slots=True)
class Question:
    """What pairs of rows answer together; `caution` says what else they differ in."""

    title: str
    pairs: tuple[Pair, ...]
    caution: str


_LEE = "000, Lee 2019"
_ASIP = "004, ASIP 2022"
_CONTROL = "none, a control of 004"
_TRUNKS = ("efficientnet", "resnet", "densenet")
_WAYS = ("baseline", "optimised")

ROWS = (
    *(
        PaperRow(f"lee2019_{name}", _LEE)
        for name in ("linear_brain", "linear_blood", "linear_soft", "linear", "sigmoid", "two_step")
    ),
    PaperRow("fahim2021", "001, Al Fahim 2021", STAGE_TWO),
    PaperRow("burduja2020", "001's source, Burduja 2020", STAGE_TWO),
    PaperRow("kumar2021", "002, Kumar 2021"),
    PaperRow("kumar2021_positives", "002, Kumar 2021"),
    PaperRow("lussier", "003, Lussier"),
    *(
        PaperRow(f"asip2022_{trunk}_{given}_{way}", _ASIP)
        for trunk in _TRUNKS
        for given in ("windowed", "asip")
        for way in _WAYS
    ),
    *(PaperRow(f"one_slice_{trunk}", _CONTROL) for trunk in _TRUNKS),
)
"""Every classifier of the five papers, and what tells neighbours from windows in paper 004; the configs of the demo and of the table
itself, and `recommended`, are of none."""

QUICK_ROWS = ("kumar2021", "asip2022_densenet_windowed_baseline", "asip2022_densenet_asip_baseline")

QUESTIONS = (
    Question(
        "Windowing, three linear windows instead of one",
        tuple(Pair(f"lee2019_linear_{name}", "lee2019_linear", f"{name} alone") for name in ("brain", "blood", "soft")),
        "Paper 000's three (brain, blood, bone) against each of its single windows; one trunk, one way of training.",
    ),
    Question(
        "Windowing, sigmoid windows instead of linear ones",
        (Pair("lee2019_linear", "lee2019_sigmoid", "brain, blood, bone"),),
        "The same three windows, trunk and training.",
    ),
    Question(
        "Windowing, three linear windows instead of one from 40 to 80 HU",
        tuple(Pair(f"one_slice_{trunk}", f"asip2022_{trunk}_windowed_baseline", trunk) for trunk in _TRUNKS),
        "Paper 004's three (brain, subdural, soft tissue) against the window of its adjacent slices; one slice each.",
    ),
    Question(
        "Neighbours, the slices above and below beside this one, all in one window",
        tuple(Pair(f"one_slice_{trunk}", f"asip2022_{trunk}_asip_baseline", trunk) for trunk in _TRUNKS),
        "The window from 40 to 80 HU in both; neighbours alone are gained.",
    ),
    Question(
        "Neighbours or windows, three slices in one window instead of one slice in three",
        tuple(
            Pair(f"asip2022_{trunk}_windowed_{way}", f"asip2022_{trunk}_asip_{way}", f"{trunk}, {way}")
            for trunk in _TRUNKS
            for way in _WAYS
        ),
        "As paper 004 compares them: neighbours are gained and windows given up at once; the two questions before this one part them.",
    ),
    Question(
        "Training, any weighs 5 and flips both ways",
        tuple(
            Pair(f"asip2022_{trunk}_{given}_baseline", f"asip2022_{trunk}_{given}_optimised", f"{trunk}, {given}")
            for trunk in _TRUNKS
            for given in ("windowed", "asip")
        ),
        "Paper 004's optimised settings against its baseline's: both changes at once, as printed.",
    ),
    Question(
        "Two steps, first any and then the subtypes among positives",
        (Pair("lee2019_sigmoid", "lee2019_two_step", "sigmoid windows"),),
        "Paper 000 proposes it and did not build it.",
    ),
)
SECOND_STAGE = Question(
    "Second stage, a BiLSTM over the scan",
    (),
    "Stage two reads the embeddings and the probabilities of stage one, and where patients are reserved for it, it learns from more "
    "than stage one: what it adds is both. In kumar2021_positives it is the first to see slices without blood. Only in the rows of "
    "paper 001 and of its source is it theirs.",
)
"""Of every row, stage two against stage one."""


def row_of(config: str) -> PaperRow:
    """The row of a shipped config.

    Raises:
        KeyError: it is of no paper.
    """
    return {row.config: row for row in ROWS}[config]

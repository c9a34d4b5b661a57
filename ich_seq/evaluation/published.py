"""What others published on RSNA 2019, to stand beside our own figures, each with what makes it comparable or not.

Nobody has the labels of the challenge's test images, so everyone holds out patients, or series, of the training images in a way of
their own: no two rows rest on the same scans.
"""

from dataclasses import dataclass

from ich_seq.labels import LABEL_NAMES

DATASET = "rsna2019"
WHY_NOT = "The published figures at hand are of RSNA 2019; this is another dataset, so none is shown beside it."


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """One row of figures from a paper. `values` are by label as in RSNA's files, or one under `weighted log loss`.

    `config` is the shipped config that trains what the row was measured on; empty where there is none.
    """

    work: str
    source: str
    system: str
    split: str
    unit: str
    figure: str
    values: dict[str, float]
    comparable: str
    config: str = ""


def _by_label(*values: float) -> dict[str, float]:
    """EDH, IPH, IVH, SAH, SDH, any."""
    return dict(zip(LABEL_NAMES, values, strict=True))


_BURDUJA = ("Burduja, Ionescu, Verga 2020", "10.3390/s20195611")
_FAHIM = ("Al Fahim K. 2021", "Detection, Classification, and Segmentation of Intracranial Haemorrhages")
_SERIES_SPLIT = "744 series held out of the training set"
_UNKNOWN = "Not strictly: how patients were divided is not printed; ours are on one side only."
_LEAKS = "Not strictly: its split is by series, so patients are on both sides; ours is by patient."

PUBLISHED = (
    PublishedFigure(
        *_BURDUJA,
        system="stage one",
        split=_SERIES_SPLIT,
        unit="slice",
        figure="AUC",
        values=_by_label(0.9703, 0.9883, 0.9953, 0.9644, 0.9576, 0.9752),
        comparable=_LEAKS,
        config="burduja2020",
    ),
    PublishedFigure(
        *_BURDUJA,
        system="stage two",
        split=_SERIES_SPLIT,
        unit="slice",
        figure="AUC",
        values=_by_label(0.9851, 0.9927, 0.9970, 0.9821, 0.9682, 0.9843),
        comparable=_LEAKS,
        config="burduja2020",
    ),
    PublishedFigure(
        *_BURDUJA,
        system="stage two",
        split="the challenge's private test images, labels never released",
        unit="slice",
        figure="weighted log loss",
        values={"weighted log loss": 0.04989},
        comparable="Only through a submission to the challenge: ichseq submit writes the file.",
        config="burduja2020",
    ),
    PublishedFigure(
        *_FAHIM,
        system="stage two",
        split=_SERIES_SPLIT,
        unit="slice",
        figure="AUC",
        values=_by_label(0.9767, 0.9910, 0.9965, 0.9780, 0.9678, 0.9825),
        comparable=_UNKNOWN,
        config="fahim2021",
    ),
    PublishedFigure(
        *_FAHIM,
        system="stage two",
        split=_SERIES_SPLIT,
        unit="scan",
        figure="AUC",
        values=_by_label(0.9146, 0.9825, 0.9882, 0.9633, 0.9493, 0.9822),
        comparable=f"{_UNKNOWN} Its scan score, as ours, is the maximum over slices.",
        config="fahim2021",
    ),
    PublishedFigure(
        work="Second place of the challenge 2019",
        source="public code of its authors",
        system="stage two",
        split="fold 0 of the training set",
        unit="slice",
        figure="weighted log loss",
        values={"weighted log loss": 0.0612},
        comparable="Roughly: ResNeXt-101 at 256 px with a BiLSTM, as here; its fold is not ours.",
    ),
)
"""As the papers give them."""


def published_for(dataset: str) -> tuple[PublishedFigure, ...]:
    """The rows that may stand beside an evaluation on a dataset; none where they are of another."""
    return PUBLISHED if dataset == DATASET else ()


def published_of(config: str) -> tuple[PublishedFigure, ...]:
    """The rows that the paper behind a shipped config printed; none for another experiment."""
    return tuple(figure for figure in PUBLISHED if figure.config == config) if config else ()

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


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """Figures at one threshold, which the paper does not print, as its table has them; `auc` is of the same yes and no.

    `config` is the shipped config that trains the row; empty of an ensemble.
    """

    table: int
    system: str
    accuracy: float
    f1: float
    recall: float
    precision: float
    auc: float
    config: str = ""


ASIP = ("Paper 004 (ASIP), 2022", "its tables 6 to 8")
ASIP_CAUTION = (
    "Not comparable: RSNA 2019, a split by image, so that a patient's slices and even a slice's neighbours are on both sides, and "
    "ensembles and weights chosen on the test images. Which label is meant is not printed: accuracy, recall and precision together "
    "imply that some 15 in 100 images are positive, which is any haemorrhage. The AUC is the mean of sensitivity and specificity "
    "at one threshold, which is lower than that of the scores."
)
"""What keeps figures of paper 004 from standing beside others."""


def _asip(trunk: str, given: str, table: int, baseline: tuple, optimised: tuple) -> tuple[PublishedPoint, ...]:
    title = {"efficientnet": "EfficientNet", "resnet": "ResNet", "densenet": "DenseNet"}[trunk]
    return tuple(
        PublishedPoint(table, f"{prefix}{title}, {given}", *values, config=f"asip2022_{trunk}_{given}_{way}")
        for prefix, way, values in (("", "baseline", baseline), ("optimised ", "optimised", optimised))
    )


ASIP_POINTS = (
    *_asip("efficientnet", "windowed", 6, (0.920, 0.653, 0.518, 0.882, 0.753), (0.950, 0.813, 0.774, 0.856, 0.876)),
    *_asip("resnet", "windowed", 6, (0.932, 0.771, 0.782, 0.761, 0.870), (0.922, 0.706, 0.637, 0.792, 0.804)),
    *_asip("densenet", "windowed", 6, (0.925, 0.734, 0.709, 0.762, 0.835), (0.932, 0.750, 0.688, 0.823, 0.831)),
    PublishedPoint(6, "average of baseline, windowed", 0.942, 0.783, 0.711, 0.870, 0.846),
    PublishedPoint(6, "vote of baseline, windowed", 0.939, 0.775, 0.720, 0.838, 0.848),
    PublishedPoint(6, "weighted, baseline, windowed", 0.942, 0.783, 0.719, 0.862, 0.849),
    PublishedPoint(6, "average of optimised, windowed", 0.944, 0.787, 0.711, 0.879, 0.857),
    PublishedPoint(6, "vote of optimised, windowed", 0.941, 0.775, 0.699, 0.870, 0.841),
    PublishedPoint(6, "best ensemble, windowed", 0.947, 0.813, 0.784, 0.843, 0.880),
    *_asip("efficientnet", "asip", 7, (0.926, 0.719, 0.649, 0.807, 0.811), (0.932, 0.751, 0.700, 0.811, 0.836)),
    *_asip("resnet", "asip", 7, (0.942, 0.784, 0.725, 0.853, 0.852), (0.921, 0.729, 0.732, 0.726, 0.843)),
    *_asip("densenet", "asip", 7, (0.923, 0.702, 0.620, 0.808, 0.798), (0.906, 0.552, 0.396, 0.910, 0.695)),
    PublishedPoint(7, "average of baseline, asip", 0.940, 0.767, 0.681, 0.878, 0.832),
    PublishedPoint(7, "vote of baseline, asip", 0.937, 0.753, 0.661, 0.874, 0.823),
    PublishedPoint(7, "weighted, baseline, asip", 0.940, 0.767, 0.681, 0.878, 0.833),
    PublishedPoint(7, "average of optimised, asip", 0.937, 0.749, 0.650, 0.885, 0.818),
    PublishedPoint(7, "vote of optimised, asip", 0.935, 0.744, 0.645, 0.878, 0.815),
    PublishedPoint(7, "weighted, optimised, asip", 0.937, 0.756, 0.668, 0.872, 0.825),
    PublishedPoint(7, "best ensemble, asip", 0.943, 0.788, 0.729, 0.858, 0.854),
    PublishedPoint(8, "average of baseline, both", 0.942, 0.778, 0.694, 0.886, 0.839),
    PublishedPoint(8, "vote of baseline, both", 0.937, 0.751, 0.647, 0.897, 0.817),
    PublishedPoint(8, "weighted, baseline, both", 0.943, 0.780, 0.700, 0.882, 0.841),
    PublishedPoint(8, "average of optimised, both", 0.941, 0.771, 0.679, 0.892, 0.833),
    PublishedPoint(8, "vote of optimised, both", 0.938, 0.751, 0.641, 0.907, 0.815),
    PublishedPoint(8, "weighted, optimised, both", 0.942, 0.778, 0.692, 0.888, 0.839),
    PublishedPoint(8, "best ensemble, both", 0.949, 0.814, 0.771, 0.862, 0.875),
)
"""Tables 6 to 8 of paper 004, but for table 6's weighted ensemble of optimised models, whose line contradicts itself. The AUC of the
average of optimised, windowed models is printed so; the line's other figures give .847."""


def published_for(dataset: str) -> tuple[PublishedFigure, ...]:
    """The rows that may stand beside an evaluation on a dataset; none where they are of another."""
    return PUBLISHED if dataset == DATASET else ()


def published_of(config: str) -> tuple[PublishedFigure, ...]:
    """The rows that the paper behind a shipped config printed; none for another experiment."""
    return tuple(figure for figure in PUBLISHED if figure.config == config) if config else ()


@dataclass(frozen=True, slots=True)
class PrintedPoint:
    """What a paper printed of any haemorrhage at a threshold of its own; `recall` is sensitivity. What it left out is None."""

    work: str
    caution: str
    accuracy: float | None = None
    f1: float | None = None
    recall: float | None = None
    precision: float | None = None
    auc: float | None = None
    verdict: str = ""


_LEE, _KUMAR, _LUSSIER = "Paper 000 (Lee), 2019", "Paper 002 (Kumar et al.), 2021", "Paper 003 (Lussier)"
_LEE_CAUTION = (
    "Not comparable: RSNA 2019, held-out images of which it is not said whose, at a threshold that is not printed; its three-window "
    "row counts 80 positives where the others count some 600, so those are not the same images."
)
_KUMAR_CAUTION = (
    "Not comparable: the share of pictures with a bleed whose class of six was found, 1,000 pictures a class, split by picture; ours "
    "is of any haemorrhage or none."
)
_LUSSIER_CAUTION = (
    "Its softmax and categorical cross-entropy over several labels at once; no figure is printed but the curves."
)
_PRINTED = {
    "lee2019_linear_brain": PrintedPoint(_LEE, _LEE_CAUTION, f1=0.19, recall=0.28, precision=0.14),
    "lee2019_linear_blood": PrintedPoint(_LEE, _LEE_CAUTION, f1=0.22, recall=0.41, precision=0.15),
    "lee2019_linear_soft": PrintedPoint(_LEE, _LEE_CAUTION, f1=0.22, recall=0.38, precision=0.15),
    "lee2019_sigmoid": PrintedPoint(_LEE, _LEE_CAUTION, f1=0.88, recall=0.96, precision=0.80),
    "kumar2021": PrintedPoint(_KUMAR, _KUMAR_CAUTION, accuracy=0.68),
    "lussier": PrintedPoint(_LUSSIER, _LUSSIER_CAUTION, verdict="did not learn"),
    **{
        point.config: PrintedPoint(
            ASIP[0], ASIP_CAUTION, point.accuracy, point.f1, point.recall, point.precision, point.auc
        )
        for point in ASIP_POINTS
        if point.config
    },
}


def point_of(config: str) -> PrintedPoint | None:
    """What the paper behind a shipped config printed at a threshold, where it did."""
    return _PRINTED.get(config)

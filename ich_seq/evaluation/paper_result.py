"""What the table of the papers' methods says, as plain values that go into `papers.json`; what is undefined is null."""

from pydantic import BaseModel, ConfigDict

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.finished_rows import RowFacts
from ich_seq.evaluation.operating import OperatingPoint


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RowSystem(_Result):
    """One stage of one row on the held-out slices."""

    row: str
    """Name of the config."""
    stage: str
    """`stage one` or `stage two`."""
    own: bool
    """Whether this stage's score is the paper's own result; else stage two is ours, or stage one is what it reads."""
    learnt: bool
    """Whether the gain over the floor lies above zero, the whole interval."""
    auc: tuple[Estimate, ...]
    """By label, in the order of RSNA's files."""
    loss: Estimate
    """Weighted log loss of the corrected probabilities, in nats."""
    loss_as_it_is: Estimate
    """The same of the probabilities as the row gives them."""
    gain: Estimate
    """Loss of the prevalence floor minus `loss`, paired; positive is better."""
    point: OperatingPoint | None
    """Of any haemorrhage at the balanced threshold of validation patients."""


class Difference(_Result):
    """What a second system adds to a first one; positive is better in both figures. Null where one of them did not learn."""

    first: str
    """Row, and stage where it is two of one row."""
    second: str
    """The same."""
    where: str
    """What tells it from the question's other pairs."""
    auc: Estimate | None
    """AUC of any haemorrhage, second minus first."""
    loss: Estimate | None
    """Weighted log loss, first minus second."""
    did_not_learn: tuple[str, ...]
    """Those of the two that did not: then nothing is concluded."""


class Answer(_Result):
    """One question: its pairs, and their mean over those that say something, where they are two or more."""

    title: str
    """The question."""
    caution: str
    """What else its pairs differ in."""
    differences: tuple[Difference, ...]
    """By pair; pairs of rows that the table does not have are left out."""
    mean_auc: Estimate | None
    """Mean difference in AUC."""
    mean_loss: Estimate | None
    """Mean difference in loss."""


class EnsembleScore(_Result):
    """One way of combining, on the held-out slices; differences are from the best single row, positive is better in both."""

    way: str
    """How members are combined."""
    auc: Estimate
    """Of any haemorrhage."""
    loss: Estimate
    """Weighted log loss, in nats."""
    auc_difference: Estimate
    """AUC minus the best row's."""
    loss_difference: Estimate
    """The best row's loss minus this one."""


class SubsetSearch(_Result):
    """Every subset of the best rows, averaged, the one with the lowest validation loss, and what accounts for the choice."""

    members: tuple[str, ...]
    """The rows among which was searched: the best on validation patients, ten at most."""
    chosen: tuple[str, ...]
    """The best subset."""
    subsets: int
    """How many were tried."""
    p_value: float
    """White's reality check: how often chance alone gives the subset such an advantage over all of them together."""
    loss_on_validation: float
    """Its loss on the patients that chose it."""
    loss_elsewhere: float | None
    """Mean loss of subsets so chosen, on patients that had no part in the choice."""


class Ensembles(_Result):
    """Combinations of the rows that learnt, each with the stage that is its paper's."""

    members: tuple[str, ...]
    """The rows, the best on validation patients first."""
    best: str
    """The row that validation patients choose."""
    best_auc: Estimate
    """Its AUC of any haemorrhage on held-out slices."""
    best_loss: Estimate
    """Its weighted log loss."""
    ways: tuple[EnsembleScore, ...]
    """By way of combining."""
    search: SubsetSearch
    """Of subsets."""


class Floor(_Result):
    """What a system without a network reaches on the held-out slices."""

    name: str
    """`prevalence`, `position` or `histogram`."""
    auc: tuple[Estimate, ...]
    """By label, in the order of RSNA's files."""
    loss: Estimate
    """Weighted log loss, in nats, as it is."""


class PaperTable(_Result):
    """All rows on one cohort."""

    table: str
    """Name of the config that says what all rows share."""
    shared: dict[str, str]
    """What all rows share, in words."""
    counts: dict[str, str]
    """Slices, patients and positives, in words."""
    facts: dict[str, RowFacts]
    """By row."""
    systems: tuple[RowSystem, ...]
    """Both stages of each row."""
    floors: tuple[Floor, ...]
    """The floors, the prevalence first."""
    answers: tuple[Answer, ...]
    """By question."""
    ensembles: Ensembles | None
    """Null where fewer than two rows learnt."""
    failed: dict[str, str]
    """Rows that failed, each with its error."""
    missing: tuple[str, ...]
    """Rows of the papers that were not asked for."""

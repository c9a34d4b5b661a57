"""What the members of an ensemble say of the same validation slices: scored once for each member, kept, and laid side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Integer, Shaped

from ich_seq.errors import DatasetError
from ich_seq.evaluation.data import ValidationScores
from ich_seq.evaluation.ensembles import MemberScores
from ich_seq.evaluation.external import score_rows
from ich_seq.evaluation.held_out import prob_of, text_of
from ich_seq.evaluation.scoring import ScoreStore
from ich_seq.files import make_folder
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.members import Member
from ich_seq.study.model import StudyModel
from ich_seq.thresholds import SCAN


@dataclass(frozen=True)
class ScoredMembers:
    """Validation slices that every member could read, with the truth and each member's probabilities by both stages."""

    patient_ids: Shaped[np.ndarray, " n"]
    scan_ids: Shaped[np.ndarray, " n"]
    labels: Integer[np.ndarray, "n 6"]
    stage_one: Float64[np.ndarray, "m n 6"]
    stage_two: Float64[np.ndarray, "m n 6"]
    unreadable: tuple[str, ...] = ()

    def of(self, member: int) -> ValidationScores:
        """One member's scores."""
        return ValidationScores(
            self.patient_ids, self.scan_ids, self.labels, self.stage_one[member], self.stage_two[member]
        )

    def by(self, level: str, stage: str) -> MemberScores:
        """All members' scores by `stage_one` or `stage_two`, to choose on slices or on scans."""
        scans = np.unique(self.scan_ids, return_inverse=True)[1] if level == SCAN else None
        return MemberScores(self.patient_ids, self.labels, getattr(self, stage), scans)


def score_members(
    members: Sequence[Member],
    load: Callable[[Member], StudyModel],
    rows: pd.DataFrame,
    root: Path,
    folder: Path,
    on_series: Callable[[int, int], None] = lambda done, total: None,
) -> ScoredMembers:
    """Both stages of every member on the rows; what is in `folder`, a file for each member, is not scored again.

    Scores are kept to the last bit, so that a threshold which is one of them means the same when the ensemble reads that slice.

    Raises:
        DatasetError: more than 1 % of the slices cannot be read by a member, or none by all.
        OutputError: the folder cannot be written, or holds another model's scores.
    """
    make_folder(folder)
    tables, unreadable = [], []
    series = rows["series_instance_uid"].nunique()
    for place, member in enumerate(members):

        def tell(done: int, _total: int, before: int = place * series) -> None:
            on_series(before + done, series * len(members))

        digest = member.info.digest()
        scored = score_rows(load(member), rows, root, ScoreStore(folder / f"{digest[:16]}.jsonl", digest, None), tell)
        tables.append(scored.scores.set_index("sop_instance_uid", drop=False))
        unreadable += scored.unreadable
    return _side_by_side(tables, tuple(dict.fromkeys(unreadable)))


def _side_by_side(tables: Sequence[pd.DataFrame], unreadable: tuple[str, ...]) -> ScoredMembers:
    """The slices that stand in every table, in the order of the first."""
    common = [name for name in tables[0].index if all(name in table.index for table in tables[1:])]
    if not common:
        raise DatasetError("no validation slice can be read by every model")
    ordered = [table.loc[common] for table in tables]
    first = ordered[0]
    return ScoredMembers(
        patient_ids=text_of(first["patient_id"]),
        scan_ids=text_of(first["series_instance_uid"]),
        labels=first[list(LABEL_NAMES)].to_numpy(np.int64),
        stage_one=np.stack([prob_of(table, "one") for table in ordered]),
        stage_two=np.stack([prob_of(table, "two") for table in ordered]),
        unreadable=unreadable,
    )

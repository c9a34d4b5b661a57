"""An evaluation with all its parts: figures by level, subgroups, worst mistakes, and what was measured on what."""

import pandas as pd

from ich_seq.evaluation.bootstrap import ROUNDS
from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.mistakes import worst_mistakes
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.subgroups import attributes_of, score_subgroups


def evaluate_whole(
    data: EvaluationInput, scores: pd.DataFrame, about: About, seed: int = 0, rounds: int = ROUNDS
) -> Evaluation:
    """The evaluation; `scores` has the geometry of each slice, in the rows of `data`.

    Raises:
        ValueError: as `evaluate`, or scores of another length.
    """
    if len(scores) != len(data.labels):
        raise ValueError(f"scores has {len(scores)} rows for {len(data.labels)} slices")
    more = {
        "about": about,
        "subgroups": tuple(score_subgroups(data, attributes_of(scores), rounds, seed)),
        "mistakes": tuple(worst_mistakes(data, scores)),
    }
    return evaluate(data, rounds, seed).model_copy(update=more)

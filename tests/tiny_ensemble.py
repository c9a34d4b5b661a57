"""Ensembles of tiny models, made without choosing anything on anybody: their numbers mean nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_model import TRAINED_ON, write_tiny_model

from ich_seq import __version__
from ich_seq.combining import Combination, average
from ich_seq.config import PreprocessConfig
from ich_seq.model.bundle import read_info
from ich_seq.model.ensemble import EnsembleInfo
from ich_seq.model.members import Member, write_ensemble

WITH_NEIGHBOURS = PreprocessConfig.model_validate(
    {"size": 48, "windows": [{"level": 40, "width": 80}], "mean": [0.5], "std": [0.5], "adjacent_slices": 1}
)


def write_tiny_members(folder: Path, **more: Any) -> list[Path]:
    """Two models that differ in size, windows, width and neighbours; `more` are further fields of their descriptions."""
    write_tiny_model(folder / "alone", name="alone", **more)
    write_tiny_model(folder / "neighbours", preprocess=WITH_NEIGHBOURS, reduced=5, name="neighbours", **more)
    return [folder / "alone", folder / "neighbours"]


def describe_tiny(members: Sequence[Path], by: Combination | None = None, **more: Any) -> EnsembleInfo:
    """What an ensemble of the models in these folders says of itself, combined by their mean or as asked for."""
    by = by or average(len(members))
    fields = {
        "name": "few",
        "ichseq_version": __version__,
        "members": tuple(read_info(member).model_copy(update={"exported": None}) for member in members),
        "stage_one": by,
        "stage_two": by,
        "chosen_on": TRAINED_ON,
        "unseen": True,
        "validation_loss": {"stage_one": 1.0, "stage_two": 1.0},
        "slice_thresholds_one": (None,) * 6,
    }
    return EnsembleInfo(**fields | more)


def write_tiny_ensemble(folder: Path, members: Sequence[Path], by: Combination | None = None) -> EnsembleInfo:
    """The ensemble on disk."""
    info = describe_tiny(members, by)
    write_ensemble(folder, info, [Member(member, read_info(member)) for member in members])
    return info

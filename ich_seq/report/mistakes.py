"""The worst mistakes of an evaluation as pictures of their key slices, drawn as the key slices of a study are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ich_seq.errors import PixelsUnreadableError
from ich_seq.evaluation.result import Mistake
from ich_seq.nifti import read_stored_slice
from ich_seq.report.key_slices import KeyImage, draw_key_images

Place = tuple[tuple[Path, int], tuple[float, float]]
"""File and slice index as `nifti.read_stored_slice` takes them, and the pixels' size in mm (row step, column step)."""


def draw_mistakes(mistakes: Sequence[Mistake], places: Mapping[str, Place]) -> dict[str, KeyImage]:
    """The key slice of each mistake by its SOPInstanceUID; `places` says where it lies. One that can be read no more is left out."""
    drawn: dict[str, KeyImage] = {}
    for mistake in mistakes:
        uid = mistake.sop_instance_uid
        if uid in drawn or uid not in places:
            continue
        stored, spacing_mm = places[uid]
        try:
            (drawn[uid],) = draw_key_images({0: read_stored_slice(*stored)}, spacing_mm)
        except PixelsUnreadableError:
            continue
    return drawn

"""What an ensemble is, in plain words."""

from pathlib import Path
from typing import TYPE_CHECKING

from ich_seq.cli.descriptions import Description
from ich_seq.errors import BundleError

if TYPE_CHECKING:
    from ich_seq.model.ensemble import EnsembleInfo


def of_ensemble(folder: Path) -> Description:
    """An ensemble, its members' digests checked and all of their numbers seen to be finite.

    Raises:
        BundleError: it, or a member, is damaged, changed, or of another version.
    """
    from ich_seq.model.card import describe_calibration, describe_choice, describe_combination, describe_thresholds
    from ich_seq.model.ensemble import read_ensemble_info

    info = read_ensemble_info(folder)
    members, size = _members(folder, info)
    return Description(
        "ensemble",
        f"an ensemble of {len(members)} named {info.name}, whole and unchanged",
        {
            "members": members,
            "combined": describe_combination(info),
            "chosen on": describe_choice(info),
            "trained on": [f"{each.description} ({each.dataset}, {each.patients} patients)" for each in info.taught_by],
            "labels": ", ".join(info.labels),
            "size": f"{size / 1e6:,.1f} MB of weights, verified",
            "validation loss": [
                f"{stage.replace('_', ' ')}: {loss:.4f}" for stage, loss in info.validation_loss.items()
            ],
            "calibration": describe_calibration(info.calibration),
            "thresholds": describe_thresholds(info.thresholds),
            "digest": info.digest(),
            "written by": f"ichseq {info.ichseq_version}",
            "intended use": info.intended_use,
        },
    )


def _members(folder: Path, info: "EnsembleInfo") -> tuple[list[str], int]:
    """A line for each member, whose weights are read, and the bytes of all weights."""
    from ich_seq.cli.export_description import checked_export
    from ich_seq.model.bundle import WEIGHTS_FILE, read_bundle
    from ich_seq.model.card import describe_member
    from ich_seq.model.ensemble import member_folder

    lines, size = [], 0
    for place, member in enumerate(info.members):
        own = member_folder(folder, place)
        try:
            read_bundle(own)
            exported = "" if checked_export(own, member) is None else ", exported"
        except BundleError as error:
            raise BundleError(f"member {place + 1}: {error.message}") from error
        lines.append(f"{place + 1:02d}: {describe_member(member)}{exported}")
        size += (own / WEIGHTS_FILE).stat().st_size
    return lines, size

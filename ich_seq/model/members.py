"""The models that an ensemble is made of: found, seen to go together, and copied into its folder."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ich_seq.errors import BundleError, UsageError
from ich_seq.files import make_folder, output_errors, replacing, sha256_of, write_bytes, write_json
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.bundle import CARD_FILE, WEIGHTS_FILE, BundleInfo, read_bundle, read_description, write_info
from ich_seq.model.card import card_to_write, model_card
from ich_seq.model.ensemble import (
    ENSEMBLE_FILE,
    MEMBERS_FOLDER,
    MOST_MEMBERS,
    EnsembleInfo,
    is_ensemble,
    member_folder,
)
from ich_seq.model.exported import FOLDER, ONNX_FILE
from ich_seq.model.heat_scale import SCALE_FILE

_NUMBER = re.compile(r"[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Member:
    """A model that may become part of an ensemble: its bundle's folder, and what the bundle says of itself."""

    folder: Path
    info: BundleInfo


def find_members(given: Sequence[Path]) -> list[Member]:
    """The bundles in the folders that were given, each a bundle's or a run's, which go together.

    Raises:
        UsageError: none, too many, one twice, an ensemble, or two that cannot be combined: both are named.
        BundleError: one is damaged or no bundle.
    """
    if not 1 <= len(given) <= MOST_MEMBERS:
        raise UsageError(f"{len(given)} models; an ensemble has 1 to {MOST_MEMBERS}")
    members = []
    for folder in map(_bundle_folder, given):
        if is_ensemble(folder):
            raise UsageError(
                f"{folder}: an ensemble, which no ensemble can hold; name its members, {folder / MEMBERS_FOLDER / '01'} and so on"
            )
        members.append(Member(folder, read_description(folder)))
    for place, member in enumerate(members):
        for earlier in members[:place]:
            if reason := why_not_together(earlier.info, member.info):
                raise UsageError(f"{earlier.folder} and {member.folder} cannot be combined: {reason}")
    return members


def why_not_together(one: BundleInfo, other: BundleInfo) -> str:
    """What keeps two models from being combined; empty where nothing does.

    Windows, sizes, neighbours, backbones and widths may differ, since each model reads slices in HU in its own way. Labels and what
    a score means may not. How slices are handed over (HU, square pixels, feet to head) is the bundle's format, of which a reader
    knows one.
    """
    if one.digest() == other.digest():
        return "they are the same model; give it once, since twice would only double its weight"
    if one.labels != other.labels:
        return f"the labels of the one are {', '.join(one.labels)}, of the other {', '.join(other.labels)}"
    if one.labels != LABEL_NAMES:
        return f"their labels are {', '.join(one.labels)}; this version needs {', '.join(LABEL_NAMES)}"
    if (one.cnn.output == "classes") != (other.cnn.output == "classes"):
        return (
            "stage one of one of them knows slices with blood alone and gives any as 1 (cnn.output = classes), so that its scores "
            "mean something else; train it with classes_none"
        )
    return ""


def refuse_place(folder: Path, members: Sequence[Member]) -> None:
    """Nothing, unless an ensemble of these members cannot lie in a folder.

    Raises:
        UsageError: it holds a single model, or a member lies in it.
    """
    if (folder / "model.json").exists():
        raise UsageError(f"{folder}: holds a single model; choose another --out")
    for member in members:
        if member.folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{member.folder}: lies where the ensemble is written; choose another --out")


def write_ensemble(folder: Path, info: EnsembleInfo, members: Sequence[Member]) -> None:
    """Copies the members, whose weights are compared with their digests on the way, then writes the card, then `ensemble.json`.

    While members are copied there is no `ensemble.json`: an interrupted copy is no ensemble, and the same call mends it.

    Raises:
        UsageError: the folder holds a single model, or a member lies in it.
        BundleError: a member is damaged, or has changed since it was read.
        OutputError: disk full, or the folder is not writable.
    """
    refuse_place(folder, members)
    card = card_to_write(folder, info) if is_ensemble(folder) else model_card(info)
    make_folder(folder)
    with output_errors(folder):
        (folder / ENSEMBLE_FILE).unlink(missing_ok=True)
        _remove_others(folder / MEMBERS_FOLDER, len(members))
    for place, member in enumerate(members):
        _copy(member, make_folder(member_folder(folder, place)))
    write_bytes(folder / CARD_FILE, card.encode())
    write_json(folder / ENSEMBLE_FILE, info.written())


def _bundle_folder(given: Path) -> Path:
    """The folder itself, or that of the model in a run."""
    is_run = not (given / "model.json").exists() and (given / "config.json").exists()
    return given / "model" if is_run else given


def _remove_others(folder: Path, count: int) -> None:
    """Removes what an earlier ensemble of more members left, and links in their places."""
    if folder.is_symlink():
        folder.unlink()
    for path in folder.glob("[0-9][0-9]"):
        if path.is_symlink():
            path.unlink()
        elif _NUMBER.fullmatch(path.name) and int(path.name) > count:
            shutil.rmtree(path)


def _copy(member: Member, to: Path) -> None:
    bundle = read_bundle(member.folder)
    if bundle.info != member.info:
        raise BundleError(f"{member.folder}: has changed since it was read; run the same command again")
    exported = member.info.exported
    graphs = (
        () if exported is None else (f"{FOLDER}/{name}.{end}" for name in exported.graphs for end in ("xml", "bin"))
    )
    onnx = (ONNX_FILE,) if exported is not None and exported.onnx_sha256 is not None else ()
    optional = [name for name in (CARD_FILE, SCALE_FILE) if (member.folder / name).is_file()]
    names = {WEIGHTS_FILE, *graphs, *onnx, *optional}
    with output_errors(to):
        (to / "model.json").unlink(missing_ok=True)
        for path in [each for each in to.rglob("*") if each.is_symlink() or each.is_file()]:
            if path.relative_to(to).as_posix() not in names:
                path.unlink()
    for name in sorted(names):
        _copy_file(member.folder / name, make_folder((to / name).parent) / Path(name).name)
    if sha256_of(to / WEIGHTS_FILE) != member.info.weights_sha256:
        raise BundleError(f"{member.folder}: has changed since it was read; run the same command again")
    write_info(to, member.info)


def _copy_file(source: Path, to: Path) -> None:
    """Raises BundleError where the source cannot be read, OutputError where the copy cannot be written."""
    if source.is_symlink() or not source.is_file():
        raise BundleError(f"{source}: missing, or a link; get the model again")
    with replacing(to) as temporary:
        shutil.copyfile(source, temporary)

"""What is known of a dataset before it is read: where it comes from, its terms, its layout, and what to leave out."""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from ich_seq.config import Positive, Section, package_data
from ich_seq.errors import ConfigError, DatasetError


class Layout(Section):
    """Where the files lie, relative to the dataset's root."""

    reader: str
    """Which reader of ich_seq.manifest understands it."""
    images: str
    """Pattern of the image files."""
    labels: str
    """The file of labels."""
    unlabelled_images: str | None = None
    """Pattern of image files whose labels were never released."""
    sample_submission: str | None = None
    """The file that shows how a submission looks."""


class ExpectedCounts(Section):
    """What a complete copy holds; a difference is said, not refused."""

    images: Positive | None = None
    """Image files on disk, the excluded ones included; absent where nobody counted them."""
    series: Positive | None = None
    """Distinct SeriesInstanceUID."""
    patients: Positive | None = None
    """Distinct PatientID."""


class ExpectedSplit(Section):
    """What the split of a complete copy must be."""

    config: str
    """The shipped config whose [split] it was made with."""
    digest: str
    """`split_digest` of the table."""


class Exclusion(Section):
    """One image that is left out although it is there."""

    image: str
    """Stem of its file name."""
    reason: str
    """Why."""


class DatasetDescription(Section):
    """One file of `data_manifests/`."""

    name: str
    """As in `ichseq index NAME`."""
    title: str
    """Full name."""
    about: str
    """What it holds, in a sentence or two."""
    source: str
    """Where to get it."""
    licence: str
    """On what terms."""
    doi: str | None = None
    """Of the paper that describes it."""
    split_rule: str
    """How patients are divided."""
    layout: Layout
    """Where the files lie."""
    expected: ExpectedCounts | None = None
    """Absent where the size is the user's choice."""
    expected_split: ExpectedSplit | None = None
    """Absent until someone has run the split on the real data."""
    exclusions: tuple[Exclusion, ...] = ()
    """Images left out, each with its reason."""
    traps: tuple[str, ...] = Field(default=())
    """What is odd about the files, and how it is read."""


def shipped_descriptions() -> list[str]:
    """The names of the datasets that ichseq knows, sorted."""
    return sorted(path.stem for path in package_data("data_manifests").glob("*.toml"))


def load_description(name: str) -> DatasetDescription:
    """The description of a dataset by its name, such as `rsna2019`.

    Raises:
        DatasetError: no such dataset; the message lists those that there are.
        ConfigError: its file is not TOML, or has an unknown or missing key.
    """
    if name not in shipped_descriptions():
        raise DatasetError(f"{name}: no such dataset; known are {', '.join(shipped_descriptions())}", name=name)
    path = package_data("data_manifests") / f"{name}.toml"
    try:
        return DatasetDescription.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def find_images(description: DatasetDescription, root: Path) -> list[Path]:
    """As `find_names`, as paths."""
    return [root / name for name in find_names(description, root)]


def find_names(description: DatasetDescription, root: Path) -> list[str]:
    """The files or folders below root that the layout says are the images, relative to it with `/`, sorted.

    Names, since a million paths take half a gigabyte.

    Raises:
        DatasetError: none.
    """
    found = sorted(path.relative_to(root).as_posix() for path in root.glob(description.layout.images))
    if not found:
        raise DatasetError(
            f"{root}: nothing matches {description.layout.images}; is this the dataset's root?", root=root
        )
    return found

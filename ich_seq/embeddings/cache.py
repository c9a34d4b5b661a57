"""The embedding cache: a folder of parts, and one JSON index that presents them as one array."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ich_seq.distrust import MOST_JSON, DamagedError, read_own, sealed, strict_object, unsealed
from ich_seq.embeddings.part import SeriesFeatures, part_name, read_part, series_uid_of_part
from ich_seq.errors import CacheError, StaleCacheError
from ich_seq.files import make_private_folder, sha256_of, write_json

FORMAT = 2
"""2: parts and the index hold their own digests, and texts have a fixed length."""
_IDENTITY = r"^[0-9a-f]{64}$"


class PartEntry(BaseModel):
    """One series in the index: its part's identity and digest, and its rows in the whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: str = Field(pattern=_IDENTITY)
    sha256: str = Field(pattern=_IDENTITY)
    first_row: int = Field(ge=0)
    rows: int = Field(gt=0)


class Index(BaseModel):
    """What the cache holds and who made it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    extractor: str = Field(pattern=_IDENTITY)
    embedding_width: int = Field(gt=0)
    parts: tuple[PartEntry, ...]

    @model_validator(mode="after")
    def _is_one_array(self) -> "Index":
        rows = [part.rows for part in self.parts]
        if [part.first_row for part in self.parts] != list(accumulate(rows, initial=0))[:-1]:
            raise ValueError("its parts do not follow one another")
        if len({part.identity for part in self.parts}) != len(self.parts):
            raise ValueError("a part stands twice")
        return self

    @property
    def rows(self) -> int:
        """Slices in all."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True)
class EmbeddingCache:
    """A finished cache: `folder` with `index.json` and `parts/`."""

    folder: Path
    index: Index

    def series_uid(self, place: int) -> str:
        """SeriesInstanceUID of the part at this place in the index, at a fifth of what reading it costs.

        Raises:
            CacheError: the part is absent, damaged or of another identity.
        """
        return series_uid_of_part(self.folder / "parts", self.index.parts[place].identity)

    def series(self, places: Sequence[int] | None = None) -> Iterator[SeriesFeatures]:
        """Each series in the order of the index, or those at `places` in it, one at a time; memory does not grow with the cache.

        Raises:
            CacheError: a part is absent, damaged or not the one that was indexed.
        """
        entries = self.index.parts if places is None else [self.index.parts[place] for place in places]
        for entry in entries:
            features = read_part(self.folder / "parts", entry.identity, entry.sha256)
            if features.embedding.shape != (entry.rows, self.index.embedding_width):
                path = self.folder / "parts" / part_name(entry.identity)
                raise CacheError(
                    f"{path}: has other rows or columns than the index says; run `ichseq extract-features` again",
                    path=path,
                )
            yield features


def write_index(folder: Path, extractor: str, identities: Sequence[str]) -> EmbeddingCache:
    """Presents the parts of `folder`, in the order given, as one cache.

    Raises:
        CacheError: a part is absent or damaged, or has another width than those before it.
        OutputError: the index cannot be written.
    """
    entries, first_row, width = [], 0, 0
    for identity in dict.fromkeys(identities):
        features = read_part(folder / "parts", identity)
        rows = len(features.embedding)
        if features.embedding.shape[1] != (width := width or features.embedding.shape[1]):
            path = folder / "parts" / part_name(identity)
            raise CacheError(f"{path}: has another width than the parts before it; remove the file", path=path)
        digest = sha256_of(folder / "parts" / part_name(identity))
        entries.append(PartEntry(identity=identity, sha256=digest, first_row=first_row, rows=rows))
        first_row += rows
    index = Index(format=FORMAT, extractor=extractor, embedding_width=width or 1, parts=tuple(entries))
    write_json(make_private_folder(folder) / "index.json", sealed(index.model_dump(mode="json")))
    return EmbeddingCache(folder, index)


def open_cache(folder: Path, *extractors: str) -> EmbeddingCache:
    """The cache in `folder`.

    Args:
        folder: where `extract-features` wrote it.
        extractors: identities of weights, preprocessing and precision, of which one must have made it; none: whatever made it.

    Raises:
        StaleCacheError: it was made by other weights or other preprocessing.
        CacheError: there is none, or its index is damaged.
    """
    path = folder / "index.json"
    try:
        content = strict_object(read_own(path, MOST_JSON))
        if content.get("format") != FORMAT:
            raise CacheError(
                f"{path}: format {str(content.get('format'))[:20]}, this version reads {FORMAT}; remove {folder} and run "
                "`ichseq extract-features` again",
                path=path,
            )
        index = Index.model_validate(unsealed(content))
    except FileNotFoundError:
        raise CacheError(
            f"{folder}: no embedding cache here; run `ichseq extract-features` first", path=folder
        ) from None
    except (DamagedError, ValidationError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:120]
        raise CacheError(f"{path}: damaged index ({reason}); run `ichseq extract-features` again", path=path) from error
    if extractors and index.extractor not in extractors:
        raise StaleCacheError(
            f"{folder}: made by other weights or preprocessing (extractor {index.extractor[:12]}, "
            f"now {extractors[0][:12]}); remove the folder and run `ichseq extract-features` again",
            found=index.extractor,
            wanted=extractors[0],
        )
    return EmbeddingCache(folder, index)

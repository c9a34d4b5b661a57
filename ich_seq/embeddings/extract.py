"""Runs stage one over the series of a table and keeps what it says in the embedding cache."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from ich_seq.config.preprocess import ALONE
from ich_seq.distrust import DamagedError, read_own
from ich_seq.embeddings.cache import FORMAT, EmbeddingCache, open_cache, write_index
from ich_seq.embeddings.ledger import Done, Ledger, read_done
from ich_seq.embeddings.part import SeriesFeatures, is_whole, write_part
from ich_seq.embeddings.series import LoadedSeries, SeriesRows, read_ahead, readers_for
from ich_seq.embeddings.source import source_of
from ich_seq.errors import CacheError, DatasetError, ModelError, StaleCacheError
from ich_seq.files import make_folder, make_private_folder, write_text
from ich_seq.slices.lowered import lower
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import read_slices
from ich_seq.training.compute import Resolved

EXTRACTOR_FILE = "extractor.txt"
_MOST_OF_A_LINE = 4096
_LARGEST_KEPT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Share:
    """Every `of`-th series of a table, beginning with number `index` from 0: what one of several extractions does."""

    index: int = 0
    of: int = 1


WHOLE = Share()


@dataclass(frozen=True)
class Extractor:
    """What computes embeddings, from a network as it was trained, and the cache's folder that takes them."""

    network: SliceNet
    folder: Path
    batch_size: int
    precision: Resolved = "fp32"

    @cached_property
    def weights(self) -> str:
        """As `extractor_identity` of the network as it was trained."""
        return extractor_identity(self.network)

    @property
    def identity(self) -> str:
        """What a part's numbers depend on beside its pixels: as `identity_in` of the weights and the precision."""
        return identity_in(self.precision, self.weights)

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(next(self.network.parameters()).device)

    @cached_property
    def computing(self) -> SliceNet:
        """The network in the precision: for bf16 it is changed in place (`slices.lowered`), after its weights have been identified."""
        return lower(self.network) if self.precision == "bf16" and self.weights else self.network


@dataclass(frozen=True)
class ExtractionReport:
    """How many series were there already, how many were computed now, which files could not be read, and the cache's precision."""

    already_there: int
    computed: int
    unreadable: list[str]
    precision: Resolved = "fp32"


def extractor_identity(network: SliceNet) -> str:
    """SHA-256 over every weight and all that decides what they do: preprocessing and outputs; 64 hexadecimal digits."""
    digest = hashlib.sha256(f"{network.preprocess.identity}{network.rules}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def identity_in(precision: Resolved, weights: str) -> str:
    """What identifies embeddings that these weights (`extractor_identity`) make in this precision; in fp32 the weights alone do."""
    return weights if precision == "fp32" else hashlib.sha256(f"{weights} {precision} folded".encode()).hexdigest()


def extract(
    extractor: Extractor,
    table: pd.DataFrame,
    root: Path,
    on_series: Callable[[int, int], None] = lambda done, total: None,
    share: Share = WHOLE,
) -> ExtractionReport:
    """The parts of a share of the table's series; what is noted as done is not even read again.

    A slice that cannot be read is left out and reported; its neighbours stay. `finish` then makes the parts one cache.

    Raises:
        StaleCacheError: the folder holds parts made by other weights or preprocessing, or in another precision.
        DatasetError: more than 1 % of the slices cannot be read.
        OutputError: a part cannot be written; those before it stay.
    """
    folder = extractor.folder
    claim_folder(folder, extractor.weights, extractor.precision)
    groups = SeriesRows(table)
    mine = range(share.index, len(groups), share.of)
    sources = {place: source_of(extractor.identity, groups[place], root) for place in mine}
    known, ledger = read_done(folder), Ledger(folder, f"{share.index}-of-{share.of}")
    todo = [place for place, source in sources.items() if source not in known]
    unreadable = [reason for source in sources.values() if source in known for reason in known[source].unreadable]
    slices, there, computed = groups.slices(mine), len(mine) - len(todo), 0
    ahead = read_ahead(groups, todo, root, extractor.identity, readers_for(extractor.device))
    for place, (series, identity) in zip(todo, ahead, strict=True):
        found, new = store_series(extractor, series, identity)
        ledger.add(sources[place], found)
        unreadable += found.unreadable
        refuse_many(unreadable, slices)
        there, computed = there + (0 if new else 1), computed + (1 if new else 0)
        on_series(there + computed, len(mine))
    return ExtractionReport(there, computed, unreadable, extractor.precision)


def store_series(extractor: Extractor, series: LoadedSeries, identity: str) -> tuple[Done, bool]:
    """Writes the part of one series that was read, unless it is there and whole; what to note of it, and whether it was computed now.

    `identity` is as `identity_of` the series says.
    A network that reads neighbouring slices has no part for a slice alone: it counts as one that cannot be read.

    Raises:
        ModelError: an embedding or a logit is not finite, or not in float16, in which embeddings are kept.
        OutputError: the part cannot be written.
    """
    if extractor.network.preprocess.adjacent_slices and len(series.slices_hu) == 1:
        return Done("", (*series.unreadable, f"{series.sop_instance_uids[0]}: {ALONE}")), False
    if not series.slices_hu:
        return Done("", tuple(series.unreadable)), False
    parts = extractor.folder / "parts"
    new = not is_whole(parts, identity)
    if new:
        logits, embedding = read_slices(extractor.computing, series.slices_hu, extractor.batch_size)
        if (largest := float(np.abs(embedding).max())) > _LARGEST_KEPT:
            raise ModelError(
                f"series {series.series_instance_uid}: an embedding of {largest:.3g}, and {_LARGEST_KEPT:g} is the largest that is "
                "kept; train stage one again, with a lower learning rate"
            )
        write_part(parts, identity, _features(series, logits, embedding))
    return Done(identity, tuple(series.unreadable)), new


def refuse_many(unreadable: list[str], slices: int) -> None:
    """Nothing while at most 1 % of the slices cannot be read.

    Raises:
        DatasetError: more.
    """
    if len(unreadable) > max(1, 0.01 * slices):
        raise DatasetError(f"{len(unreadable)} of {slices} slices cannot be read; the first: {unreadable[0]}")


def finish(extractor: str, table: pd.DataFrame, root: Path, folder: Path) -> tuple[EmbeddingCache, list[str]]:
    """Presents the parts of all series as one cache, whoever made them; and the reasons of the slices that could not be read.

    Raises:
        CacheError: series are not extracted yet.
        DatasetError: more than 1 % of the slices cannot be read.
    """
    known = read_done(folder)
    found = [known.get(source_of(extractor, rows, root)) for rows in SeriesRows(table)]
    if missing := sum(done is None for done in found):
        raise CacheError(
            f"{folder}: {missing} of {len(found)} series are not extracted yet; run the other shards, or "
            "`ichseq extract-features` without --shard, which does the rest"
        )
    every = [done for done in found if done is not None]
    unreadable = [reason for done in every for reason in done.unreadable]
    refuse_many(unreadable, len(table))
    return write_index(folder, extractor, [done.identity for done in every if done.identity]), unreadable


def claim_folder(folder: Path, weights: str, precision: Resolved = "fp32") -> None:
    """Makes `folder` a cache of what these weights (`extractor_identity`) say in this precision, or sees that it is one already.

    Raises:
        StaleCacheError: it was begun by other weights or preprocessing, in the other precision, or by another version of ichseq.
        CacheError: the file that says by which is none.
        OutputError: it cannot be made.
    """
    make_folder(make_private_folder(folder) / "parts")
    owner, wanted = folder / EXTRACTOR_FILE, _owner(weights, precision)
    try:
        found = read_own(owner, _MOST_OF_A_LINE).decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        write_text(owner, wanted + "\n")
        return
    except DamagedError as error:
        raise CacheError(f"{owner}: {error}; remove the folder and run `ichseq extract-features` again") from error
    other: Resolved = "fp32" if precision == "bf16" else "bf16"
    if found == _owner(weights, other):
        raise StaleCacheError(
            f"{folder}: begun in {other}, and now {precision} was chosen, which are not mixed; go on with --precision {other}, or "
            "remove the folder"
        )
    if found != wanted:
        told = "".join(character for character in found[:12] if character.isprintable())
        raise StaleCacheError(
            f"{folder}: begun by other weights or preprocessing, or by another version (extractor {told}, now {wanted[:12]}); "
            "remove the folder and run `ichseq extract-features` again"
        )


def open_current_cache(folder: Path, network: SliceNet) -> EmbeddingCache:
    """The finished cache that this very network, as it was trained, made in one precision or the other.

    Raises:
        StaleCacheError, CacheError: as `open_cache`.
    """
    weights = extractor_identity(network)
    return open_cache(folder, weights, identity_in("bf16", weights))


def _owner(weights: str, precision: Resolved) -> str:
    return f"{identity_in(precision, weights)} format {FORMAT}"


def _features(
    series: LoadedSeries, logits: Float32[np.ndarray, "s l"], embedding: Float32[np.ndarray, "s d"]
) -> SeriesFeatures:
    return SeriesFeatures(
        series.series_instance_uid,
        series.sop_instance_uids,
        series.position_mm,
        embedding.astype(np.float16),
        logits,
    )

"""Scans for stage two: PCA coordinates and stage-one probabilities joined with labels, padded into batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ich_seq.embeddings.reduced import ReducedSeries
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES


@dataclass(frozen=True)
class Scan:
    """One series, feet to head, with its labels."""

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    reduced: Float32[Tensor, "s k"]
    prob: Float32[Tensor, "s l"]
    labels: Float32[Tensor, "s l"]


@dataclass(frozen=True)
class ScanBatch:
    """Scans padded at the end to the longest; `mask` is true where there is a slice."""

    reduced: Float32[Tensor, "b s k"]
    prob: Float32[Tensor, "b s l"]
    labels: Float32[Tensor, "b s l"]
    lengths: Int64[Tensor, " b"]
    mask: Bool[Tensor, "b s"]


def label_scans(series: Iterator[ReducedSeries], table: pd.DataFrame) -> dict[str, Scan]:
    """The series that the table lists, with its labels, by SeriesInstanceUID.

    Raises:
        DatasetError: a slice of the cache has no row in the table.
    """
    labels = table[list(LABEL_NAMES)].to_numpy(np.float32)
    uids = table["sop_instance_uid"].array
    rows_of = table.groupby("series_instance_uid").indices
    scans = {}
    for features in series:
        if features.series_instance_uid not in rows_of:
            continue
        rows = rows_of[features.series_instance_uid]
        row_of = dict(zip(uids.take(rows), rows, strict=True))
        found = [row_of.get(uid, -1) for uid in features.sop_instance_uids]
        if -1 in found:
            raise DatasetError(
                f"series {features.series_instance_uid}: the embedding cache holds slices that the table does not list; "
                "run `ichseq extract-features` with this table"
            )
        scans[features.series_instance_uid] = Scan(
            features.series_instance_uid,
            features.sop_instance_uids,
            torch.from_numpy(features.reduced),
            torch.sigmoid(torch.from_numpy(features.logits)),
            torch.from_numpy(labels[found]),
        )
    return scans


def thinned(scan: Scan, start: int) -> Scan:
    """Every second slice of a scan, from `start` (0 or 1) on; a scan of one slice stays as it is."""
    if len(scan.labels) < 2:
        return scan
    return Scan(
        scan.series_instance_uid,
        scan.sop_instance_uids[start::2],
        scan.reduced[start::2],
        scan.prob[start::2],
        scan.labels[start::2],
    )


def batch_scans(scans: Sequence[Scan], reversed_scans: Sequence[bool] | None = None) -> ScanBatch:
    """One padded batch; a scan marked in `reversed_scans` is read head to feet."""
    flips = reversed_scans or [False] * len(scans)
    parts = [
        [tensor.flip(0) if flip else tensor for tensor in (scan.reduced, scan.prob, scan.labels)]
        for scan, flip in zip(scans, flips, strict=True)
    ]
    reduced, prob, labels = (pad_sequence(list(column), batch_first=True) for column in zip(*parts, strict=True))
    lengths = torch.tensor([len(scan.labels) for scan in scans])
    mask = torch.arange(reduced.shape[1])[None, :] < lengths[:, None]
    return ScanBatch(reduced, prob, labels, lengths, mask)

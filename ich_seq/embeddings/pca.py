"""PCA of embeddings by a streaming covariance and one eigendecomposition: exact, in one pass, and mergeable across machines."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64


@dataclass(frozen=True)
class Pca:
    """A centred, not whitened projection: `mean` [d], `components` [k, d] in order of falling `explained_variance` [k]."""

    mean: Float32[np.ndarray, " d"]
    components: Float32[np.ndarray, "k d"]
    explained_variance: Float32[np.ndarray, " k"]

    def reduce(self, embedding: Float[np.ndarray, "s d"]) -> Float32[np.ndarray, "s k"]:
        """Coordinates of each slice along the components."""
        return (embedding.astype(np.float32) - self.mean) @ self.components.T


class StreamingCovariance:
    """Count, mean and scatter of rows seen so far, in float64.

    Batches are combined by the pairwise update of Chan, Golub and LeVeque (1983, The American Statistician 37:242), which
    stays accurate where the plain sum of squares would cancel.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean: Float64[np.ndarray, " d"] = np.zeros(width)
        self.scatter: Float64[np.ndarray, "d d"] = np.zeros((width, width))

    def add(self, rows: Float[np.ndarray, "s d"]) -> None:
        """Takes in more rows."""
        batch = StreamingCovariance(rows.shape[1])
        exact = rows.astype(np.float64)
        batch.count, batch.mean = len(exact), exact.mean(axis=0)
        centred = exact - batch.mean
        batch.scatter = centred.T @ centred
        self.merge(batch)

    def merge(self, other: "StreamingCovariance") -> None:
        """Takes in the rows that another has seen."""
        total = self.count + other.count
        if total == 0:
            return
        shift = other.mean - self.mean
        self.scatter += other.scatter
        self.scatter += np.outer(shift, shift) * (self.count * other.count / total)
        self.mean = self.mean + shift * (other.count / total)
        self.count = total

    def pca(self, components: int) -> Pca:
        """The leading `components` directions; each is signed so that its largest entry is positive.

        Raises:
            ValueError: fewer rows than components + 1, or more components than dimensions.
        """
        width = len(self.mean)
        if components > width:
            raise ValueError(f"components = {components}: the embeddings have {width} dimensions")
        if self.count <= components:
            raise ValueError(f"components = {components}: PCA needs more slices than that, got {self.count}")
        from scipy.linalg import eigh  # late: scoring applies a PCA and fits none

        variance, vectors = eigh(self.scatter / (self.count - 1), subset_by_index=(width - components, width - 1))
        leading = vectors[:, ::-1].T
        signs = np.sign(leading[np.arange(components), np.abs(leading).argmax(axis=1)])
        return Pca(
            mean=self.mean.astype(np.float32),
            components=(leading * signs[:, None]).astype(np.float32),
            explained_variance=np.maximum(variance[::-1], 0).astype(np.float32),
        )

"""PCA by streaming covariance against scikit-learn's full solver."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from ich_seq.embeddings.pca import StreamingCovariance


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """3,000 rows of 256 dimensions with a falling spectrum and a mean far from zero, as embeddings after ReLU have."""
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((256, 256)) * np.geomspace(1, 1e-3, 256)[:, None]
    return (generator.standard_normal((3000, 256)) @ mixing + generator.uniform(0, 20, 256)).astype(np.float32)


def streamed(rows: np.ndarray, sizes: int) -> StreamingCovariance:
    covariance = StreamingCovariance(rows.shape[1])
    for start in range(0, len(rows), sizes):
        covariance.add(rows[start : start + sizes])
    return covariance


def test_variances_and_subspace_equal_scikit_learns_full_solver(rows: np.ndarray) -> None:
    found = streamed(rows, 33).pca(120)
    expected = PCA(120, svd_solver="full").fit(rows.astype(np.float64))
    np.testing.assert_allclose(found.explained_variance, expected.explained_variance_, rtol=1e-4)
    # The cosines of the principal angles between two equal subspaces are all 1.
    cosines = np.linalg.svd(found.components.astype(np.float64) @ expected.components_.T, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    np.testing.assert_allclose(found.mean, expected.mean_, rtol=1e-5)  # float32 of numbers up to 20


def test_reduced_rows_equal_scikit_learns_up_to_sign(rows: np.ndarray) -> None:
    found = streamed(rows, 500).pca(20).reduce(rows)
    expected = PCA(20, svd_solver="full").fit_transform(rows.astype(np.float64))
    # float32 products of 256 terms of size 20: about 1e-3 in absolute value.
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=5e-3)


def test_merging_machines_gives_the_statistics_of_one(rows: np.ndarray) -> None:
    one = streamed(rows, 100)
    first, second = streamed(rows[:700], 50), streamed(rows[700:], 300)
    first.merge(second)
    assert first.count == one.count
    np.testing.assert_allclose(first.mean, one.mean, rtol=1e-12)  # float64 sums in another order
    np.testing.assert_allclose(first.scatter, one.scatter, rtol=1e-9, atol=1e-6)


def test_it_is_centred_and_not_whitened(rows: np.ndarray) -> None:
    reduced = streamed(rows, 3000).pca(5).reduce(rows)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-2)  # float32 sums over 3,000 rows
    variances = streamed(rows, 3000).pca(5).explained_variance
    np.testing.assert_allclose(reduced.var(axis=0, ddof=1), variances, rtol=1e-3)


def test_each_component_is_signed_by_its_largest_entry(rows: np.ndarray) -> None:
    components = streamed(rows, 3000).pca(10).components
    assert (components[np.arange(10), np.abs(components).argmax(axis=1)] > 0).all()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="components = 120: PCA needs more slices than that, got 100"):
        streamed(np.ones((100, 256), np.float32), 100).pca(120)

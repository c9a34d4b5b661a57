"""Extraction on a Dask cluster: its workers see the run's folder and the images, and write the parts themselves."""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd

from ich_seq.embeddings.extract import (
    ExtractionReport,
    Extractor,
    claim_folder,
    extractor_identity,
    identity_in,
    refuse_many,
    store_series,
)
from ich_seq.embeddings.ledger import Done, Ledger, read_done
from ich_seq.embeddings.series import SeriesRows, identity_of, read_series
from ich_seq.embeddings.source import source_of
from ich_seq.errors import StaleCacheError, UsageError
from ich_seq.slices.train import load_cnn
from ich_seq.training.compute import Resolved, inference_precision, resolve_device, set_threads
from ich_seq.training.run import Run, open_run

_IN_FLIGHT = 256
_CONNECT_S = "20s"
_LOADING = Lock()


@dataclass(frozen=True)
class Cluster:
    """Where the scheduler listens (`tcp://host:8786`), and the files of mutual TLS: authority, own certificate, own key.

    `threads` are torch's in each task: the same number gives the same bits.
    """

    address: str
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    threads: int = 1


@dataclass(frozen=True)
class Work:
    """What each task needs beside its series."""

    run: Path
    root: Path
    weights: str
    precision: Resolved
    batch_size: int
    threads: int


def extract_on_cluster(
    cluster: Cluster,
    run: Run,
    table: pd.DataFrame,
    root: Path,
    on_series: Callable[[int, int], None],
) -> ExtractionReport:
    """Every series of the table as a part in the run's cache; a worker that dies costs only the series that it had in hand.

    All compute in one precision. For `auto` it is what this machine would choose, which may have no GPU where the workers have.

    Raises:
        UsageError: no scheduler there, Dask is not installed, or a worker does not multiply bf16.
        StaleCacheError, DatasetError, OutputError: as `extract`, here or on a worker.
    """
    settings = run.config.features
    asked = settings.precision
    precision: Resolved = inference_precision(asked, resolve_device()) if asked == "auto" else asked
    weights = extractor_identity(load_cnn(run.config, run.stage_one))
    claim_folder(run.features, weights, precision)
    extractor = identity_in(precision, weights)
    groups = SeriesRows(table)
    sources = [source_of(extractor, rows, root) for rows in groups]
    known, ledger = read_done(run.features), Ledger(run.features, "0-of-1")
    todo = [place for place, source in enumerate(sources) if source not in known]
    unreadable = [reason for source in sources if source in known for reason in known[source].unreadable]
    work = Work(run.folder.resolve(), root.resolve(), weights, precision, settings.batch_size, cluster.threads)
    there, computed = len(groups) - len(todo), 0
    with _client(cluster) as client:
        for place, (done, new) in _results(client, work, groups, todo):
            ledger.add(sources[place], done)
            unreadable += done.unreadable
            refuse_many(unreadable, len(table))
            there, computed = there + (0 if new else 1), computed + (1 if new else 0)
            on_series(there + computed, len(groups))
    return ExtractionReport(there, computed, unreadable, precision)


def _results(client: Any, work: Work, groups: SeriesRows, todo: list[int]) -> Iterator[tuple[int, tuple[Done, bool]]]:
    """What became of each series, as it comes; only so many wait at the scheduler at a time."""
    from distributed import as_completed

    waiting = iter(todo)

    def submit(place: int) -> Any:
        future = client.submit(compute_series, work, groups[place], pure=False)
        places[future.key] = place
        return future

    places: dict[str, int] = {}
    running = as_completed([submit(place) for place, _ in zip(waiting, range(_IN_FLIGHT), strict=False)])
    for future in running:
        try:
            found = future.result()
        except (CancelledError, OSError) as error:
            raise UsageError(
                f"the cluster's scheduler is gone ({type(error).__name__}); finished series stay: run the same command again"
            ) from error
        yield places.pop(future.key), found
        if (place := next(waiting, None)) is not None:
            running.add(submit(place))


def compute_series(work: Work, rows: pd.DataFrame) -> tuple[Done, bool]:
    """On a worker: reads one series, computes and writes its part."""
    if not (work.run / "config.json").is_file():
        raise UsageError(f"{work.run}: a worker does not see this folder; run and images must lie where all see them")
    set_threads(work.threads)
    extractor, series = _extractor(work), read_series(rows, work.root)
    return store_series(extractor, series, identity_of(extractor.identity, series))


def _extractor(work: Work) -> Extractor:
    """The run's slice classifier, loaded and brought to its precision once a worker, whatever the number of its threads."""
    with _LOADING:
        return _loaded(work)


@lru_cache(maxsize=1)
def _loaded(work: Work) -> Extractor:
    run = open_run(work.run)
    device = resolve_device("auto")
    precision = inference_precision(work.precision, device)
    network = load_cnn(run.config, run.stage_one)
    if extractor_identity(network) != work.weights:
        raise StaleCacheError(f"{work.run}: a worker reads other weights than this command; is it the same folder?")
    extractor = Extractor(network.to(device), run.features, work.batch_size, precision)
    extractor.computing.eval()  # made here, where no other thread makes it too
    return extractor


def _check_tls(cluster: Cluster) -> None:
    """Nothing when the three files can be used; Dask would blame the scheduler for them."""
    try:
        context = ssl.create_default_context(cafile=cluster.tls_ca)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{cluster.tls_ca}: no usable certificate of an authority in PEM ({error})") from error
    try:
        context.load_cert_chain(str(cluster.tls_cert), str(cluster.tls_key))
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{cluster.tls_cert}, {cluster.tls_key}: no certificate in PEM with its key ({error})"
        ) from error


@contextmanager
def _client(cluster: Cluster) -> Iterator[Any]:
    try:
        from distributed import Client, Security
    except ImportError:
        raise UsageError("--dask needs Dask: install ichseq[cluster]") from None
    files = (cluster.tls_ca, cluster.tls_cert, cluster.tls_key)
    if any(files) != all(files):
        raise UsageError("mutual TLS needs all three: --tls-ca, --tls-cert and --tls-key")
    if cluster.address.startswith("tls://") != all(files):
        raise UsageError(
            f"{cluster.address}: a tls:// address goes with --tls-ca, --tls-cert and --tls-key, no other does"
        )
    security = None
    if cluster.tls_ca is not None:
        _check_tls(cluster)
        security = Security(
            tls_ca_file=str(cluster.tls_ca),
            tls_client_cert=str(cluster.tls_cert),
            tls_client_key=str(cluster.tls_key),
            require_encryption=True,
        )
    try:
        client = Client(cluster.address, security=security, timeout=_CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"{cluster.address}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client

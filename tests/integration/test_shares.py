"""Embeddings made by shards, by processes under torchrun and by a Dask cluster are those of one process, bit for bit."""

import datetime
import ipaddress
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kills import command, digests, run_here, together

from ich_seq.cli import main
from ich_seq.embeddings.cluster import Work, compute_series
from ich_seq.embeddings.extract import (
    Extractor,
    Share,
    claim_folder,
    extract,
    extractor_identity,
    open_current_cache,
)
from ich_seq.embeddings.series import SeriesRows
from ich_seq.errors import UsageError
from ich_seq.manifest.table import read_table
from ich_seq.slices.train import load_cnn
from ich_seq.training.run import open_run

SERIES = 12
IN_BF16 = 0.005
"""Of any probability of the trained network's 240 slices by bf16; measured: 0.0011."""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def bare(small_run, tmp_path: Path) -> Path:
    """The run before its features were extracted."""
    shutil.copytree(small_run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("features", "stage_two", "model"))
    return tmp_path / "run"


def same_features(small_run, folder: Path) -> None:
    """Every file but the ledgers, which say who did what."""
    expected = {name: d for name, d in digests(small_run.folder, "features/**/*.*").items() if "done-" not in name}
    found = {name: d for name, d in digests(folder, "features/**/*.*").items() if "done-" not in name}
    assert len(expected) == SERIES + 4
    assert found == expected


def done(*words: str) -> str:
    finished = CliRunner().invoke(main, list(words))
    assert finished.exit_code == 0, finished.stderr
    return finished.stdout


def test_three_shards_make_the_cache_of_one_process(small_run, bare: Path) -> None:
    words = ["extract-features", "--run", str(bare), "--jobs", "1"]
    assert "Shard 2 of 3 is done: 4 series computed" in done(*words, "--shard", "2/3")
    code, said = run_here(*words, "--shard", "4/3")
    assert code == 2
    assert "I from 1 to N" in said
    done(*words, "--shard", "1/3")
    assert "(4 series computed, 8 there already" in done(*words)
    same_features(small_run, bare)


def test_shards_of_different_precisions_do_not_mix(small_run, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bf16 the trained network says nearly the same; what follows takes either cache, and none of both."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})  # or torch makes it of fp32
    words = ["extract-features", "--run", str(bare), "--jobs", "1", "--device", "cpu"]
    done(*words, "--shard", "1/12", "--precision", "bf16")
    code, said = run_here(*words, "--shard", "2/12")
    assert code == 6
    assert "begun in bf16, and now fp32 was chosen" in said
    done(*words, "--precision", "bf16")
    run = open_run(bare)
    assert run.record()["steps"]["extract-features"]["precision"] == "bf16"
    network = load_cnn(run.config, run.stage_one)
    caches = [open_current_cache(folder, network) for folder in (small_run.folder / "features", run.features)]
    one, two = (np.concatenate([each.logits for each in cache.series()]) for cache in caches)
    change = torch.sigmoid(torch.from_numpy(one)) - torch.sigmoid(torch.from_numpy(two))
    assert 0 < change.abs().max() <= IN_BF16


def test_a_worker_computes_in_the_precision_of_its_cluster_or_says_that_it_cannot(
    small_run, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(bare)
    table = read_table(run.table)
    rows, root = SeriesRows(table)[0], Path(run.record()["steps"]["index"]["root"])
    weights = extractor_identity(load_cnn(run.config, run.stage_one))
    claim_folder(run.features, weights, "bf16")
    work = Work(bare, root, weights, "bf16", run.config.features.batch_size, threads=1)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="this processor does not multiply bf16"):
        compute_series(work, rows)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    by_worker, new = compute_series(work, rows)
    assert new
    assert (run.features / "parts" / f"{by_worker.identity}.h5").is_file()
    here = Extractor(load_cnn(run.config, run.stage_one), run.features, work.batch_size, "bf16")
    report = extract(here, table, root, share=Share(0, SERIES))
    assert (report.already_there, report.computed) == (1, 0)  # though no ledger names it


def test_two_processes_make_the_cache_of_one(small_run, bare: Path) -> None:
    finished = together(2, "extract-features", "--run", str(bare), "--jobs", "1", "--device", "cpu")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("(12 series computed, 0 there already") == 1
    same_features(small_run, bare)


def certificates(folder: Path) -> list[str]:
    """An authority of its own and a certificate for this machine, as Dask's options name them."""
    names = {
        who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        for who, title in (("ca", "an authority of this test"), ("own", "localhost"))
    }
    now = datetime.datetime.now(datetime.UTC)
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in ("ca", "own")}
    for who, key in keys.items():
        builder = (
            x509.CertificateBuilder().subject_name(names[who]).issuer_name(names["ca"]).public_key(key.public_key())
        )
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
        builder = builder.not_valid_after(now + datetime.timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca=who == "ca", path_length=None), critical=True)
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), here]), critical=False)
        pem = builder.sign(keys["ca"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / f"{who}.pem").write_bytes(pem)
    private = keys["own"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    files = {"--tls-ca-file": "ca.pem", "--tls-cert": "own.pem", "--tls-key": "key.pem"}
    return [word for option, file in files.items() for word in (option, str(folder / file))]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A scheduler and three workers of one thread each, which know each other by certificates."""
    tls = certificates(tmp_path)
    note = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    bind = ["--protocol", "tls", "--host", "127.0.0.1", "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", *bind, "--port", "0", "--scheduler-file", str(note), *tls], **QUIET
    )
    here = [*dask, "worker", "--scheduler-file", str(note), "--nthreads", "1", "--nworkers", "1", "--no-nanny"]
    here += [
        "--no-dashboard",
        "--protocol",
        "tls",
        "--host",
        "127.0.0.1",
        "--local-directory",
        str(tmp_path / "dask"),
        *tls,
    ]
    workers = [subprocess.Popen(here, env=os.environ | {"OMP_NUM_THREADS": "1"}, **QUIET) for _ in range(3)]
    try:
        limit = time.monotonic() + 60
        while not note.exists() and time.monotonic() < limit:
            time.sleep(0.1)
        text = note.read_text()
        yield text.split('"address": "')[1].split('"')[0], workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def test_a_cluster_of_three_with_one_killed_makes_the_cache_of_one_process(
    small_run, bare: Path, cluster: tuple[str, list[subprocess.Popen]], tmp_path: Path
) -> None:
    address, workers = cluster
    words = ["extract-features", "--run", str(bare), "--jobs", "1", "--dask", address]
    without = subprocess.run(command(*words), capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "--tls-ca" in without.stderr
    tls = [
        f"--tls-{kind}={tmp_path / file}" for kind, file in (("ca", "ca.pem"), ("cert", "own.pem"), ("key", "key.pem"))
    ]
    running = subprocess.Popen(command(*words, *tls), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while not list(bare.glob("features/parts/*.h5")) and time.monotonic() < limit and running.poll() is None:
        time.sleep(0.02)
    workers[0].kill()
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, err
    assert "12 series are in the cache" in out
    same_features(small_run, bare)

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

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kills import command, digests, run_here, together

from ich_seq.cli import main

SERIES = 12
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

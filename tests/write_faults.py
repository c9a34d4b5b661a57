"""A process in which writing goes wrong: a full disk, a folder that is read-only or gone, no file handles left, eight at once.

`python write_faults.py FOLDER` writes each kind of file once as it should be, then again under each fault, in a fork of its own, and
says as JSON what came of it: `[{"writer", "fault", "code", "said", "left"}]`, `left` being what lies in the folder afterwards.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from embedding_writer import identity_of, scan, source_of
from example_result import example_result

from ich_seq.config import PreprocessConfig
from ich_seq.embeddings.ledger import Done, Ledger, read_done
from ich_seq.embeddings.part import read_part, write_part
from ich_seq.errors import IchSeqError
from ich_seq.manifest.table import COLUMNS, read_table, write_table
from ich_seq.report.write import write_study
from ich_seq.slices import tile_part
from ich_seq.slices.tile_cache import claim_folder
from ich_seq.study.score import ScoredStudy
from ich_seq.training.checkpoint import load_checkpoint, save_checkpoint

SMALL = 2000
"""Bytes that a file may have on the full disk: less than any of these."""
NOBODY = 65534
WRITERS_AT_ONCE, SCANS_AT_ONCE = 8, 4
FORM = tile_part.TileFormat.of(PreprocessConfig(size=32))
NAMES = [f"1.2.{place}" for place in range(9)]
SLICES = pd.DataFrame({"sop_instance_uid": NAMES, "path": NAMES, "slice_index": np.full(9, -1, np.int32)})
TILES = np.random.default_rng(0).integers(0, 255, (9, *FORM.shape)).astype(np.uint8)
PRINT = "f" * 64


class Head:
    """Slices in HU, in memory."""

    pixel_spacing_mm = (0.5, 0.5)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.full((64, 80), 40, np.float32)


def table() -> pd.DataFrame:
    made = pd.DataFrame({name: pd.Series(np.zeros(99)).astype(kind) for name, kind in COLUMNS.items()})
    return made.assign(sop_instance_uid=pd.Series([f"1.2.{row}" for row in range(99)], dtype="str"))


def note(folder: Path) -> None:
    """Lines enough that the disk is full before the last."""
    ledger = Ledger(folder, "0-of-1")
    for number in range(40):
        ledger.add(source_of(number), Done("", ("a slice that cannot be read",)))


WRITERS: dict[str, Callable[[Path], object]] = {
    "embeddings": lambda folder: write_part(folder, identity_of(0), scan(0)),
    "ledger": note,
    "tiles": lambda folder: tile_part.write_part(folder, FORM, SLICES, iter(TILES)),
    "checkpoint": lambda folder: save_checkpoint(
        folder / "last.pt", {"fingerprint": PRINT, "network": {"w": torch.ones(9999)}}
    ),
    "table": lambda folder: write_table(table(), folder / "table.parquet"),
    "results": lambda folder: write_study(ScoredStudy(example_result(), Head(), 1), folder),  # type: ignore[arg-type]
}
READERS: dict[str, Callable[[Path], object]] = {
    "embeddings": lambda folder: read_part(folder, identity_of(0)),
    "ledger": read_done,
    "tiles": lambda folder: [tile_part.read_slices(path, FORM) for path in tile_part.part_paths(folder)],
    "checkpoint": lambda folder: load_checkpoint(folder / "last.pt", PRINT),
    "table": lambda folder: read_table(folder / "table.parquet"),
}


def full_disk(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))


def read_only(folder: Path) -> None:
    """As another user in a folder that is not theirs; its path is left out, since nobody may look into that of a test."""
    os.chdir(folder)
    if os.getuid() == 0:
        os.setuid(NOBODY)
    else:
        folder.chmod(0o555)


def no_handles(folder: Path) -> None:
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def gone(folder: Path) -> None:
    """Somebody removes it, and a file takes its place."""
    shutil.rmtree(folder)
    folder.write_text("in the way")


FAULTS = {"full disk": full_disk, "read-only": read_only, "no handles": no_handles, "gone": gone}


def forked(work: Callable[[], object]) -> tuple[int, str]:
    """What becomes of the work in a process of its own: its exit code and what it says; -1 is what no user should see."""
    receive, send = os.pipe()
    process = os.fork()
    if process == 0:
        code, said = 0, ""
        try:
            work()
        except IchSeqError as error:
            code, said = error.exit_code, error.message
        except BaseException:  # noqa: BLE001  # whatever it is, the test shows it
            code, said = -1, traceback.format_exc()
        os.write(send, json.dumps([code, said]).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as file:
        answer = file.read()
    os.waitpid(process, 0)
    code, said = json.loads(answer or '[-1, "it died"]')
    return code, said


def under(fault: str, folder: Path, work: Callable[[Path], object]) -> tuple[int, str]:
    def bound() -> None:
        FAULTS[fault](folder)
        work(Path() if fault == "read-only" else folder)

    return forked(bound)


def try_all(root: Path) -> list[dict[str, object]]:
    found = []
    for name, write in WRITERS.items():
        whole = root / f"{name} whole"
        whole.mkdir()
        write(whole)
        for fault in FAULTS:
            folder = root / f"{name} {fault}"
            folder.mkdir()
            code, said = under(fault, folder, write)
            left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            found.append({"writer": name, "fault": fault, "code": code, "said": said, "left": left})
    for name, read in READERS.items():
        code, said = under("no handles", root / f"{name} whole", read)
        found.append({"writer": f"reading {name}", "fault": "no handles", "code": code, "said": said, "left": []})
    return found


def all_at_once(root: Path) -> list[dict[str, object]]:
    """Eight processes that write the same scans, tiles, table and checkpoint, each with a ledger of its own."""
    folder = root / "at once"
    folder.mkdir()
    begin, go = os.pipe()
    processes = []
    for number in range(WRITERS_AT_ONCE):
        process = os.fork()
        if process == 0:
            os.close(go)
            os.read(begin, 1)  # until every process is there
            code, said = forked(lambda number=number: write_everything(folder, number))
            (root / f"said {number}").write_text(json.dumps([code, said]))
            os._exit(0)
        processes.append(process)
    os.close(go)
    for process in processes:
        os.waitpid(process, 0)
    answers = [json.loads((root / f"said {number}").read_text()) for number in range(WRITERS_AT_ONCE)]
    return [{"writer": number, "code": code, "said": said} for number, (code, said) in enumerate(answers)]


def write_everything(folder: Path, number: int) -> None:
    claim_folder(folder / "tiles", FORM)
    (folder / "parts").mkdir(exist_ok=True)
    ledger = Ledger(folder, f"{number}-of-{WRITERS_AT_ONCE}")
    for each in range(SCANS_AT_ONCE):
        write_part(folder / "parts", identity_of(each), scan(each))
        ledger.add(source_of(each), Done(identity_of(each), ()))
        tile_part.write_part(folder / "tiles" / "parts", FORM, SLICES, iter(TILES))
        WRITERS["checkpoint"](folder)
        WRITERS["table"](folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        answer = {"faults": try_all(place), "at_once": all_at_once(place)}
    sys.stdout.write(json.dumps(answer))

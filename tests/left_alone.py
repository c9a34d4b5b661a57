"""Every long command: what it needs before, its words, and what a run left alone writes."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kills import digests, run

LIGHT = ("phantom", "index", "explore", "cache-tiles")
HEAVY = (
    "train-cnn",
    "train-cnn --tiles",
    "extract-features",
    "extract-features --shard",
    "train-lstm",
    "evaluate",
    "submit",
)
DEMO = tuple(
    f"run/{name}"
    for name in (
        "cohort/**/*",
        "*/*.safetensors",
        "features/index.json",
        "features/*.h5",
        "features/parts/*",
        *("evaluation/evaluation.html", "evaluation/scores.csv", "evaluation/table.md"),
    )
)
"""Without the table, which says where its images lie; its digest, in model.json, and that one's, in evaluation.json; and the ledger,
which knows the images' times."""
# 260 files: two pieces of work for the processes of `index`.
PHANTOM = ("--studies", "13", "--slices", "20", "--matrix", "64", "--seed", "3", "--jobs", "2")


Words = Callable[[Path], list[str]]
Prepare = Callable[[Path], None]
Patterns = tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """The digests of what a command makes, and the names of all files in its folder: leftovers would be among them.

    Event files for TensorBoard are left out: their names tell time, host and process.
    """

    made: dict[str, str]
    files: set[str]

    @classmethod
    def of(cls, folder: Path, patterns: Patterns) -> "Written":
        made = {name: digest for pattern in patterns for name, digest in digests(folder, pattern).items()}
        every = (path.relative_to(folder) for path in folder.rglob("*"))
        return cls(made, {path.as_posix() for path in every if "tensorboard" not in path.parts})


@dataclass(frozen=True)
class LeftAlone:
    """A command left alone; `words` and `prepare` take a folder of its own, in which it makes what `patterns` find."""

    words: Words
    prepare: Prepare
    patterns: Patterns
    written: Written
    seconds: float


class LongCommands:
    """The commands by name, each run once and left alone when it is first asked for."""

    def __init__(self, base: Path, small: Callable[[], Any]) -> None:
        self.base, self._small = base, small
        self._known: dict[str, LeftAlone] = {}

    def __getitem__(self, name: str) -> LeftAlone:
        if name not in self._known:
            words, prepare, patterns = self._light(name) if name in LIGHT else self._heavy(name)
            folder = self.folder(name)
            prepare(folder)
            seconds = run(*words(folder), "--quiet")
            written = Written.of(folder, patterns)
            self._known[name] = LeftAlone(words, prepare, patterns, written, seconds)
        return self._known[name]

    def folder(self, name: str) -> Path:
        """Where a command was left alone."""
        return self.base / f"{name.replace(' ', '')}-left-alone"

    def _light(self, name: str) -> tuple[Words, Prepare, Patterns]:
        cohort, table = self.folder("phantom") / "cohort", self.folder("index") / "slices.parquet"
        if name != "phantom":
            self["phantom"]
        if name not in ("phantom", "index"):
            self["index"]
        head: list[str] = {
            "phantom": ["phantom", *PHANTOM],
            "index": ["index", "phantom", "--root", str(cohort), "--config", "demo_quick", "--jobs", "2"],
            "explore": ["explore", "--table", str(table), "--sample", "40"],
            "cache-tiles": ["cache-tiles", "--table", str(table), "--config", "demo_quick", "--jobs", "2"],
        }[name]
        out = {"phantom": "cohort", "index": "slices.parquet", "explore": "explore.html", "cache-tiles": "tiles"}[name]
        return lambda folder: [*head, "--out", str(folder / out)], Path.mkdir, ("**/*",)

    def _heavy(self, name: str) -> tuple[Words, Prepare, Patterns]:
        if name == "demo":
            return lambda folder: ["demo", "--quick", "--run", str(folder / "run"), "--jobs", "2"], Path.mkdir, DEMO
        small, later = self._small(), ("features", "stage_two", "model", "evaluation")
        if name in ("train-cnn", "train-cnn --tiles"):
            train = small.train_cnn if name == "train-cnn" else self._from_tiles(small)
            return train, Path.mkdir, ("stage_one/cnn.safetensors",)
        if name == "submit":
            root = self._unlabelled(small.cohort)
            score = ["submit", "--root", str(root), "--model", str(small.folder / "model"), "--jobs", "1"]
            return lambda folder: [*score, "--out", str(folder / "submission.csv")], Path.mkdir, ("*",)
        head = {"extract-features --shard": ["extract-features", "--shard", "1/2"]}.get(name, [name])
        made: dict[str, tuple[int, Patterns]] = {
            "extract-features": (0, ("features/**/*",)),
            "extract-features --shard": (0, ("features/**/*",)),
            "train-lstm": (1, ("stage_two/lstm.safetensors", "model/*")),
            "evaluate": (3, ("evaluation/*",)),
        }
        ignored = shutil.ignore_patterns(*later[made[name][0] :])

        def prepare(folder: Path) -> None:
            shutil.copytree(small.folder, folder, ignore=ignored)

        return lambda folder: [*head, "--run", str(folder), "--jobs", "1"], prepare, made[name][1]

    def _from_tiles(self, small: Any) -> Words:
        """Two processes of torch's own read the tiles."""
        tiles, config = self.base / "tiles", self.base / "two_readers.toml"
        config.write_text(small.config.read_text().replace("workers = 0", "workers = 2"))
        words = ["--table", str(small.table), "--config", str(config), "--jobs", "1"]
        run("cache-tiles", "--out", str(tiles), *words)
        return lambda folder: ["train-cnn", "--tiles", str(tiles), *words, "--run", str(folder)]

    def _unlabelled(self, cohort: Path) -> Path:
        """The cohort as the challenge's images without labels."""
        root = self.base / "unlabelled"
        shutil.copytree(cohort / "stage_2_train", root / "stage_2_test")
        sample = pd.read_csv(cohort / "stage_2_train.csv").assign(Label=0.5)
        sample.to_csv(root / "stage_2_sample_submission.csv", index=False)
        return root

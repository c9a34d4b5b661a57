"""A run: the folder in which one experiment keeps its config, weights, embeddings, metrics and model."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ich_seq import __version__
from ich_seq.config import Config
from ich_seq.distrust import MOST_JSON, SEAL, DamagedError, read_own, sealed, strict_object, unsealed
from ich_seq.errors import UsageError
from ich_seq.files import make_folder, write_json
from ich_seq.training import ranks

_VERSIONED = ("torch", "torchvision", "numpy", "pydicom", "scikit-learn", "h5py", "safetensors")
_RECORD = {"ichseq", "seed", "machine", "steps"}


@dataclass(frozen=True)
class Run:
    """`folder` and the config that it was started with; each step has a folder inside."""

    folder: Path
    config: Config

    @property
    def table(self) -> Path:
        """A copy of the table of slices that the run was started with."""
        return self.folder / "table.parquet"

    @property
    def stage_one(self) -> Path:
        """Checkpoints, log and weights of the slice classifier."""
        return self.folder / "stage_one"

    @property
    def features(self) -> Path:
        """The embedding cache."""
        return self.folder / "features"

    @property
    def stage_two(self) -> Path:
        """Checkpoints, log and weights of the sequence network."""
        return self.folder / "stage_two"

    @property
    def model(self) -> Path:
        """The trained pipeline as it is shipped."""
        return self.folder / "model"

    @property
    def begun(self) -> bool:
        """Whether stage one has a checkpoint or weights here."""
        return any(self.stage_one.glob("*.pt")) or any(self.stage_one.glob("*.safetensors"))

    @property
    def record_path(self) -> Path:
        """`run.json`: what was done here, with what."""
        return self.folder / "run.json"

    def record(self) -> dict[str, Any]:
        """What `run.json` says; empty before the first step.

        Raises:
            UsageError: it is damaged.
        """
        try:
            record = _read_json(self.record_path)
            if unknown := record.keys() - _RECORD:
                raise DamagedError(f"it has an unknown field, {sorted(unknown)[0]!r}")
            steps = record.get("steps", {})
            if not isinstance(steps, dict) or not all(isinstance(facts, dict) for facts in steps.values()):
                raise DamagedError("its steps are none")
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            raise UsageError(
                f"{self.record_path}: damaged ({error}); remove it: the steps that were done are noted anew when they are run again"
            ) from error
        return record

    def note(self, step: str, facts: dict[str, Any]) -> None:
        """Adds what one step did (device, seconds, digests) to `run.json`, with versions and time.

        Of several processes the first does.

        Raises:
            OutputError: the run folder cannot be written.
        """
        if ranks.rank() > 0:
            return
        record = self.record()
        record |= {"ichseq": __version__, "seed": self.config.seed, "machine": machine()}
        record.setdefault("steps", {})[step] = {"finished": datetime.now(UTC).isoformat(timespec="seconds")} | facts
        write_json(self.record_path, sealed(record))


def start_run(folder: Path, config: Config) -> Run:
    """The run in `folder`: made with `config`, or taken up where it was left.

    A run in which nothing was learnt yet takes the new config: its start failed, and the config was mended.

    Raises:
        UsageError: the folder holds a run with another config, which has learnt something.
        OutputError: it cannot be made or written.
    """
    path = make_folder(folder) / "config.json"
    if path.exists() and Run(folder, config).begun:
        if open_run(folder).config != config:
            raise UsageError(
                f"{folder}: holds a run with another config (see {path}); choose another --run, or remove the folder"
            )
    else:
        write_json(path, sealed(config.model_dump(mode="json")))
    return Run(folder, config)


def open_run(folder: Path) -> Run:
    """The run in `folder`, with the config that it was started with.

    Raises:
        UsageError: there is no run, or its config is not of this version.
    """
    path = folder / "config.json"
    try:
        return Run(folder, Config.model_validate(_read_json(path)))
    except FileNotFoundError:
        raise UsageError(
            f"{folder}: no run here (no config.json); start one with `ichseq train-cnn --run {folder}`"
        ) from None
    except DamagedError as error:
        raise UsageError(f"{path}: not usable ({error}); start again in another --run") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(
            f"{path}: not a config of this version: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; "
            "start again in another --run"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    """An object that was written here; who changes it on purpose takes its seal away."""
    content = strict_object(read_own(path, MOST_JSON))
    try:
        return unsealed(content, must=False)
    except DamagedError as error:
        raise DamagedError(f"{error}; if it was changed on purpose, remove its line {SEAL!r}") from error


def machine() -> dict[str, Any]:
    """Versions of what computes, and the processor's cores: what a figure depends on; no name of host or user."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "packages": {name: metadata.version(name) for name in _VERSIONED},
    }

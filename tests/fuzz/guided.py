"""Coverage-guided fuzzing of one target by atheris (`pip install -e .[fuzz]`).

    cd tests && PYTHONPATH=.. python -m fuzz.guided {header,frames,archive,labels,bundle} [SECONDS]

Ends with an error, and the input written beside, at the first thing that escapes, takes above 5 s or 2 GB.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from fuzz.targets import NAMES


def main(name: str, seconds: str = "120") -> None:
    """Fuzzes the target for some time, from its seeds."""
    import atheris

    if name not in NAMES:
        raise SystemExit(f"{name}: no such target; there are {', '.join(NAMES)}")
    with atheris.instrument_imports(include=["ich_seq", "pydicom", "zipfile"]):
        target = import_module(f"fuzz.targets.{name}")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=40000", "-verbosity=1"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={Path.cwd()}/found-{name}-", corpus], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

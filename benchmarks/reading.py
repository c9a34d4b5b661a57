"""How fast headers and slices are read: headers, native and compressed slices, whole studies; beside pydicom's usual calls.

    python benchmarks/reading.py [FOLDER ...]

Without folders it reads the real series of `ICHSEQ_REAL_DATA` (default `../shared/data`). Times are the best of several passes over
files that the operating system has cached: they measure decoding, not the disk.
"""

import argparse
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom

from ich_seq.dicom import Series, read_header, read_study_files
from ich_seq.dicom.pixels import decode_slice
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES
from ich_seq.volume import Volume

SERIES = (
    "rsna_series_ID_52c1ab5a",
    "ge_tilt_variable_spacing",
    "philips_phantom_5mm",
    "labelled_studies/negative__CQ500_CT_47",
    "labelled_studies/subdural__CQ500_CT_412",
)


def best_ms(work: Callable[[], object], count: int, passes: int = 5) -> float:
    """Milliseconds for each of `count` items, in the best pass."""
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) / count * 1e3


def pydicom_header(path: Path) -> None:
    """pydicom's header with the values that ordering and HU need, as notebooks read them."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        dataset.get(keyword)


def pydicom_hu(path: Path) -> np.ndarray:
    """pydicom's pixels in HU, as notebooks compute them."""
    dataset = pydicom.dcmread(path)
    return dataset.pixel_array.astype(np.float32) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def measure(folder: Path) -> tuple[str, ...]:
    """One row of the table: name, slices, transfer syntax, milliseconds."""
    series = first_series(folder)
    paths = [path for path in sorted(folder.rglob("*.dcm")) if path.is_file()]
    count = len(series)
    times = (
        best_ms(lambda: [read_header(path) for path in paths], len(paths)),
        best_ms(lambda: [pydicom_header(path) for path in paths], len(paths)),
        best_ms(lambda: [decode_slice(header) for header in series.headers], count),
        best_ms(lambda: [pydicom_hu(path) for path in paths], len(paths)),
        best_ms(lambda: sum(1 for _ in Volume(series).read()), count),
        best_ms(lambda: read_study_files([folder]), 1),
    )
    syntax = TRANSFER_SYNTAXES[series.headers[0].pixels.transfer_syntax_uid].name
    return folder.name[:26], str(count), syntax[:26], *(f"{value:.2f}" for value in times)


def first_series(folder: Path) -> Series:
    """The chosen series of the first study of a folder."""
    chosen = read_study_files([folder]).studies[0].chosen
    if chosen is None:
        raise SystemExit(f"{folder}: no series to read")
    return chosen


def main(arguments: Sequence[str]) -> None:
    """Measure each folder and print the table."""
    warnings.simplefilter("ignore")  # pydicom warns of RSNA's identifiers on every value
    logging.getLogger("pydicom").disabled = True
    parser = argparse.ArgumentParser(description="How fast headers and slices are read.")
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args(arguments).folders
    if not folders:
        root = Path(os.environ.get("ICHSEQ_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
        folders = [root / name for name in SERIES if (root / name).is_dir()]
    if not folders:
        raise SystemExit("no folder to read: name one, or set ICHSEQ_REAL_DATA")
    print(
        f"Python {platform.python_version()}, pydicom {pydicom.__version__}, numpy {np.__version__}, "
        f"{platform.machine()}, {os.cpu_count()} cores"
    )
    print(
        "ms each: header, pydicom's header; slice in HU, pydicom's; slice by Volume.read (with digest); ms a study (inventory)\n"
    )
    titles = ("series", "slices", "transfer syntax", "header", "pydicom", "slice", "pydicom", "read", "study")
    widths = (26, 6, 26, 8, 8, 8, 8, 8, 8)
    for row in (titles, *(measure(folder) for folder in folders)):
        cells = (
            cell.ljust(width) if index in (0, 2) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(" ".join(cells))


if __name__ == "__main__":
    main(sys.argv[1:])

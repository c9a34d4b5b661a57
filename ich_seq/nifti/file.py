"""One NIfTI file, opened within limits: gzip is inflated in memory and no further than allowed, and no pixel is missing."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ich_seq.dicom.codes import Code
from ich_seq.dicom.limits import LIMITS, MIB
from ich_seq.errors import PixelsUnreadableError

ENDINGS = (".nii", ".nii.gz")
_GZIP_MAGIC = b"\x1f\x8b"
_NIFTI2_HEADER_BYTES = 540


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its name: a single file, `.nii` or `.nii.gz`."""
    return path.name.lower().endswith(ENDINGS)


def open_image(path: Path) -> Any:
    """The nibabel image of a file: its header is read, its values wait in the file, or inflated in memory where it is gzip.

    Raises:
        PixelsUnreadableError: not NIfTI, truncated, larger than `LIMITS.volume_bytes`, empty, or of values that are no single numbers.

    Source: the NIfTI-1 standard, 10.1016/j.jneumeth.2016.03.001.
    """
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        if not path.is_file():
            raise refused(path, "not a regular file", "give the file itself")
        with _silent():
            image, held = _opened(path)
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, zlib.error) as error:
        raise refused(path, f"not a readable NIfTI file ({error})", "copy or export it again") from error
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:  # a header of nonsense
        raise refused(path, "a header that no NIfTI file can have", "copy or export it again") from error
    _check_values(path, image, held)
    return image


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that nibabel logs gets out; its own suppressor takes the handlers away, and Python's last resort prints instead."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def refused(path: Path, what: str, remedy: str, code: Code = Code.D_UNREADABLE) -> PixelsUnreadableError:
    """The error that names the file, what is wrong with it, and the way out."""
    return PixelsUnreadableError(f"{path.name}: {what}; {remedy}", code=code.value)


def _opened(path: Path) -> tuple[Any, int]:
    """The image and how many bytes of it there are."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    with path.open("rb") as file:
        start = file.read(4)
    content = _inflated(path) if start[:2] == _GZIP_MAGIC else None
    start = start if content is None else content[:4]
    sizes = {int.from_bytes(start, order) for order in ("little", "big")}
    kind = Nifti2Image if _NIFTI2_HEADER_BYTES in sizes else Nifti1Image
    if content is None:
        return kind.from_filename(path), path.stat().st_size
    return kind.from_stream(io.BytesIO(content)), len(content)


def _inflated(path: Path) -> bytes:
    content = bytearray()
    with gzip.open(path) as stream:
        while part := stream.read(MIB):
            content += part
            if len(content) > LIMITS.volume_bytes:
                raise _too_large(path)
    return bytes(content)


def _check_values(path: Path, image: Any, held: int) -> None:
    shape, kind = image.shape, image.get_data_dtype()
    if kind.kind not in "iuf":
        raise refused(path, f"values of type {kind}, which are no single numbers", "export HU as numbers")
    if not shape or min(shape) < 1:
        raise refused(path, f"its shape is {shape}: there are no slices", "export it again")
    wanted = kind.itemsize
    for count in shape:
        wanted *= int(count)
    if wanted > LIMITS.volume_bytes:
        raise _too_large(path)
    if held < int(image.dataobj.offset) + wanted:
        raise refused(
            path, "truncated: its header says that there is more", "copy or export it again", Code.D_TRUNCATED
        )


def _too_large(path: Path) -> PixelsUnreadableError:
    limit = f"more than {LIMITS.volume_bytes / MIB:,.0f} MiB of values"
    return refused(path, limit, "check that it is a head CT, and store it as 16-bit integers", Code.D_FILE_SIZE)

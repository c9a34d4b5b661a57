"""One slice in every compressed transfer syntax that is read, with the encoders of pydicom, GDCM or (HTJ2K) OpenJPH."""

import struct
from pathlib import Path

import gdcm
import imagecodecs
import numpy as np
from dicom_factory import make_slice, ramp_hu, set_pixels, write
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGLSNearLossless

_GDCM = {
    "jpeg_baseline": gdcm.TransferSyntax.JPEGBaselineProcess1,
    "jpeg_lossless": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "jpeg_lossless_sv1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}
_HTJ2K = {
    "htj2k": HTJ2KLossless,
    "htj2k_rpcl": HTJ2KLosslessRPCL,
    "htj2k_lossy": HTJ2K,
}
WRITTEN = ("rle", "jpegls", "jpegls_near", "jpeg2000", "jpeg2000_lossy", *_HTJ2K, *_GDCM)
LOSSLESS = ("rle", "jpegls", "jpeg2000", "htj2k", "htj2k_rpcl", "jpeg_lossless", "jpeg_lossless_sv1")


def write_compressed(path: Path, syntax: str) -> Path:
    """One slice with noise on its ramp, so that every part of the stream is needed; 8 bits for baseline JPEG."""
    dataset = make_slice(0)
    noise = np.random.default_rng(7).integers(-200, 200, (64, 80))
    set_pixels(dataset, ramp_hu(0) + noise)
    if syntax == "jpeg_baseline":
        stored = (ramp_hu(0) % 250).astype(np.uint8)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OB"
    if syntax == "jpegls_near":
        dataset.compress(JPEGLSNearLossless, jls_error=2, generate_instance_uid=False)
    elif syntax == "jpeg2000_lossy":
        dataset.compress(JPEG2000, j2k_cr=[4], generate_instance_uid=False)
    elif syntax in _HTJ2K:
        dataset.PixelData = encapsulate([_htj2k(dataset.pixel_array, lossless=syntax != "htj2k_lossy")])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = _HTJ2K[syntax]
    elif syntax in _GDCM:
        write(dataset, path)
        return _transcoded(path, _GDCM[syntax])
    else:
        write(dataset, path, syntax)
        return path
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def _htj2k(stored: np.ndarray, *, lossless: bool) -> bytes:
    return bytes(imagecodecs.htj2k_encode(stored, reversible=lossless))


def _transcoded(path: Path, syntax: int) -> Path:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    return path


def stream_of(raw: bytes) -> tuple[int, bytes]:
    """Where the item of the only fragment begins, and the stream in it."""
    at = raw.rindex(b"\xe0\x7f\x10\x00OB") + 12
    first = at + 8 + struct.unpack_from("<I", raw, at + 4)[0]
    length = struct.unpack_from("<I", raw, first + 4)[0]
    return first, raw[first + 8 : first + 8 + length]


def with_stream(raw: bytes, stream: bytes) -> bytes:
    """The file with another stream as its only fragment, whose length is right and even."""
    first, _ = stream_of(raw)
    even = stream + b"\0" * (len(stream) % 2)
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(even)) + even
    return raw[:first] + item + b"\xfe\xff\xdd\xe0" + bytes(4)

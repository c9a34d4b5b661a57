"""A compressed stream that ends early is refused, in every compressed transfer syntax that is read."""

import numpy as np
import pytest
from compressed import LOSSLESS, WRITTEN, stream_of, with_stream, write_compressed

from ich_seq.dicom import read_slice_hu
from ich_seq.errors import PixelsUnreadableError

PLACES = 20


@pytest.mark.parametrize("syntax", WRITTEN)
def test_a_file_cut_anywhere_in_its_stream_is_refused(tmp_path, syntax):
    path = write_compressed(tmp_path / "a.dcm", syntax)
    raw = path.read_bytes()
    first, stream = stream_of(raw)
    for cut in np.linspace(1, len(stream) - 1, PLACES).astype(int):
        path.write_bytes(raw[: first + 8 + cut])
        with pytest.raises(PixelsUnreadableError, match="D-TRUNCATED"):
            read_slice_hu(path)


@pytest.mark.parametrize("syntax", WRITTEN)
def test_a_stream_cut_anywhere_is_refused_though_its_file_is_whole(tmp_path, syntax):
    path = write_compressed(tmp_path / "a.dcm", syntax)
    raw = path.read_bytes()
    read_slice_hu(path)
    _, stream = stream_of(raw)
    for cut in np.linspace(1, len(stream.rstrip(b"\0")) - 2, PLACES).astype(int):
        path.write_bytes(with_stream(raw, stream[:cut]))
        with pytest.raises(PixelsUnreadableError, match="D-TRUNCATED|D-CODESTREAM|D-UNREADABLE"):
            read_slice_hu(path)


@pytest.mark.parametrize("syntax", [syntax for syntax in WRITTEN if syntax != "rle"])
def test_a_cut_stream_that_someone_gave_an_end_marker_is_refused(tmp_path, syntax):
    """Decoders of JPEG fill in what is missing; RLE has no marker. The last tenth is left out: little may be missing there."""
    path = write_compressed(tmp_path / "a.dcm", syntax)
    raw = path.read_bytes()
    _, stream = stream_of(raw)
    for cut in np.linspace(20, 0.9 * len(stream), PLACES).astype(int):
        path.write_bytes(with_stream(raw, stream[:cut] + b"\xff\xd9"))
        with pytest.raises(PixelsUnreadableError):
            read_slice_hu(path)


def test_a_refused_stream_does_not_make_the_next_one_suspect(tmp_path):
    path = write_compressed(tmp_path / "a.dcm", "jpeg_lossless")
    raw = path.read_bytes()
    whole = read_slice_hu(path)
    _, stream = stream_of(raw)
    path.write_bytes(with_stream(raw, stream[: len(stream) // 2] + b"\xff\xd9"))
    with pytest.raises(PixelsUnreadableError, match="JPEG Lossless: EOFError"):
        read_slice_hu(path)
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_slice_hu(path), whole)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_stream_gives_the_values_that_were_written(tmp_path, syntax):
    native = write_compressed(tmp_path / "native.dcm", "explicit")
    found = read_slice_hu(write_compressed(tmp_path / "a.dcm", syntax))
    np.testing.assert_array_equal(found, read_slice_hu(native))

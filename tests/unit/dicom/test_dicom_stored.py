"""Stored values that need more than a rescale: tables, shifted cells, and pixel data in another transfer syntax than stated."""

import numpy as np
import pytest
from dicom_factory import make_series, make_slice, ramp_hu, set_pixels, write
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from ich_seq.dicom import Code, read_header, read_slice_hu, read_study_files
from ich_seq.dicom.modality_lut import ModalityLut
from ich_seq.dicom.pixels import decode_slice
from ich_seq.errors import PixelsUnreadableError
from ich_seq.volume import Volume

EXPLICIT = "1.2.840.10008.1.2.1"


def notes(path):
    return {code.value for code in decode_slice(read_header(path)).notes}


def with_lut(first, entries, bits=16, kind="HU", signed=False):
    """An edit that puts a Modality LUT in the place of the rescale."""

    def edit(dataset, _index):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        item = Dataset()
        item.add_new(0x00283002, "SS" if signed else "US", [len(entries), first, bits])
        item.ModalityLUTType = kind
        item.add_new(0x00283006, "OW", np.asarray(entries).astype("<u2" if bits == 16 else "u1").tobytes())
        dataset.add_new(0x00283000, "SQ", [item])

    return edit


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "jpegls"])
def test_a_modality_lut_stands_in_for_the_rescale(tmp_path, syntax):
    """Stored values are HU + 1024; the table says stored - 1024 for each of them, negative ones in two's complement."""
    (path,) = make_series(tmp_path, 1, with_lut(0, (np.arange(4096) - 1024) & 0xFFFF), syntax)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))
    assert notes(path) == {"N-MODALITY-LUT"}


def test_stored_values_outside_a_table_take_its_ends():
    """The third entry of -1000, 0, 50, 300 is for stored value 12; below 10 the first holds, above 13 the last."""
    table = ModalityLut(10, "HU", np.array([-1000, 0, 50, 300], np.int16).tobytes())
    stored = np.array([[0, 10, 11], [12, 13, 4095]], np.uint16)
    assert table.to_hu(stored).tolist() == [[-1000, -1000, 0], [50, 300, 300]]


def test_a_table_of_signed_pixels_may_begin_below_zero(tmp_path):
    def edit(dataset, index):
        set_pixels(dataset, ramp_hu(0), signed=True)
        with_lut(-1024, (np.arange(4096) - 1024) & 0xFFFF, signed=True)(dataset, index)

    (path,) = make_series(tmp_path, 1, edit)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))


def test_a_table_of_65536_entries_states_0_of_them(tmp_path):
    def edit(dataset, _index):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        item = Dataset()
        item.add_new(0x00283002, "US", [0, 0, 16])
        item.add_new(0x00283006, "OW", ((np.arange(65536) - 1024) & 0xFFFF).astype("<u2").tobytes())
        dataset.add_new(0x00283000, "SQ", [item])

    (path,) = make_series(tmp_path, 1, edit)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))


def test_padding_is_looked_up_in_the_table_too(tmp_path):
    """Stored 0 is the padding value, and the table makes -1024 HU of it: padding, as the rescale would."""

    def edit(dataset, index):
        hu = ramp_hu(0)
        hu[:, :3] = -1024
        set_pixels(dataset, hu)
        dataset.add_new(0x00280120, "US", 0)
        with_lut(0, (np.arange(4096) - 1024) & 0xFFFF)(dataset, index)

    (path,) = make_series(tmp_path, 1, edit)
    assert decode_slice(read_header(path)).padding_pixels == 64 * 3


@pytest.mark.parametrize(("entries", "bits"), [(100, 12), (0, 16)])
def test_a_table_that_cannot_be_read_drops_the_slice(tmp_path, entries, bits):
    def edit(dataset, index):
        with_lut(0, np.arange(4096))(dataset, index)
        item = dataset[0x00283000].value[0]
        item.add_new(0x00283002, "US", [4096, 0, bits])
        item.add_new(0x00283006, "OW", bytes(2 * entries))

    (path,) = make_series(tmp_path, 1, edit)
    with pytest.raises(PixelsUnreadableError, match=r"D-BAD-RESCALE.*Modality LUT"):
        read_slice_hu(path)


def test_a_table_of_other_units_is_no_hu(tmp_path):
    make_series(tmp_path, 6, with_lut(0, np.arange(4096), kind="OD"))
    (study,) = read_study_files([tmp_path]).studies
    assert getattr(study.refusal, "code", None) == "E-NOT-HU"


@pytest.mark.parametrize(
    ("bits", "high_bit", "signed"), [(12, 15, False), (12, 14, False), (12, 15, True), (14, 14, True)]
)
def test_values_that_lie_higher_in_their_cell_are_shifted_down(tmp_path, bits, high_bit, signed):
    def edit(dataset, _index):
        stored = ramp_hu(0).astype(int) + (0 if signed else 1024)
        cells = (stored & ((1 << bits) - 1)) << (high_bit - bits + 1)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, high_bit, int(signed)
        dataset.RescaleIntercept = "0" if signed else "-1024"
        dataset.PixelData = cells.astype("<u2").tobytes()

    (path,) = make_series(tmp_path, 1, edit)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))
    assert notes(path) == {"N-SHIFTED-BITS"}


def test_bits_beside_shifted_values_are_dropped_and_noted(tmp_path):
    def edit(dataset, _index):
        cells = (ramp_hu(0).astype(int) + 1024) << 4 | 0b1010  # an overlay in the lowest bits
        dataset.HighBit = 15
        dataset.PixelData = cells.astype("<u2").tobytes()

    (path,) = make_series(tmp_path, 1, edit)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))
    assert notes(path) == {"N-HIGH-BITS", "N-SHIFTED-BITS"}


@pytest.mark.parametrize("high_bit", [10, 16])
def test_a_high_bit_that_fits_no_cell_is_refused(tmp_path, high_bit):
    def edit(dataset, _index):
        dataset.HighBit = high_bit

    (path,) = make_series(tmp_path, 1, edit)
    with pytest.raises(PixelsUnreadableError, match="D-BITS"):
        read_slice_hu(path)


def relabelled(path, uid):
    """Another transfer syntax in the file meta information, the data set as it is; explicit little endian throughout."""
    raw = path.read_bytes()
    stated = b"\x02\x00\x10\x00UI"
    at = raw.index(stated)
    length = int.from_bytes(raw[at + 6 : at + 8], "little")
    name = uid.encode() + b"\0" * (len(uid) % 2)
    new = raw[:at] + stated + len(name).to_bytes(2, "little") + name + raw[at + 8 + length :]
    group = new.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    size = int.from_bytes(new[group : group + 4], "little") + len(name) - length
    path.write_bytes(new[:group] + size.to_bytes(4, "little") + new[group + 4 :])
    return path


@pytest.mark.parametrize("syntax", ["rle", "jpegls", "jpeg2000"])
def test_encapsulated_data_that_are_called_native_are_read_as_what_they_are(tmp_path, syntax):
    (path,) = make_series(tmp_path, 1, syntax=syntax)
    relabelled(path, EXPLICIT)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))
    assert Code.W_TS_MISLABELLED in read_header(path).notes


@pytest.mark.parametrize("uid", [EXPLICIT, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
@pytest.mark.parametrize("syntax", ["jpegls", "jpeg2000"])
def test_a_bare_stream_is_read_as_what_it_is(tmp_path, syntax, uid):
    """The stream of a compressed copy alone, without items, as routers leave it."""
    (whole,) = make_series(tmp_path / "whole", 1, syntax=syntax)
    (stream,) = generate_frames(dcmread(whole).PixelData, number_of_frames=1)
    dataset = make_slice(0)
    dataset.PixelData = stream + bytes(len(stream) % 2)
    write(dataset, tmp_path / "bare.dcm")
    relabelled(tmp_path / "bare.dcm", uid)
    np.testing.assert_array_equal(read_slice_hu(tmp_path / "bare.dcm"), ramp_hu(0))
    assert Code.W_TS_MISLABELLED in read_header(tmp_path / "bare.dcm").notes


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_native_data_that_are_called_compressed_are_read_as_native(tmp_path, uid):
    (path,) = make_series(tmp_path, 1)
    relabelled(path, uid)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))
    assert Code.W_TS_MISLABELLED in read_header(path).notes


def test_a_mislabelled_series_warns_and_its_values_decide(tmp_path):
    for path in make_series(tmp_path, 24, syntax="jpegls"):
        relabelled(path, EXPLICIT)
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    volume = Volume(study.chosen)
    np.testing.assert_array_equal([hu for _, hu in volume.read()], [ramp_hu(s) for s in range(24)])
    settled = volume.settled()
    assert settled.refusal is None
    assert "W-TS-MISLABELLED" in {item.code.value for item in settled.findings}


@pytest.mark.parametrize("kept", [0.3, 0.95])
def test_a_mislabelled_stream_that_ends_too_early_is_refused(tmp_path, kept):
    (path,) = make_series(tmp_path, 1, syntax="jpeg2000")
    relabelled(path, EXPLICIT)
    raw = path.read_bytes()
    start = raw.rindex(b"\xff\x4f\xff\x51")
    path.write_bytes(raw[: start + int((len(raw) - start) * kept)])
    with pytest.raises(PixelsUnreadableError, match=r"D-(TRUNCATED|UNREADABLE|CODESTREAM)"):
        read_slice_hu(path)


@pytest.mark.parametrize(("uid", "length"), [(EXPLICIT, 5000), ("1.2.840.10008.1.2.4.90", 5000)])
def test_data_that_are_nothing_known_are_refused_as_before(tmp_path, uid, length):
    dataset = make_slice(0)
    dataset.PixelData = bytes(length)
    write(dataset, tmp_path / "a.dcm")
    relabelled(tmp_path / "a.dcm", uid)
    with pytest.raises(PixelsUnreadableError, match=r"D-(TRUNCATED|PIXEL-LENGTH)"):
        read_slice_hu(tmp_path / "a.dcm")


@pytest.mark.parametrize("more", [2, 1024])
def test_up_to_1_kb_too_much_of_native_data_is_fine(tmp_path, more):
    def longer(dataset, _index):
        dataset.PixelData = dataset.PixelData + bytes(more)

    (path,) = make_series(tmp_path, 1, longer)
    np.testing.assert_array_equal(read_slice_hu(path), ramp_hu(0))

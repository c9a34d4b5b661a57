import numpy as np
import pytest
from dicom_factory import SYNTAXES, make_series, make_slice, ramp_hu, set_pixels, write
from pydicom.dataset import Dataset

from ich_seq.dicom import read_header, read_slice_hu
from ich_seq.dicom.checks import Rescale
from ich_seq.dicom.pixels import decode_slice, to_hu
from ich_seq.errors import PixelsUnreadableError


def one_file(tmp_path, edit=None, syntax="explicit", **options):
    return make_series(tmp_path, 1, edit, syntax, **options)[0]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_lossless_transfer_syntax_gives_the_same_hu(tmp_path, syntax):
    hu = read_slice_hu(one_file(tmp_path, syntax=syntax))
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, ramp_hu(0))


@pytest.mark.parametrize("syntax", ["implicit", "big", "rle", "jpegls", "jpeg2000"])
def test_signed_pixels_keep_their_sign_in_every_transfer_syntax(tmp_path, syntax):
    def below_zero(dataset, _index):
        set_pixels(dataset, ramp_hu(0), signed=True)

    np.testing.assert_array_equal(read_slice_hu(one_file(tmp_path, below_zero, syntax)), ramp_hu(0))


def test_hu_is_stored_value_times_slope_plus_intercept():
    stored = np.array([[0, 1, 2], [100, 4095, 7]], dtype=np.uint16)
    # by hand: 0.5 x 100 - 10.25 = 39.75 and 0.5 x 4095 - 10.25 = 2037.25
    np.testing.assert_array_equal(
        to_hu(stored, Rescale(0.5, -10.25)), np.array([[-10.25, -9.75, -9.25], [39.75, 2037.25, -6.75]], np.float32)
    )


def test_hu_above_4095_are_not_clipped(tmp_path):
    def implant(dataset, _index):
        stored = np.full((64, 80), 30000, np.int16)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
        dataset.PixelData = stored.tobytes()

    assert read_slice_hu(one_file(tmp_path, implant)).max() == 30000 - 1024


def test_declared_padding_is_read_as_air_and_counted(tmp_path):
    def pad(dataset, _index):
        hu = ramp_hu(0)
        hu[20:24, 30:35] = -2000
        set_pixels(dataset, hu, signed=True)
        dataset.add_new(0x00280120, "SS", -2000)

    decoded = decode_slice(read_header(one_file(tmp_path, pad)))
    assert decoded.padding_pixels == 20
    assert (decoded.hu[20:24, 30:35] == -1024).all()
    decoded.hu[20:24, 30:35] = ramp_hu(0)[20:24, 30:35]
    np.testing.assert_array_equal(decoded.hu, ramp_hu(0))


def test_padding_value_of_the_wrong_sign_in_the_header_still_counts(tmp_path):
    def pad(dataset, _index):
        hu = ramp_hu(0)
        hu[5, 5] = -2000
        set_pixels(dataset, hu, signed=True)
        dataset.add_new(0x00280120, "US", 65536 - 2000)  # -2000 as unsigned bits, as scanners write it

    assert decode_slice(read_header(one_file(tmp_path, pad))).padding_pixels == 1


def test_padding_range_covers_all_values_between_its_ends(tmp_path):
    def pad(dataset, _index):
        hu = ramp_hu(0)
        hu[5, 5:8] = (-2000, -1900, -1800)
        set_pixels(dataset, hu, signed=True)
        dataset.add_new(0x00280120, "SS", -2000)
        dataset.add_new(0x00280121, "SS", -1850)

    decoded = decode_slice(read_header(one_file(tmp_path, pad)))
    assert decoded.padding_pixels == 2
    assert decoded.hu[5, 5:8].tolist() == [-1024, -1024, -1800]


def test_undeclared_padding_is_what_the_corners_hold_below_air(tmp_path):
    def pad(dataset, _index):
        hu = ramp_hu(0)
        y, x = np.mgrid[:64, :80]
        hu[(y - 32) ** 2 + (x - 40) ** 2 > 31**2] = -3024
        hu[32, 40] = -1100  # noise below air, but not padding
        set_pixels(dataset, hu, signed=True)

    decoded = decode_slice(read_header(one_file(tmp_path, pad)))
    y, x = np.mgrid[:64, :80]
    outside = (y - 32) ** 2 + (x - 40) ** 2 > 31**2
    assert decoded.padding_pixels == outside.sum()
    assert (decoded.hu[outside] == -1024).all()
    assert decoded.hu[32, 40] == -1100


def test_one_noisy_corner_below_air_is_not_padding(tmp_path):
    def noisy(dataset, _index):
        hu = ramp_hu(0)
        hu[0, 0], hu[10, 10] = -1030, -1060
        set_pixels(dataset, hu, signed=True)

    decoded = decode_slice(read_header(one_file(tmp_path, noisy)))
    assert decoded.padding_pixels == 0
    assert (decoded.hu[0, 0], decoded.hu[10, 10]) == (-1030, -1060)


def test_padding_value_among_tissue_is_not_applied_and_said_so(tmp_path):
    def pad(dataset, _index):
        dataset.add_new(0x00280120, "US", 1024)  # stored 1024 is water

    decoded = decode_slice(read_header(one_file(tmp_path, pad)))
    np.testing.assert_array_equal(decoded.hu, ramp_hu(0))
    assert [code.value for code in decoded.notes] == ["W-PADDING-VALUE"]


@pytest.mark.parametrize(
    ("bits", "signed", "words"),
    [(12, 1, "12 signed bits"), (11, 0, "11 unsigned bits")],
    ids=["called signed", "one less"],
)
def test_bits_above_bits_stored_that_belong_to_the_values_are_not_masked(tmp_path, bits, signed, words):
    """Bone of 1100 HU, with partial volume at its edges, is stored as 2124: as 12 signed or 11 unsigned bits it would be air."""

    def lies(dataset, _index):
        hu = ramp_hu(0)
        hu[20:40, 20:61] = 1100 - 55 * np.abs(np.arange(41) - 20)
        set_pixels(dataset, hu)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, signed

    with pytest.raises(PixelsUnreadableError, match=f"D-BITS: .* need more than {words}"):
        read_slice_hu(one_file(tmp_path, lies))


def test_signed_values_that_are_not_extended_keep_their_sign(tmp_path):
    def cut_to_12_bits(dataset, _index):
        set_pixels(dataset, ramp_hu(0), signed=True)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) & 0x0FFF).tobytes()

    np.testing.assert_array_equal(read_slice_hu(one_file(tmp_path, cut_to_12_bits)), ramp_hu(0))


@pytest.mark.parametrize("signed", [False, True])
def test_an_image_of_which_the_end_was_never_copied_is_truncated(tmp_path, signed):
    """The file has its length; from the middle of row 31 on there are zeros."""

    def unfilled(dataset, _index):
        set_pixels(dataset, ramp_hu(0), signed)
        dataset.PixelData = dataset.PixelData[: 2 * (30 * 80 + 40)].ljust(2 * 64 * 80, b"\0")

    with pytest.raises(PixelsUnreadableError, match="D-TRUNCATED: .*nothing but zeros from row 31 of 64 on"):
        read_slice_hu(one_file(tmp_path, unfilled))


def test_a_body_that_tapers_off_before_rows_of_zeros_is_whole(tmp_path):
    y, x = np.mgrid[:64, :80]
    hu = np.where((y - 30) ** 2 + (x - 40) ** 2 < 25**2, 40.0, -1024.0)

    def masked_air(dataset, _index):
        set_pixels(dataset, hu)

    np.testing.assert_array_equal(read_slice_hu(one_file(tmp_path, masked_air)), hu)


def test_garbage_above_bits_stored_is_masked(tmp_path):
    def overlay(dataset, _index):
        stored = np.frombuffer(dataset.PixelData, np.uint16) | 0x7000
        dataset.PixelData = stored.tobytes()

    decoded = decode_slice(read_header(one_file(tmp_path, overlay)))
    np.testing.assert_array_equal(decoded.hu, ramp_hu(0))
    assert [code.value for code in decoded.notes] == ["N-HIGH-BITS"]


def test_signed_values_stored_in_12_bits_get_their_sign_from_bit_11(tmp_path):
    def twelve_bits(dataset, _index):
        stored = ramp_hu(0).astype(np.int16).view(np.uint16) & 0x0FFF
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
        dataset.RescaleIntercept = "0"
        dataset.PixelData = stored.tobytes()

    np.testing.assert_array_equal(read_slice_hu(one_file(tmp_path, twelve_bits)), ramp_hu(0))


def test_air_wrapped_around_12_bits_is_unwrapped_where_the_data_agree(tmp_path):
    def wrapped(dataset, _index):
        stored = ramp_hu(0).astype(int)
        stored[:, :8] = stored[:, -8:] = stored[:4] = stored[-4:] = 3096
        stored[20, 20] = 4095  # -1 HU
        stored[0, 0] = 3072  # -1024 HU: air is noisy, and half of it lies below -1000
        dataset.RescaleIntercept = "0"
        dataset.PixelData = (stored % 4096).astype(np.uint16).tobytes()

    decoded = decode_slice(read_header(one_file(tmp_path, wrapped)))
    assert (decoded.hu[0, 0], decoded.hu[0, 1], decoded.hu[20, 20], decoded.hu[30, 30]) == (-1024, -1000, -1, -4)
    assert [code.value for code in decoded.notes] == ["W-WRAPPED-12BIT"]


def test_12_unsigned_bits_without_intercept_alone_are_not_unwrapped(tmp_path):
    def plain(dataset, _index):
        stored = np.maximum(ramp_hu(0), 0)
        stored[30, 30] = 3500  # metal
        dataset.RescaleIntercept = "0"
        dataset.PixelData = stored.astype(np.uint16).tobytes()

    decoded = decode_slice(read_header(one_file(tmp_path, plain)))
    assert decoded.hu[30, 30] == 3500
    assert decoded.notes == ()


def test_a_slice_of_one_value_is_pointed_out(tmp_path):
    def empty(dataset, _index):
        set_pixels(dataset, np.full((64, 80), -1000.0))

    assert [code.value for code in decode_slice(read_header(one_file(tmp_path, empty))).notes] == ["W-EMPTY-SLICE"]


def test_monochrome1_is_not_inverted(tmp_path):
    def inverted(dataset, _index):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(read_slice_hu(one_file(tmp_path, inverted)), ramp_hu(0))


def drop_rescale(dataset: Dataset, _index: int) -> None:
    del dataset.RescaleSlope, dataset.RescaleIntercept


def colour(dataset: Dataset, _index: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"


def shorter(dataset: Dataset, _index: int) -> None:
    dataset.PixelData = dataset.PixelData[:-2]


def longer(dataset: Dataset, _index: int) -> None:
    dataset.PixelData = dataset.PixelData + bytes(2000)


def no_pixels(dataset: Dataset, _index: int) -> None:
    del dataset.PixelData


def float_bits(dataset: Dataset, _index: int) -> None:
    dataset.BitsAllocated = 32


def high_bit(dataset: Dataset, _index: int) -> None:
    dataset.HighBit = 10


def huge(dataset: Dataset, _index: int) -> None:
    dataset.Rows = dataset.Columns = 65535


def many_frames(dataset: Dataset, _index: int) -> None:
    dataset.NumberOfFrames = 2**31 - 1


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (drop_rescale, "D-NO-RESCALE"),
        (colour, "D-NOT-GRAYSCALE"),
        (shorter, "D-TRUNCATED"),
        (longer, "D-PIXEL-LENGTH"),
        (no_pixels, "D-NO-PIXELS"),
        (float_bits, "D-BITS"),
        (high_bit, "D-BITS"),
        (huge, "D-MATRIX"),
        (many_frames, "D-DIMENSION-LIMIT"),
    ],
)
def test_pixels_that_contradict_the_header_are_refused_by_code_and_file_name(tmp_path, edit, code):
    path = one_file(tmp_path, edit)
    with pytest.raises(PixelsUnreadableError, match=f"{path.name}: {code}") as caught:
        read_slice_hu(path)
    assert caught.value.code == code


@pytest.mark.parametrize("intercept", ["nan", "inf", "-40000", "abcd", "1\\2", ""])
def test_an_unusable_intercept_is_refused(tmp_path, intercept):
    def edit(dataset, _index):
        dataset.add_new("RescaleIntercept", "LO", intercept)  # pydicom writes no such DS

    path = one_file(tmp_path, edit)
    with pytest.raises(PixelsUnreadableError, match="D-BAD-RESCALE"):
        read_slice_hu(path)


@pytest.mark.parametrize("slope", ["0", "-1", "101", "1e308"])
def test_an_unusable_slope_is_refused(tmp_path, slope):
    def edit(dataset, _index):
        dataset.RescaleSlope = slope

    path = one_file(tmp_path, edit)
    with pytest.raises(PixelsUnreadableError, match="D-BAD-RESCALE"):
        read_slice_hu(path)


@pytest.mark.parametrize("syntax", ["rle", "jpegls", "jpeg2000", "explicit", "deflated"])
def test_a_file_cut_anywhere_in_its_pixels_is_refused(tmp_path, syntax):
    path = one_file(tmp_path, syntax=syntax)
    whole = path.read_bytes()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00") if syntax != "deflated" else len(whole) // 2
    for cut in np.linspace(pixels + 12, len(whole) - 12, 20).astype(int):
        path.write_bytes(whole[:cut])
        with pytest.raises(PixelsUnreadableError):
            read_slice_hu(path)


def test_a_compressed_stream_of_another_matrix_is_refused_before_decoding(tmp_path):
    path = one_file(tmp_path, syntax="jpeg2000")
    raw = path.read_bytes()
    size = raw.index(b"\xff\x4f\xff\x51") + 8
    path.write_bytes(raw[:size] + (60000).to_bytes(4, "big") + raw[size + 4 :])
    with pytest.raises(PixelsUnreadableError, match="D-CODESTREAM"):
        read_slice_hu(path)


def test_an_unknown_transfer_syntax_is_named(tmp_path):
    dataset = make_slice(0)
    write(dataset, tmp_path / "a.dcm")
    raw = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.7\0"))
    with pytest.raises(PixelsUnreadableError, match=r"D-TRANSFER-SYNTAX.*1\.2\.840\.10008\.1\.2\.7"):
        read_slice_hu(tmp_path / "a.dcm")

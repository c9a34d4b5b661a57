"""Files that say two things are refused: other readers take the other one. Each was found by the fuzzer."""

import struct
from dataclasses import replace

import pytest
from fuzz.seeds import NATIVE, Seed, made_seeds
from fuzz.tokens import ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED, Element, encoded, tokens_of

from ich_seq.dicom import read_slice_hu, read_study_files
from ich_seq.errors import NoDicomError, PixelsUnreadableError
from ich_seq.volume import Volume

INTERCEPT = 0x00281052


@pytest.fixture(scope="module")
def seeds() -> dict[str, Seed]:
    return {seed.name: seed for seed in made_seeds()}


def refusal(path, raw) -> str:
    path.write_bytes(raw)
    with pytest.raises(PixelsUnreadableError) as caught:
        read_slice_hu(path)
    return str(caught.value)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_intercept_that_stands_twice_with_two_values_is_refused(seeds, tmp_path, syntax):
    tokens = tokens_of(seeds[syntax].files[0])
    at = tokens.at(INTERCEPT)
    other = replace(tokens.elements[at], value=b"-1014 ")
    twice = tokens.with_elements([*tokens.elements[:at], other, *tokens.elements[at:]])
    said = refusal(tmp_path / "a.dcm", twice.joined())
    assert "D-UNREADABLE" in said
    assert "(0028,1052) stands twice" in said


def test_an_element_that_stands_twice_with_one_value_is_read(seeds, tmp_path):
    tokens = tokens_of(seeds["explicit"].files[0])
    twice = tokens.with_elements(sorted([*tokens.elements, tokens.elements[tokens.at(INTERCEPT)]], key=lambda e: e.tag))
    (tmp_path / "a.dcm").write_bytes(twice.joined())
    (tmp_path / "b.dcm").write_bytes(seeds["explicit"].files[0])
    assert (read_slice_hu(tmp_path / "a.dcm") == read_slice_hu(tmp_path / "b.dcm")).all()


@pytest.mark.parametrize("syntax", [*NATIVE, "rle", "jpegls", "jpeg2000", "fragments"])
@pytest.mark.parametrize("tag", [INTERCEPT, PIXEL_DATA])
def test_an_element_behind_the_pixel_data_that_belongs_before_them_is_refused(seeds, tmp_path, syntax, tag):
    tokens = tokens_of(seeds[syntax].files[0])
    late = tokens.elements[tokens.at(tag)]
    said = refusal(tmp_path / "a.dcm", tokens.with_elements([*tokens.elements, late]).joined())
    assert f"{late.name} stands behind the pixel data" in said


@pytest.mark.parametrize("tag", [0x52009229, 0x52009230])
def test_functional_groups_behind_the_pixel_data_are_refused(seeds, tmp_path, tag):
    tokens = tokens_of(seeds["enhanced"].files[0])
    path = tmp_path / "a.dcm"
    path.write_bytes(tokens.with_elements([*tokens.elements, tokens.elements[tokens.at(tag)]]).joined())
    with pytest.raises(
        NoDicomError, match=f"{tokens.elements[tokens.at(tag)].name[1:-1]}. stands behind the pixel data"
    ):
        read_study_files([path])


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff" * 7, b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd"])
def test_padding_behind_the_pixel_data_is_let_pass(seeds, tmp_path, tail):
    (tmp_path / "a.dcm").write_bytes(seeds["explicit"].files[0] + tail)
    assert read_slice_hu(tmp_path / "a.dcm").shape == (64, 64)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280103, b"UL", struct.pack("<I", 1)),  # PixelRepresentation: the sign would be lost
        (0x00280002, b"US", struct.pack("<HH", 3, 3)),  # SamplesPerPixel: 3 would count as 1
        (0x00280102, b"US", struct.pack("<HH", 15, 15)),  # HighBit
    ],
)
def test_a_pixel_attribute_that_is_not_one_16_bit_number_is_refused(seeds, tmp_path, tag, vr, value):
    tokens = tokens_of(seeds["explicit"].files[0])
    elements = list(tokens.elements)
    elements[tokens.at(tag)] = Element(tag, vr, value)
    assert "is not one 16-bit number" in refusal(tmp_path / "a.dcm", tokens.with_elements(elements).joined())


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "jpeg2000", "rle"])
def test_pixels_of_unknown_sign_are_refused(seeds, tmp_path, syntax):
    tokens = tokens_of(seeds[syntax].files[0])
    rest = [element for element in tokens.elements if element.tag != 0x00280103]
    said = refusal(tmp_path / "a.dcm", tokens.with_elements(rest).joined())
    assert "D-BITS" in said
    assert "PixelRepresentation is absent" in said


@pytest.mark.parametrize("value", [b"\x001024 ", b"-10\x004 ", b"-102\0 ", b"\0\0\0-24"])
def test_a_zero_byte_in_the_place_of_a_sign_or_a_digit_makes_no_other_number(seeds, tmp_path, value):
    tokens = tokens_of(seeds["explicit"].files[0])
    elements = list(tokens.elements)
    elements[tokens.at(INTERCEPT)] = Element(INTERCEPT, b"DS", value)
    assert "D-BAD-RESCALE" in refusal(tmp_path / "a.dcm", tokens.with_elements(elements).joined())


def test_no_sample_at_all_in_a_pixel_is_refused(seeds, tmp_path):
    tokens = tokens_of(seeds["explicit"].files[0])
    elements = list(tokens.elements)
    elements[tokens.at(0x00280002)] = Element(0x00280002, b"US", b"\0\0")
    assert "D-NOT-GRAYSCALE" in refusal(tmp_path / "a.dcm", tokens.with_elements(elements).joined())


def frames_of(seed: Seed) -> tuple[bytes, list[bytes]]:
    """The offset table and the fragments of an enhanced file, one a frame."""
    tokens = tokens_of(seed.files[0])
    items, at, value = [], 0, tokens.elements[tokens.at(PIXEL_DATA)].value
    while value[at : at + 4] == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return items[0], items[1:]


def with_frames(seed: Seed, table: bytes, parts: list[bytes]) -> bytes:
    """The enhanced file with another table and other fragments."""
    tokens = tokens_of(seed.files[0])
    items = b"".join(encoded(Element(ITEM, b"", part), True, False) for part in (table, *parts))
    elements = list(tokens.elements)
    end = encoded(Element(SEQUENCE_END, b"", b""), True, False)
    elements[tokens.at(PIXEL_DATA)] = Element(PIXEL_DATA, b"OB", items + end, UNDEFINED)
    return tokens.with_elements(elements).joined()


def left_of(path, raw) -> int:
    """How many slices can still be read."""
    path.write_bytes(raw)
    (study,) = read_study_files([path]).studies
    assert study.chosen is not None
    return len(list(Volume(study.chosen).read()))


@pytest.mark.parametrize("name", ["enhanced-rle", "enhanced-jpegls"])
def test_a_wrong_offset_table_gives_no_frame_the_image_of_another(seeds, tmp_path, name):
    seed = seeds[name]
    table, parts = frames_of(seed)
    first, second, *rest = struct.unpack("<4I", table)
    path = tmp_path / "a.dcm"
    assert left_of(path, with_frames(seed, table, parts)) == 4
    assert left_of(path, with_frames(seed, b"", parts)) == 4
    wrong = [(first, second + 2, *rest), (second, first, *rest), (0, 0, 0, 0), (8, second, *rest)]
    for offsets in [struct.pack("<4I", *numbers) for numbers in wrong] + [table[:8], table + table[-4:]]:
        assert left_of(path, with_frames(seed, offsets, parts)) == 0


@pytest.mark.parametrize("name", ["enhanced-rle", "enhanced-jpegls"])
def test_a_fragment_too_many_or_too_few_gives_no_frame_the_image_of_another(seeds, tmp_path, name):
    seed = seeds[name]
    table, parts = frames_of(seed)
    for wrong in (parts[:3], [*parts[:3], *parts[2:]], [parts[0], *parts]):
        for offsets in (table, b""):
            assert left_of(tmp_path / "a.dcm", with_frames(seed, offsets, wrong)) == 0


def test_frames_in_several_fragments_each_are_read(seeds, tmp_path):
    seed = seeds["enhanced-jpegls"]
    parts = [piece for part in frames_of(seed)[1] for piece in (part[:100], part[100:])]
    assert left_of(tmp_path / "a.dcm", with_frames(seed, b"", parts)) == 4

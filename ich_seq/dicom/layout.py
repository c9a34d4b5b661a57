"""How the stored values of one file lie in it."""

from dataclasses import dataclass

from ich_seq.dicom.syntaxes import DEFLATED


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How stored values lie in the file: DICOM's image pixel module, and the place of the pixel data.

    `offset` and `length` are bytes in the stream (`length` 0xFFFFFFFF: encapsulated; `offset` -1: none); `end` is the
    stream's length; `deflated` streams are inflated first. `frame` counts from 0. `pixel_representation` is -1 where absent.
    `mislabelled`: the transfer syntax is not what the file states, but what its pixel data are.
    """

    transfer_syntax_uid: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    samples_per_pixel: int
    photometric_interpretation: str
    number_of_frames: int
    frame: int
    offset: int
    length: int
    end: int
    little_endian: bool
    pixel_padding_value: int | None
    pixel_padding_range_limit: int | None
    mislabelled: bool = False

    @property
    def shift(self) -> int:
        """Bits below the stored value in its cell: 0 wherever HighBit is one less than BitsStored."""
        return self.high_bit - self.bits_stored + 1

    @property
    def deflated(self) -> bool:
        """Whether the data set has to be inflated before anything in it can be found."""
        return self.transfer_syntax_uid == DEFLATED

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples_per_pixel * (self.bits_allocated // 8)

"""The transfer syntaxes that are read, and by which decoder. Source: DICOM PS3.5 annex A."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One encoding; `plugin` is pydicom's name of the decoder (empty: native), `stream` the format of a frame."""

    uid: str
    name: str
    plugin: str = ""
    stream: str = ""
    lossy: bool = False
    max_bits: int = 16

    @property
    def native(self) -> bool:
        """Whether pixels are stored as they are."""
        return not self.plugin


IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_JPEG = "1.2.840.10008.1.2.4."
_TABLE = (
    TransferSyntax(IMPLICIT_LITTLE, "Implicit VR Little Endian"),
    TransferSyntax(EXPLICIT_LITTLE, "Explicit VR Little Endian"),
    TransferSyntax(EXPLICIT_BIG, "Explicit VR Big Endian"),
    TransferSyntax(DEFLATED, "Deflated Explicit VR Little Endian"),
    TransferSyntax("1.2.840.10008.1.2.5", "RLE Lossless", "pydicom", "rle"),
    TransferSyntax(_JPEG + "50", "JPEG Baseline 8-bit", "gdcm", "jpeg", lossy=True, max_bits=8),
    TransferSyntax(_JPEG + "51", "JPEG Extended 12-bit", "gdcm", "jpeg", lossy=True, max_bits=8),
    TransferSyntax(_JPEG + "57", "JPEG Lossless", "gdcm", "jpeg"),
    TransferSyntax(_JPEG + "70", "JPEG Lossless SV1", "gdcm", "jpeg"),
    TransferSyntax(_JPEG + "80", "JPEG-LS Lossless", "pyjpegls", "jpeg"),
    TransferSyntax(_JPEG + "81", "JPEG-LS Near-lossless", "pyjpegls", "jpeg", lossy=True),
    TransferSyntax(_JPEG + "90", "JPEG 2000 Lossless", "pylibjpeg", "j2k"),
    TransferSyntax(_JPEG + "91", "JPEG 2000", "pylibjpeg", "j2k", lossy=True),
    TransferSyntax(_JPEG + "201", "HTJ2K Lossless", "pylibjpeg", "j2k"),
    TransferSyntax(_JPEG + "202", "HTJ2K Lossless RPCL", "pylibjpeg", "j2k"),
    TransferSyntax(_JPEG + "203", "HTJ2K", "pylibjpeg", "j2k", lossy=True),
)

TRANSFER_SYNTAXES = {syntax.uid: syntax for syntax in _TABLE}
"""By UID. `max_bits` is what the decided decoder reads: 12-bit DCT (.51 above 8 bits, .53, .55) is outside all of them."""

"""Faults of real series, one function each, and variants that are none; nothing here comes from the code under test.

Each function takes a good series (single-frame CT files in one folder) and writes the faulty one elsewhere, with pydicom and numpy
alone. `FAULTS` says of each which codes reading must answer with, by the catalogue; `VARIANTS` must be read as what they come from.
"""

from . import content, geometry, identity, items, pixels, rescale, streams, variant_encodings, variant_headers
from .fault import FAULTS, VARIANTS, Fault, Variant
from .good import GoodSeries

__all__ = ["FAULTS", "VARIANTS", "Fault", "GoodSeries", "Variant"]
_TABLES = (content, geometry, identity, items, pixels, rescale, streams, variant_encodings, variant_headers)

"""What can go wrong, as a tree; each class carries the exit code of the command that meets it.

    IchSeqError                          1  our fault: please report it
    ├── UsageError                       2  the command line or a config says something impossible
    │   └── ConfigError                  2  a TOML file with an unknown key or a value out of range
    ├── InputRefusedError                3  what the user pointed at cannot be scored or trained on
    │   ├── NoDicomError                 3  no DICOM file at all
    │   ├── NoCtError                    3  DICOM, but no CT image
    │   ├── ArchiveError                 3  a zip that is damaged, encrypted or over a limit
    │   ├── SeriesRefusedError           3  a CT series that cannot be read as one head scan
    │   │   └── IncompleteSeriesError    3  slices are missing
    │   ├── PixelsUnreadableError        3  one file whose pixels cannot be decoded
    │   └── DatasetError                 3  a training set whose files, labels or splits disagree
    ├── SomeStudiesFailedError           4  several studies: some were scored, some were not
    ├── SomeRowsFailedError              4  a table of several methods: some rows were made, some were not
    ├── OutputError                      5  the output folder cannot be written, or the disk is full
    └── ModelError                       6  a model or a cache that cannot be used
        ├── BundleError                  6  a model bundle that is damaged or of the wrong kind
        ├── CacheError                   6  a cache of embeddings or tiles that is damaged
        │   └── StaleCacheError          6  a cache made by other weights or other preprocessing
        ├── CheckpointError              6  a training checkpoint that does not fit this run
        └── WeightsError                 6  pretrained weights that are absent or do not fit

An interrupted command exits with 130. Facts are attributes, so that callers need not parse the sentence.
"""


class IchSeqError(Exception):
    """Anything that ichseq refuses or cannot do; the base of the tree above."""

    exit_code = 1

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        for name, value in facts.items():
            setattr(self, name, value)


class UsageError(IchSeqError):
    """The command line or a config says something impossible."""

    exit_code = 2


class ConfigError(UsageError):
    """A TOML file with an unknown key or a value out of range."""


class InputRefusedError(IchSeqError):
    """What the user pointed at cannot be scored or trained on."""

    exit_code = 3


class NoDicomError(InputRefusedError):
    """No DICOM file at all; `code` is E-NO-DICOM."""

    code: str


class NoCtError(InputRefusedError):
    """DICOM, but no CT image; `code` is E-NO-CT."""

    code: str


class ArchiveError(InputRefusedError):
    """A zip that is damaged, encrypted or over a limit."""


class SeriesRefusedError(InputRefusedError):
    """A CT series that cannot be read as one head scan; `code` names the rule that it broke."""

    code: str


class IncompleteSeriesError(SeriesRefusedError):
    """Slices are missing: more than may be, so a bleed could hide in the gap."""


class PixelsUnreadableError(InputRefusedError):
    """One file whose pixels cannot be decoded; `code` names the rule that it broke."""

    code: str


class DatasetError(InputRefusedError):
    """A training set whose files, labels or splits disagree."""


class SomeStudiesFailedError(IchSeqError):
    """Several studies: some were scored, some were not."""

    exit_code = 4


class SomeRowsFailedError(IchSeqError):
    """A table of several methods: some rows were made, some were not."""

    exit_code = 4


class OutputError(IchSeqError):
    """The output folder cannot be written, or the disk is full."""

    exit_code = 5


class ModelError(IchSeqError):
    """A model or a cache that cannot be used."""

    exit_code = 6


class BundleError(ModelError):
    """A model bundle that is damaged or of the wrong kind."""


class CacheError(ModelError):
    """A cache of embeddings or tiles that is damaged, or lacks what is asked of it."""


class StaleCacheError(CacheError):
    """A cache made by other weights or other preprocessing."""


class CheckpointError(ModelError):
    """A training checkpoint that does not fit this run."""


class WeightsError(ModelError):
    """Pretrained weights that are absent or do not fit."""

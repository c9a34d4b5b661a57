"""ichseq: how likely a head CT shows an intracranial haemorrhage, and of which kind."""

__version__ = "0.1.0"

from typing import Any


def __getattr__(name: str) -> Any:
    """`score_study`, `score_studies`, `check_study`, `check_studies` and `ReadOptions`, imported when first used to stay light."""
    if name == "ReadOptions":
        from ich_seq.dicom import ReadOptions

        return ReadOptions
    if name in ("score_study", "score_studies"):
        from ich_seq.study import score

        return getattr(score, name)
    if name in ("check_study", "check_studies"):
        from ich_seq.study import check

        return getattr(check, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

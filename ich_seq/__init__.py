"""ichseq: how likely a head CT shows an intracranial haemorrhage, and of which kind."""

__version__ = "0.1.0"

from typing import Any


def __getattr__(name: str) -> Any:
    """`score_study`, `score_studies` and `ReadOptions`, imported when first used so that `import ich_seq` stays light."""
    if name == "ReadOptions":
        from ich_seq.dicom import ReadOptions

        return ReadOptions
    if name in ("score_study", "score_studies"):
        from ich_seq.study import score

        return getattr(score, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

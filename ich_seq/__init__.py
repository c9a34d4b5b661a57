"""ichseq: how likely a head CT shows an intracranial haemorrhage, and of which kind."""

__version__ = "0.1.0"

"""The run-time checker of signatures in tests: as strict as the types, with int accepted where float is meant (PEP 484)."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))

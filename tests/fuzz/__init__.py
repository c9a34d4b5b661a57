"""Mutants of small CT series, and a judge that knows what each must read as.

`python -m fuzz SEED INDEX` (from `tests/`) makes one mutant again and says what became of it.
"""

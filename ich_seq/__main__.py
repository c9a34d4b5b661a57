"""`python -m ich_seq` is `ichseq`."""

from ich_seq.cli import main

main()

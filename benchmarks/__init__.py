"""What is fast and what is good, as scripts anyone can run; results with machine and versions in `results/`."""

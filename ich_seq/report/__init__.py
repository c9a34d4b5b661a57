"""Results as people and other programs read them: JSON, CSV, and one self-contained page."""

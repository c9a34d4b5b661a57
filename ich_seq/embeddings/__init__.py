"""Embeddings on disk: extracted from stage one, kept in parts of whole series, reduced by PCA for stage two."""

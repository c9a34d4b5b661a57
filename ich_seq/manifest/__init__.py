"""A dataset on disk as one table of slices: identifiers, geometry, labels and a split by patient."""

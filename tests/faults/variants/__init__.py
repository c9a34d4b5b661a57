"""Series that say the same in another way: they must be read as what they come from."""

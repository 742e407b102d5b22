"""Image data sets: class folders, splits, decoding, and identities by content."""

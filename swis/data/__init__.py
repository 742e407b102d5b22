"""Sets of images: class folders, splits, decoding, identities by content."""

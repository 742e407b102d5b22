"""Weight formats, a file for each: the levels that weights may take, their bits and cycles; no torch."""

"""Encoding weights in a format: the 8-bit quantizer, the decomposition of its codes, bits and cycles."""

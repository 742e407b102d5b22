"""Weights of few bits: the 8-bit quantizer, shift sets and their search, what they cost."""

"""Weights brought into a format: the 8-bit quantizer, the decomposition of its codes, what it costs."""

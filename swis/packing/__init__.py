"""Weights as bits in a file: bit streams, layers, packed networks, storage tables."""

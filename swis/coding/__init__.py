"""Weights as bits: plain, compact and entropy-coded layers."""

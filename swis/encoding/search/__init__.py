"""The search for the shift sets and levels of least MSE++, compiled for the CPU."""

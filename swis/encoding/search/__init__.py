"""The search for shift sets and levels of least error, compiled for the CPU."""

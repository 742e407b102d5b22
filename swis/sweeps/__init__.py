"""Sweeps of many runs: Hydra's sweeper, and the reports of sweeps."""

"""Calibration on images without labels: layer statistics, output-aware levels, block reconstruction."""

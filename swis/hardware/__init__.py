"""Simulated accelerators: layer shapes, tiling, DRAM, SRAM, energy, operands."""

"""Simulation of accelerators: layer shapes, operands, arrays, tiling, DRAM, SRAM and energy.

Terms: a *PE* is a processing element; an *array* has rows and columns of PEs, usually filters on the rows and
output pixels on the columns. A *lane* of a PE multiplies one weight and one activation. A *fold* is the set
of filters and output pixels that the array computes at once. A *tile* is the part of a layer whose operands
are in the SRAMs at once.
"""

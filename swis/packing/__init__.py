"""Packed weights: bit streams, layers, files of networks, ONNX export, and storage tables."""

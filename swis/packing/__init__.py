"""Packed weights: layers, files of networks, ONNX export, and storage tables."""

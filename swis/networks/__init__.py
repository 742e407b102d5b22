"""PyTorch networks: layers, normalisation, activations, MACs, and copies with other weights."""

"""Networks of PyTorch: their layers, normalisation, activations, MACs, and copies with other weights."""

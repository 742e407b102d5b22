"""The Python interface: quantize, evaluate, simulate, retrain and save any PyTorch network."""

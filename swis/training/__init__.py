"""Training on labelled images: float networks, and quantization-aware retraining."""

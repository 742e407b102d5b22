"""Training on labelled images: float networks from scratch, and quantization-aware retraining."""

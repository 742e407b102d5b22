"""Weights chosen on unlabelled images: layer by layer, output-aware (GPTQ's walk), block reconstruction."""

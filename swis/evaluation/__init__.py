"""Evaluation of a network's outputs: accuracy, confidence intervals, paired tests, means over seeds."""

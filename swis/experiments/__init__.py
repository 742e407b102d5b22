"""The runs of run.py: their configuration, the identity of rows, and studies of a network on images."""

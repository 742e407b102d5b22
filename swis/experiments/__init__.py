"""What run.py runs: configuration, what a row depends on, one study per network and images."""

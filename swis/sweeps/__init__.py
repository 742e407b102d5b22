"""Many runs: Hydra's sweeper and what is said of a sweep."""

"""What a network's outputs are worth: accuracy, intervals, paired tests, seeds."""

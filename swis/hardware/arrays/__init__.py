"""Arrays of processing elements and the cycles that they take."""

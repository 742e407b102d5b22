"""Arrays of processing elements (PEs), and the cycles that a layer takes on them."""

"""How arrays compute a layer, a datapath in each file."""

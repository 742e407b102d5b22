"""What rows say: ablations, trade-offs, the paper's claims; DataFrame in, DataFrame out."""

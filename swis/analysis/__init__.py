"""Analysis of rows: ablations, trade-offs, and the paper's claims. Functions take and return DataFrames."""

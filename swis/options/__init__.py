"""What can be chosen: one dataclass per concept with its fields, ranges and named choices; no torch."""

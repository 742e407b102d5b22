"""The options of a run: one dataclass per concept, with its ranges and named choices; imports no torch."""

"""The package in which Hydra finds the sweeper, which ``hydra/sweeper: study`` selects."""

from swis.sweeps import sweeper


class StudySweeper(sweeper.StudySweeper):
    """See ``swis.sweeps.sweeper``."""

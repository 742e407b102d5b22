"""Where Hydra looks for plugins: the sweeper of this project, chosen by ``hydra/sweeper: study``."""

from swis.sweeps import sweeper


class StudySweeper(sweeper.StudySweeper):
    """See ``swis.sweeps.sweeper``."""

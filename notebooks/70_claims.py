# %% [markdown]
# # What holds?
#
# The five claims of the paper's abstract beside our rows. `most` is the largest value that any of them
# has, however unfair; `fair` compares with equal calibration, training, area and accuracy, with its 95 %
# interval where images or seeds give one, and `uniform` says the same of a uniform quantizer in place of
# truncation. Made from results/ by `make claims`, never typed.

# %%
from pathlib import Path

from swis.scoreboard import scoreboard

board = scoreboard(Path("../results"))
board.drop(columns=["command", "no_gain"]).round(2)

# %% [markdown]
# How each is made:

# %%
board.set_index("claim")["command"].to_dict()

# %% [markdown]
# # What holds?
#
# The five claims of the paper's abstract beside our rows. `most` is the most that they show without equal
# care: SWIS at M = 4, designs at any loss, plain coding with M up to 16. `fair` compares with equal
# calibration, training, area and accuracy; `over_plain` with a uniform quantizer of as many cycles (for
# compression: of no more loss; for accelerators: SWIS's own array without shift sets in its best format).
# `low` and `high` are ends of Student's 95 % intervals of points over draws of images; of ratios they are the
# least and the most when 0.5, 1, 2 or 3 points may be lost, on two networks. Verdicts are by these ends. Made
# from results/ by `make claims`, never typed.

# %%
from pathlib import Path

import pandas as pd

from swis.analysis.claims_table import scoreboard

board = scoreboard(Path("../results")).set_index("claim")
board[["paper", "most", "fair", "fair_low", "fair_high", "against", "verdict"]].round(2)

# %%
board[["plain", "over_plain", "over_plain_low", "over_plain_high"]].round(2)

# %% [markdown]
# What exactly is compared, the commands that make the rows (`;` between several), and the versions of the
# code that did:

# %%
pd.set_option("display.max_colwidth", None)
board[["most_setting", "most_command", "most_versions"]]

# %%
board[["fair_setting", "fair_command", "fair_versions"]]

# %% [markdown]
# # Which of the paper's claims hold?
#
# Four claims are from the paper's abstract on arXiv; 3.7x compression is from a public summary of its
# introduction. Beside them are our rows, of MobileNet-v2 and EfficientNet-Lite0 on 500 photographs with
# ImageNet labels and of simulated designs. Look at our fair comparison, where both sides have equal
# calibration, training, area and accuracy, and at the verdict. `make claims` prints the same table.

# %%
from pathlib import Path

from IPython.display import Markdown

from swis.analysis.claims_table import markdown, scoreboard

# %%
# Change me, then run all cells
claim = 2  # 0 to 4: which claim to look behind

# %% [markdown]
# *Our best case* is the largest gain in any of our rows; the two sides need not be calibrated alike. In
# brackets: Student's 95 % interval over seeds, for points; for ratios the least and the most when 0.5, 1, 2
# or 3 points may be lost, on both networks. *The simplest alternative* is a uniform quantizer or, for
# accelerators, the array without shift sets. A verdict asks whether all that is in brackets is a gain.

# %%
board = scoreboard(Path("../results"))
Markdown(markdown(board))

# %% [markdown]
# ## Behind one claim

# %%
one = board.iloc[claim]
Markdown(
    f"""
**{one["claim"]}**; the paper: {one["paper"]:g} {one["unit"]}

* our best case, {one["most"]:.2f}: {one["most_setting"]} (code {one["most_versions"]})
* our fair comparison, {one["fair"]:.2f}: {one["fair_setting"]} (code {one["fair_versions"]})

```bash
{one["most_command"].replace("; ", chr(10))}
{one["fair_command"].replace("; ", chr(10))}
```
"""
)

# %% [markdown]
# ## Answer

# %%
lines = [f"{words} ({' / '.join(names)})" for words, names in board.groupby("verdict")["claim"]]
Markdown(f"**Of {len(board)} claims, under equal conditions: {'; '.join(lines)}.**")

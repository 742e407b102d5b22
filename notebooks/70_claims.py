# %% [markdown]
# # What holds of the paper's claims?
#
# The five claims of the paper's abstract beside our rows, of MobileNet-v2 and EfficientNet-Lite0 on 500
# photographs with ImageNet labels and of simulated designs. Look at `fair`, where both sides have equal
# calibration, training, area and accuracy, and at the verdict. `make claims` prints the same table.

# %%
from pathlib import Path

from IPython.display import Markdown

from swis.analysis.claims_table import markdown, scoreboard

# %%
# Change me, then run all cells
claim = 2  # 0 to 4: which claim to look behind

# %% [markdown]
# *most*: the most that our rows show, without equal care. In brackets: Student's 95 % interval over
# calibration sets, for points; for ratios the least and the most when 0.5, 1, 2 or 3 points may be lost, on
# both networks. *over plain weights*: over a uniform quantizer or, for accelerators, SWIS's own array without
# shift sets. A verdict asks whether all that is in brackets is a gain.

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

* most, {one["most"]:.2f}: {one["most_setting"]} (code {one["most_versions"]})
* fair, {one["fair"]:.2f}: {one["fair_setting"]} (code {one["fair_versions"]})

```bash
{one["most_command"].replace("; ", chr(10))}
{one["fair_command"].replace("; ", chr(10))}
```
"""
)

# %% [markdown]
# ## Answer

# %%
verdicts = board["verdict"].str.partition(";")[0]
lines = [f"{words} ({' / '.join(names)})" for words, names in board.groupby(verdicts)["claim"]]
Markdown(f"**Of {len(board)} claims, with equal care on both sides: {'; '.join(lines)}.**")

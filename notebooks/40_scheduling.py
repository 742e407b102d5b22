# %% [markdown]
# # What do shifts per filter buy?
#
# Top-1 over the average number of shifts for four policies. `network` shares one budget over all layers,
# by what each layer's error does to the logits; by MACs the average is over MACs, so that cycles stay the
# same. No calibration of weights; policies are reconstructed (greedy) or ours. `python run.py
# experiment=scheduling`.

# %%
# %matplotlib inline
import swis
from swis import gallery

gallery.draw("scheduling")

# %% [markdown]
# A schedule by weights spends its shifts where there are few weights, which is where each weight is used
# often: its cycles per MAC are more than its shifts per weight. The lower row is the fairer one.
#
# ## Greedy and the optimum
#
# The greedy policy's loss over the optimum's, in percent: within a layer there is little left to win;
# between layers there is.

# %%
rows = swis.load_table("../results/scheduling").query(
    "method == 'swis' and schedule in ['greedy', 'optimal']"
)
loss = rows.pivot_table(index=["model", "data", "bits"], columns="schedule", values="schedule_loss")
(100 * (loss["greedy"] / loss["optimal"] - 1)).unstack("bits").round(3)

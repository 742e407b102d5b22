# %% [markdown]
# # What do shifts of their own for every filter buy?
#
# The same number of shifts on average, spent by four policies: MobileNet-v2 on 1,000 test images of
# Fashion-MNIST, which come with the package, then committed rows of four networks. Weights are not calibrated
# here, so that schedules alone differ. Look at top-1 beside cycles per MAC: shifts that go where few weights
# are used often cost cycles.

# %%
# %matplotlib inline
import os

import pandas as pd
from IPython.display import Markdown

import swis
from swis import gallery
from swis.analysis.settings import schedule_setting

# %%
# Change me, then run all cells
model = "mobilenet_v2"  # or "resnet18"
fmt = swis.Swis(shifts=2.5, group_size=4)  # shifts of a weight on average: 2, 2.25 ... 4
policies = ["uniform", "greedy", "optimal", "network"]
images, training_images = (100, 8) if os.environ.get("SWIS_QUICK") else (1000, 64)

# %%
network, training, test = swis.example(model, training=training_images, test=images)
schedules = [swis.schedule(network, fmt, training, policy=policy) for policy in policies]
lows = [
    swis.quantize(network, fmt, training, calibrate="none", schedule=each, activation_bits=8)
    for each in schedules
]
found = pd.DataFrame([swis.evaluate(low, test) for low in lows], policies)
shown = {"top1": "top-1 [%]", "cycles_per_weight": "cycles per weight", "cycles_per_mac": "cycles per MAC"}
found[list(shown)].rename(columns=shown).round(2)

# %% [markdown]
# `network` shares one budget over all layers, by what each layer's error does to the logits. Where the shifts
# go, layer by layer:

# %%
bars = lows[-1].layers["shifts"].plot.bar(figsize=(11, 3.5), width=0.8, xlabel="", ylabel="shifts per weight")

# %% [markdown]
# ## In other networks
#
# "by MACs" is the same policy with the average over MACs, so that cycles stay the same. The lower row is the
# fairer one. Policies are reconstructed (greedy) or ours. Rows by `python run.py experiment=scheduling`.

# %%
gallery.draw("scheduling")

# %%
rows = swis.load_table("../results/scheduling", "all").query("method == 'swis' and bits == @fmt.shifts")
by_macs = schedule_setting(rows, "budget_unit").eq("macs") & rows["schedule"].eq("network")
rows = rows.assign(policy=rows["schedule"].where(~by_macs, "network, by MACs"))
top1 = rows.pivot(index=["model", "data"], columns="policy", values="top1")
top1[["uniform", "greedy", "optimal", "network", "network, by MACs"]].round(1)

# %% [markdown]
# ## Answer

# %%
photos = top1.loc["mobilenet_v2", "imagenet"]
some = rows.query("policy == 'network' and model == 'mobilenet_v2' and data == 'imagenet'")
macs = some["cycles_per_mac"].item()
every = swis.load_table("../results/scheduling").query("schedule in ['greedy', 'optimal']")
loss = every.pivot(index=["model", "data", "bits"], columns="schedule", values="schedule_loss")
more = (loss["greedy"] / loss["optimal"] - 1).max()
Markdown(
    f"**Before calibration, and with {fmt.shifts} shifts: sharing them over layers takes MobileNet-v2 from "
    f"{photos['uniform']:.1f} % to {photos['network']:.1f} % on ImageNet photographs, but at {macs:.1f} "
    f"cycles per MAC; at equal cycles it is {photos['network, by MACs']:.1f} %. Within a layer little is "
    f"left to win: the greedy policy loses at most {100 * more:.1f} % more than the optimum.**"
)

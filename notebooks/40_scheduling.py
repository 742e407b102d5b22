# %% [markdown]
# # How much do different shifts per filter help?
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
from swis.analysis.ablation import fully_calibrated
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
bars = (
    lows[-1].layers["shifts"].plot.bar(figsize=(12, 3.5), fontsize=8, xlabel="", ylabel="shifts per weight")
)

# %% [markdown]
# ## In other networks
#
# The upper row, over cycles per MAC, is the fair comparison of speed. "Budget of the network, in MACs" is
# `network` with the average over MACs. Policies are reconstructed (greedy) or ours. Rows by
# `python run.py experiment=scheduling`.

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
calibrated = swis.load_table("../results/calibration", "all").query("data == 'imagenet' and method == 'swis'")
calibrated = fully_calibrated(calibrated.query("model == 'mobilenet_v2'")).set_index("bits")
Markdown(
    f"**Sharing {fmt.shifts} shifts over layers takes MobileNet-v2 from {photos['uniform']:.1f} % to "
    f"{photos['network']:.1f} % on ImageNet photographs, but at {macs:.1f} cycles per MAC; at equal cycles "
    f"it is {photos['network, by MACs']:.1f} %.** That is before calibration. Calibrated on one set, it has "
    f"{calibrated['top1'][2.5]:.1f} % with 2.5 shifts shared over layers, at "
    f"{calibrated['cycles_per_mac'][2.5]:.1f} cycles per MAC, and with 2 and 3 shifts everywhere "
    f"{calibrated['top1'][2]:.1f} and {calibrated['top1'][3]:.1f} %. Within a layer little is left to win: "
    f"the greedy policy loses at most {100 * more:.1f} % more than the optimum."
)

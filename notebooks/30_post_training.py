# %% [markdown]
# # How accurate is it without training, and which step of calibration matters?
#
# First MobileNet-v2 on 1,000 test images of Fashion-MNIST, which come with the package, calibrated here on
# 256 training images without labels. Then committed rows of all formats, also on 500 photographs with
# ImageNet labels. Look at SWIS beside `uniform`, a quantizer of as many cycles that is calibrated alike.

# %%
# %matplotlib inline
import os

import pandas as pd
from IPython.display import Markdown

import swis
from swis import gallery
from swis.analysis.ablation import INGREDIENTS, fully_calibrated, gains
from swis.plots.names import network_name

# %%
# Change me, then run all cells
quick = bool(os.environ.get("SWIS_QUICK"))
model = "mobilenet_v2"  # or "resnet18"
shifts = 2  # 1 to 4, also of the table of steps below
formats = [swis.Swis(shifts=shifts), swis.Uniform(shifts=shifts), swis.Truncate(shifts=shifts)]
kinds = ["none", "bias", "stats"]  # also "output_aware", which takes minutes
images, calibration = (100, 32) if quick else (1000, 256)

# %%
network, training, test = swis.example(model, training=calibration, test=images)
top1 = [
    [
        swis.evaluate(swis.quantize(network, each, training, calibrate=kind, activation_bits=8), test).top1
        for kind in kinds
    ]
    for each in formats
]
here = pd.DataFrame(top1, [each.label for each in formats], pd.Index(kinds, name="top-1 [%] by calibration"))
here.round(1)

# %% [markdown]
# ## All formats, fully calibrated
#
# Top-1 over cycles and over stored bits per weight, because equal cycles are not equal storage. Bars are 95 %
# intervals of the difference to the float network. The lower right panel has numbers that others published
# for all of ImageNet (`results/published.csv`). Our photographs are mostly of ImageNet's training set:
# differences tell more than absolute accuracies.

# %%
gallery.draw("accuracy")

# %% [markdown]
# ## How much each step helps
#
# Every step has those before it. The pass over groups and their shift sets is ours; error feedback is GPTQ's,
# the target GPTAQ's, matched statistics are common.
#
# * `none`: the nearest levels
# * `stats`: every channel's mean and variance as in the float network
# * `walk`: the GPTQ pass over groups, which chooses levels for the layer's output
# * `asymmetric`: the target is what the float layer makes of float inputs
# * `scales`: the best of seven scales for every filter (all of it together is `output_aware`)

# %%
gallery.draw("calibration")

# %% [markdown]
# Points of top-1 that each step adds to the one before it, image by image, with 95 % intervals (Tango's):

# %%
rows = swis.load_table("../results/calibration", "all").query("data == 'imagenet' and seed == 0")
rows = rows[rows["granularity"].eq("channel") & rows["rewrites"].eq("") & rows["bits"].eq(shifts)]
rows = rows[rows["group_size"].isna() | rows["group_size"].eq(4)]
rows = rows.query("method in ['swis', 'round', 'uniform']")
steps = gains(rows[rows["calibrate"].ne("reconstruct")]).dropna(subset="difference")
words = [f"{each.difference:+.1f} ({each.low:+.1f} to {each.high:+.1f})" for each in steps.itertuples()]
steps = steps.assign(gain=words, step=pd.Categorical(steps["ingredient"], INGREDIENTS))
steps.pivot(index=["model", "step"], columns="method", values="gain")

# %% [markdown]
# ## Answer

# %%
every = swis.load_table("../results/calibration", "all").query("data == 'imagenet' and bits == @shifts")
every = fully_calibrated(every, seed=None).pivot_table("top1", ["model", "method"], aggfunc=["mean", "count"])
full, sets = (every[what, "top1"].unstack("method") for what in ("mean", "count"))
swis_steps = steps.query("method == 'swis'").sort_values("difference", ascending=False)
first, second = (swis_steps.groupby("model").nth(place).set_index("model") for place in (0, 1))
ahead = full["swis"] - full["uniform"]
steps_of = [
    f"in {network_name(name)} `{first['ingredient'][name]}` adds {first['difference'][name]:+.1f} points and "
    f"`{second['ingredient'][name]}` {second['difference'][name]:+.1f}"
    for name in full.index
]
reached = [
    f"{network_name(name)} {full['swis'][name]:.1f} %, {ahead[name]:+.1f} points over the uniform quantizer"
    for name in full.index
]
seconds = [f"{name} {row.iloc[0]:.1f} and {row.iloc[-1]:.1f} %" for name, row in here.iterrows()]
Markdown(
    f"**With {shifts} shifts and no training, top-1 of SWIS on 500 photographs with ImageNet labels is: "
    f"{'; '.join(reached)}.** These are means over {sets['swis'].min():.0f} calibration sets; docs/results/"
    f"seeds.md has their spread. Two steps help most: {'; '.join(steps_of)} (one set). On Fashion-MNIST, "
    f"`{kinds[0]}` and `{kinds[-1]}`: {'; '.join(seconds)}."
)

# %% [markdown]
# # What does SWIS do to a network, and what does it buy?
#
# The weights of a group share a few powers of two, their *shift set*; each weight is a sum of some of them.
# Below are four real weights, then a whole network: MobileNet-v2 on 2,000 test images of Fashion-MNIST, which
# come with the package. See how close the four weights come, then what the network keeps of its accuracy.

# %%
# %matplotlib inline
import os

import pandas as pd
from IPython.display import Markdown

import swis
from swis.encoding.clearest_group import clearest_group
from swis.plots.group_figures import figure_of_group

# %%
# Change me, then run all cells
model = "mobilenet_v2"  # or "resnet18"
shifts = 2  # powers of two in a shift set, 1 to 7
group_size = 4  # weights that share a set
layer = 6  # whose weights are drawn, counted from 0
quick = bool(os.environ.get("SWIS_QUICK"))
calibration_images, test_images = (64, 200) if quick else (256, 2000)  # of 10,000 each

# %% [markdown]
# ## Four weights
#
# They share one set, and each uses it in its own way. The group is picked, by code, because it shows that;
# most groups lose more. `swis.explore.weights(network, images)` draws any group, with controls.

# %%
network, training, test = swis.example(model, training=calibration_images, test=test_images)
fmt = swis.Swis(shifts=shifts, group_size=group_size)
low = swis.quantize(network, fmt, calibration=training, activation_bits=8)

weights = network.get_submodule(low.layers.index[layer]).weight.detach()
group = clearest_group(weights, fmt)
figure_of_group(group.codes, group.kept, group.exponents[::-1], fmt.magnitude_bits)

# %% [markdown]
# ## A whole network
#
# `low` above is that network: `swis.quantize` took a torch module and images to calibrate on, whose labels it
# does not look at. With a network of your own only the first line, `swis.example`, is another one.

# %%
logits = low(test[0][:8])  # a torch module, called as the network is
found = swis.evaluate(low, test, reference=network)
arrays = swis.simulate(low, "swis_ss", versus=["bitwave", "stripes"])  # the other two with 8-bit weights
bars = arrays.plot()

# %%
low

# %% [markdown]
# `low.layers` is a table. The five layers that lost most, by the signal-to-noise ratio of their weights:

# %%
shown = {"kind": "kind", "shape": "filters", "sqnr_db": "SQNR [dB]", "bits": "bits per weight"}
low.layers.nsmallest(5, "sqnr_db")[list(shown)].rename(columns=shown).round(1)

# %% [markdown]
# ## Is that good?
#
# Only a rival of as many cycles, calibrated alike, can tell. `Uniform` is the one to beat, not `Truncate`.

# %%
rivals = [swis.Uniform(shifts=shifts), swis.Truncate(shifts=shifts)]
others = [swis.quantize(network, each, training, activation_bits=8) for each in rivals]
rows = [found, *(swis.evaluate(each, test) for each in others)]
table = pd.DataFrame(rows, [fmt.label, *(each.label for each in rivals)])
shown = {"top1": "top-1 [%]", "top1_low": "from", "top1_high": "to", "weight_bits": "bits per weight"}
table[list(shown)].rename(columns=shown).round(1)

# %% [markdown]
# ## Answer

# %%
ms = arrays.query("layer == 'total'").set_index("accelerator")["latency_ms"]
ahead = table["top1"].iloc[0] - table["top1"].iloc[1:]
Markdown(
    f"**With {shifts} shifts the network has {found.top1:.1f} % top-1 on {found.images:.0f} images (float: "
    f"{found.reference_top1:.1f} %), calibrated and not trained.** That is {ahead.iloc[0]:+.1f} points over "
    f"the uniform quantizer of {table['weight_bits'].iloc[1]:.1f} bits, and {ahead.iloc[1]:+.1f} over "
    f"truncation; the table has the intervals. A weight of SWIS takes "
    f"{found.weight_bits:.1f} bits and {found.cycles_per_weight:g} cycles instead of 8 and 7; an image "
    f"takes {ms['swis_ss']:.1f} ms on an array for shift sets, and {ms['stripes']:.1f} ms with 8-bit "
    f"weights on Stripes."
)

# %% [markdown]
# ## How to go on
#
# * Keep it: `swis.save(low, "low.safetensors")`; `swis.load` reads it.
# * Better weights, in minutes: `swis.quantize(..., calibrate="output_aware")`. Then `swis.schedule` and
#   `swis.retrain`. Which layers hurt: `swis.sensitivity(network, fmt, training)`.
# * Play: `swis.explore.application(network, training)`, as in `90_explore.ipynb`.
# * One question each: how much shifts keep (10), bits (20), accuracy without training (30), shifts per filter
#   (40), retraining (50), accelerators of equal area (60), the paper's claims (70).

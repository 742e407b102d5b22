# %% [markdown]
# # What do accelerators gain?
#
# First MobileNet-v2 on Fashion-MNIST (it comes with the package), simulated here on several designs as their
# authors have them. Then committed rows of the networks at 224 x 224 with equal area for all designs, beside
# accuracy on 500 photographs with ImageNet labels. Look at which design is fastest once all may use their
# best format, and lose equally little.

# %%
# %matplotlib inline
import os
from pathlib import Path

from IPython.display import Markdown

import swis
from swis import gallery
from swis.analysis.trade_offs import fair_gains, within_loss
from swis.gallery.common import of_equal_area
from swis.plots.names import design_name, format_name

# %%
# Change me, then run all cells
model = "mobilenet_v2"  # or "resnet18"
fmt = swis.Swis(shifts=2, group_size=4)
design = "swis_ss"  # runs fmt; swis.accelerators() lists all
rivals = ["stripes", "bitwave", "pragmatic", "bitfusion", "systolic_os"]  # run 8-bit weights
points = 1.0  # of top-1 that may be lost to the float network, in the table of equal area

# %%
images = 8 if os.environ.get("SWIS_QUICK") else 64  # for the ranges of activations
network, training, _ = swis.example(model, training=images, test=1)
low = swis.quantize(network, fmt, training, calibrate="none", activation_bits=8)
arrays = swis.simulate(low, design, versus=rivals)
totals = arrays.query("layer == 'total'").set_index("accelerator")
totals = totals.assign(energy_uj=totals["energy_pj"] / 1e6, dram_mb=totals["dram_bytes"] / 1e6)
totals["lanes"] = 100 * totals["utilization"]
shown = {
    "format": "weights",
    "latency_ms": "latency [ms]",
    "energy_uj": "energy [µJ]",
    "dram_mb": "DRAM traffic [MB]",
    "lanes": "lanes at work [%]",
    "array_mm2": "array [mm²]",
}
totals[list(shown)].rename(columns=shown).round(2)

# %% [markdown]
# ## Equal area, equally little lost
#
# As many columns as fit the area of 8 x 8 single-shift SWIS PEs (processing elements), the same
# footing for all, and for every design the fastest format that loses at most `points`. Every design and
# constant has its source in conf/accelerator and conf/energy; the commands are in docs/results/equal_area.md.

# %%
area = of_equal_area(Path("../results"))
area = area.assign(energy_uj=area["energy_pj"] / 1e6).astype({"bits": int})
best = within_loss(area, points).query("network == 'mobilenet_v2'").sort_values("latency_ms")
shown = {
    "accelerator": "accelerator",
    "method": "fastest format",
    "bits": "shifts",
    "loss": "points lost",
    "latency_ms": "latency [ms]",
    "energy_uj": "energy [µJ]",
}
best[list(shown)].rename(columns=shown).set_index("accelerator").round(1)

# %%
gallery.draw("hardware")

# %% [markdown]
# ## Every format on every design
#
# The line is the front that none beats in both accuracy and cost.

# %%
gallery.draw("pareto")

# %% [markdown]
# ## If DRAM were another
#
# Energies of DRAM differ between tools by a factor of two, small chips differ in bandwidth by more: gains of
# `swis_ss` over bit-serial designs, at most one point lost.

# %%
gallery.draw("sensitivity")

# %% [markdown]
# ## Answer

# %%
time, energy = (
    fair_gains(area, by, [points]).set_index("network").loc["mobilenet_v2"]
    for by in ("latency_ms", "energy_pj")
)
sides = [
    f"{design_name(gain[f'accelerator{end}'])} ({format_name(gain[f'method{end}'], gain[f'bits{end}'])})"
    for gain in (time, energy)
    for end in ("", "_over")
]
Markdown(
    f"**At equal area and at most {points:g} point of top-1 lost, the best SWIS array runs MobileNet-v2 "
    f"{time['gain']:.2f}x as fast as the best bit-serial rival, and takes {energy['gain']:.2f}x less "
    f"energy.** In time: {sides[0]}, against {sides[1]}. In energy: {sides[2]}, against {sides[3]}. Other "
    f"allowed losses change these gains (70 has the range). Over the array without shift sets SWIS gains "
    f"{time['gain_over_unshared']:.2f}x in time and {energy['gain_over_unshared']:.2f}x in energy. With "
    f"8-bit weights on the other designs and small images, as in the first table, {design_name(design)} is "
    f"{totals['latency_ms'][rivals[0]] / totals['latency_ms'][design]:.1f}x as fast as "
    f"{design_name(rivals[0])}."
)

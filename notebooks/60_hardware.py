# %% [markdown]
# # What do accelerators gain?
#
# Simulated cycles, DRAM traffic and energy of networks at 224 x 224 on every design in conf/accelerator,
# beside measured accuracy. Commands are in the README; every design and every constant has its source in
# conf/accelerator and conf/energy.
#
# Two comparisons. `as_published`: every design as its public simulator has it, 8 x 8 units each.
# `equal_area`: as many columns as fit the area of 8 x 8 single-shift SWIS units, and the same footing for
# all.

# %%
# %matplotlib inline
import swis
from swis import gallery
from swis.analysis.ablation import fully_calibrated
from swis.analysis.trade_offs import advantage, by_design, fair_gains, with_accuracy, within_loss
from swis.results.records import load_simulated

published, area = (load_simulated(f"../results/hardware/{name}") for name in ("as_published", "equal_area"))
accuracy = fully_calibrated(swis.load_table("../results/calibration", "all").query("data == 'imagenet'"))

# %% [markdown]
# ## One image on every design
#
# Latency [ms] and energy [uJ] of 8-bit weights, and of SWIS weights of N shifts where a design has shift
# sets, as published. ResNet-18 and VGG-16 are shapes: where hardware looks at values they are drawn.

# %%
by_design(published).round(2)

# %% [markdown]
# ## At most one point of accuracy lost
#
# For every design the fastest format that it is made for among those that lose at most one point to the
# float network: 500 photographs, calibrated weights, M = 4.

# %%
equal = within_loss(with_accuracy(area, accuracy))
equal[["network", "accelerator", "columns", "method", "bits", "loss", "latency_ms", "energy_pj"]].round(2)

# %%
advantage(equal, "swis_ss").round(2)

# %% [markdown]
# What is best turns with the `points` that may be lost: the best SWIS array over the best bit-serial
# design, and over SWIS's own array without shift sets (`gain_over_unshared`), in time and in energy.

# %%
fair_gains(with_accuracy(area, accuracy), "latency_ms").round(2)

# %%
fair_gains(with_accuracy(area, accuracy), "energy_pj").round(2)

# %% [markdown]
# ## Where energy goes, and what limits layers

# %%
gallery.draw("hardware")

# %% [markdown]
# ## Accuracy, latency and energy
#
# Every format on every design of equal area, SWIS arrays in colour; the line is the front that none beats in
# both, and what is on it is named where it loses less than two points.

# %%
gallery.draw("pareto")

# %% [markdown]
# ## If DRAM were another
#
# Energies of DRAM differ between tools by a factor of two, and small chips differ in bandwidth by more:
# gains of `swis_ss` over bit-serial designs, for the fastest formats that lose at most one point.

# %%
gallery.draw("sensitivity")

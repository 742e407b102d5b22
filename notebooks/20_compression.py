# %% [markdown]
# # How many bits does a weight take?
#
# By the formula, as packed, and with the compact coding (ours). Groups and codings are reconstructed.
# Tables by `python run.py experiment=storage`; Gaussian weights of the same shapes stand beside the real
# ones there.

# %%
# %matplotlib inline
from swis import gallery
from swis.results.records import load_storage

gallery.draw("compression")

# %% [markdown]
# The paper's abstract claims up to 3.7x compression. By the formula, M = 16 and N = 1 give 128 / 35 =
# 3.66x where every group is full; measured:

# %%
table = load_storage("../results/storage")
claim = table.query("group_size == 16 and bits == 1").dropna(subset="weight_bits")
claim.set_index(["model", "weights", "method", "coding"])[["weight_bits", "compression_vs_int8"]].round(3)

# %% [markdown]
# Where a group stores its magnitudes with as many bits as its largest one needs (lossless, after DPRed),
# 8-bit weights take:

# %%
dpred = table.query("method == 'dpred'")
dpred.pivot(index=["model", "weights"], columns="group_size", values="formula_bits").round(3)

# %% [markdown]
# # How much do N shifts keep?
#
# Groups that lose nothing, and the error of all codes, over shifts and group size: with any set of N
# powers of two per group (`swis`) and with consecutive ones (`swis_c`). Weights of real networks; tables
# by `python run.py experiment=storage`.

# %%
# %matplotlib inline
from swis import gallery

# %%
gallery.draw("decomposition")

# %% [markdown]
# More freedom helps most in small groups: at M = 16 a free set is hardly better than a consecutive one.
#
# ## What to choose a set by
#
# MSE, or MSE++, which also counts the bias that a group's errors add to a dot product, `alpha` times;
# `joint` chooses the levels of a group together. EfficientNet-Lite0, one scale per tensor, no calibration.

# %%
gallery.draw("metric")

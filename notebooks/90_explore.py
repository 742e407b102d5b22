# %% [markdown]
# # Explore
#
# Pick a network and one of its layers, a method, shifts, group size and an accelerator; move `group`
# through the layer. Left a group of weights bit by bit: 8-bit codes, the shift set in colour, dark where
# a weight uses it, and the codes that come out. In the middle the errors of the layer's weights, on the
# right its cycles.

# %%
# %matplotlib inline
from swis.explore.explorer import panel

panel()

# %% [markdown]
# # Explore
#
# Four tabs. **Weights**: a group of weights bit by bit in several formats. **Network**: all layers, single
# ones with other formats or shifts, what the whole costs; a click on a layer opens it under Weights.
# **Trade-off**: rows of results over any two columns, their Pareto front, the row behind a mark, and the code
# that draws it. **Accelerator**: designs side by side as their sizes change.
#
# With a network of one's own: `application(network, images)`, or one that `swis.quantize` returned; every tab
# is a function as well, such as `swis.explore.weights(network, images)`.

# %%
from swis.explore import application

application()

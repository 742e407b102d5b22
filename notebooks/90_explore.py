# %% [markdown]
# # Explore
#
# What does a format do to single weights, which layers does it hurt, what does accuracy cost, and what does
# an accelerator take for the network? A tab for each question:
#
# - **Weights**: a group of weights bit by bit, in several formats side by side.
# - **Network**: all layers; single ones with other formats or shifts, and what the whole network costs then.
#   A click on a layer opens it under Weights.
# - **Trade-off**: rows of results over any two columns, their Pareto front, the row behind a mark, and the
#   code that draws the same.
# - **Accelerator**: designs side by side as their sizes change.
#
# With a network of one's own: `application(network, images)`, or what `swis.quantize` returned. Every tab is
# a function as well, such as `swis.explore.weights(network, images)`.

# %%
from swis.explore import application

application()

# %% [markdown]
# # Explore
#
# What does a format do to single weights? Which layers does it hurt? How accurate is the whole network? What
# does an accelerator take for it? Each question has a tab:
#
# - **Weights**: a group of weights bit by bit, in several formats side by side.
# - **Network**: all layers; single ones with other formats or shifts, and what the whole network costs then.
#   A click on a layer opens it under Weights.
# - **Trade-off**: rows of results over any two columns, their Pareto front, the row behind a mark, and the
#   code that draws the same.
# - **Accelerator**: designs side by side as their sizes change.
#
# With a network of your own: `application(network, images)`, or what `swis.quantize` returned. Every tab is
# also a function, such as `swis.explore.weights(network, images)`.

# %%
from swis.explore import application

application()

# %% [markdown]
# # How much of a weight do N shifts keep?
#
# The weights of MobileNet-v2 (trained on Fashion-MNIST, it comes with the package) are brought into several
# formats, without calibration. Look at the signal-to-noise ratio (SQNR) of the median layer: 6 dB more is
# half the error. Figures are drawn from committed rows, of more networks.

# %%
# %matplotlib inline
import os

import pandas as pd
from IPython.display import Markdown

import swis
from swis import gallery

# %%
# Change me, then run all cells
model = "mobilenet_v2"  # or "resnet18"
shifts = [1, 3] if os.environ.get("SWIS_QUICK") else [1, 2, 3, 4]
group_sizes = [2, 4, 16]  # weights that share a set

# %%
formats = {f"SWIS, M = {size}": swis.Swis(group_size=size) for size in group_sizes}
formats |= {f"SWIS-C (consecutive), M = {size}": swis.SwisC(group_size=size) for size in group_sizes}
formats |= {"truncation": swis.Truncate(), "rounding to the top bits": swis.Round()}
network, (images, _), _ = swis.example(model, training=1, test=1)
kept = [
    [swis.quantize(network, each.with_shifts(n), example=images).layers["sqnr_db"].median() for n in shifts]
    for each in formats.values()
]
sqnr = pd.DataFrame(kept, formats, pd.Index(shifts, name="SQNR [dB] with N ="))
sqnr.round(1)

# %% [markdown]
# ## In other networks
#
# Groups of weights that lose nothing, and the SQNR of the codes, over shifts N and group size M. Rows by
# `python run.py experiment=storage`.

# %%
gallery.draw("decomposition")

# %% [markdown]
# ## Which set is the best one?
#
# That of least MSE, or of least MSE++, which also counts the bias that a group's errors add to a dot product,
# `alpha` times. Top-1 of EfficientNet-Lite0 on 500 photographs with ImageNet labels, one scale per tensor, no
# calibration. Rows by `python run.py experiment=lite0_per_tensor data.root=PATH`.

# %%
gallery.draw("metric")

# %% [markdown]
# ## Answer

# %%
top1 = swis.load_table("../results/lite0_per_tensor").query("method == 'swis' and bits == 3")
by_alpha = top1.set_index("alpha")["top1"]
n, m, wide = shifts[len(shifts) // 2], group_sizes[len(group_sizes) // 2], group_sizes[-1]
at = sqnr[n]
free, freer = (at[f"SWIS, M = {size}"] - at[f"SWIS-C (consecutive), M = {size}"] for size in (m, wide))
Markdown(
    f"**In the median layer {n} shifts in groups of {m} keep an SQNR of {at[f'SWIS, M = {m}']:.1f} dB, "
    f"truncation {at['truncation']:.1f} dB.** That a set may have any shifts, not only consecutive ones, "
    f"gives {free:+.1f} dB there and {freer:+.1f} dB in groups of {wide}, where MSE++, not MSE, chooses the "
    f"sets. What a set is chosen by counts as well: at 3 shifts EfficientNet-Lite0 has {by_alpha[0.0]:.1f} % "
    f"top-1 by MSE, and {by_alpha[1.0]:.1f} % by MSE++."
)

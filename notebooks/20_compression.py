# %% [markdown]
# # How many bits does a weight take?
#
# A group stores signs, masks and its shift set. Here MobileNet-v2 (trained on Fashion-MNIST, it comes with
# the package) is written to files, and these are measured; figures are drawn from committed rows. Look at
# what larger groups and the compact coding save, and at the uniform quantizer, which has no sets to store.

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

import swis
from swis import gallery
from swis.analysis.ablation import fully_calibrated
from swis.results.records import load_storage

# %%
# Change me, then run all cells
model = "mobilenet_v2"  # or "resnet18"
formats = [
    *(swis.Swis(shifts=1, group_size=16), swis.Swis(shifts=2, group_size=4)),
    *(swis.Swis(shifts=2, group_size=16), swis.SwisC(shifts=2, group_size=4)),
    swis.Uniform(shifts=2),
]

# %%
network, (images, _), _ = swis.example(model, training=1, test=1)
lows = [swis.quantize(network, each, example=images) for each in formats]
files = {
    (place, coding): Path(f"../outputs/{place}_{coding}.safetensors")
    for place in range(len(lows))
    for coding in ("plain", "compact")
}
written = [swis.save(lows[place], path, coding=coding) for (place, coding), path in files.items()]
sizes = pd.Series({key: path.stat().st_size for key, path in files.items()}).unstack()
float_size = 4 * sum(each.numel() for each in network.parameters())
table = pd.DataFrame(
    {
        "format": [each.title for each in formats],
        "shifts N": [each.shifts for each in formats],
        "group size M": [each.weights_per_group for each in formats],
        "bits per weight": [low.cost["weight_bits"] for low in lows],
        "file [kB]": sizes["plain"] // 1000,
        "compact file [kB]": sizes["compact"] // 1000,
        "smaller than float32": float_size / sizes["compact"],
    }
)
table.set_index("format").round(2)

# %% [markdown]
# ## In other networks
#
# Bits per weight over the group size, as packed: with the plain coding, and with the compact one (ours).
# Groups and codings are reconstructed. Rows by `python run.py experiment=storage`.

# %%
gallery.draw("compression")

# %% [markdown]
# Bits per weight of MobileNet-v2 in SWIS, as packed:

# %%
rows = load_storage("../results/storage").query("model == 'mobilenet_v2' and weights == 'embedded'")
some = rows.query("method == 'swis' and group_size in [4, 8, 16] and bits <= 4").astype({"bits": int})
bits = some.pivot_table(index="bits", columns=["group_size", "coding"], values="weight_bits")
bits.rename_axis(index="shifts N", columns=["group size M", "coding"]).round(2)

# %% [markdown]
# ## Answer

# %%
lossless = rows.query("method == 'dpred'")["formula_bits"].min()
photos = swis.load_table("../results/calibration", "all").query("data == 'imagenet'")
photos = fully_calibrated(photos.query("model == 'mobilenet_v2'"), group_size=16)
top1 = photos.query("method == 'swis' and bits == 1")["top1"].item()
Markdown(
    f"**Two shifts of MobileNet-v2 take {bits.loc[2, (4, 'plain')]:.2f} bits per weight at M = 4 and "
    f"{bits.loc[2, (16, 'plain')]:.2f} at M = 16; a uniform quantizer of as many cycles takes 3.** The "
    f"compact coding makes that {bits.loc[2, (4, 'compact')]:.2f} and {bits.loc[2, (16, 'compact')]:.2f}. "
    f"One shift at M = 16 gives {8 / bits.loc[1, (16, 'plain')]:.2f}x over 8 bits, close to 3.7x, and the "
    f"paper may mean this case; it has {top1:.1f} % top-1 on 500 ImageNet photographs. Without any loss, "
    f"groups that are as wide as their largest weight take {lossless:.2f} bits (DPRed)."
)

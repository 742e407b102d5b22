# %% [markdown]
# # How accurate is it without training?
#
# All methods with the same calibration, without labels or training: points of top-1 below the float
# network, over cycles per weight and over bits per weight, because equal cycles are not equal storage; the
# bands are 95 % intervals of these differences, image by image. The axis is even up to 3 points and
# logarithmic from there. Marks without a line are published numbers of others on all of ImageNet, below
# their own float networks (`results/published.csv`; An: their activations have n bits, 32 for float; weights
# of n bits are drawn at n - 1 cycles, for the sign takes none). Ours on ImageNet are of 500 photographs, most
# of them training images, those on Fashion-MNIST of its 10,000 test images, calibrated on the first draw of
# images. Commands are in the README.

# %%
# %matplotlib inline
import swis
from swis import gallery
from swis.analysis.ablation import fully_calibrated, gains

gallery.draw("accuracy")

# %%
rows = swis.load_table("../results/calibration", "all").query("data == 'imagenet' and seed == 0")
full = fully_calibrated(rows).dropna(subset="bits").query("bits in [1, 2, 3, 4]")
values = ["top1", "logit_sqnr_db", "weight_bits", "cycles_per_weight"]
full.pivot(index=["model", "bits"], columns="method", values=values).round(2).T

# %% [markdown]
# ## What each ingredient of calibration brings
#
# Every ingredient has those before it. The walk over shift sets is ours; error feedback is GPTQ's, the
# target GPTAQ's, matched statistics are common.
#
# * `none`: nearest levels
# * `stats`: and every output channel's mean and variance those of the float network
# * `walk`: and levels chosen for the layer's output, by the Hessian walk over groups
# * `asymmetric`: and the target is what the float layer makes of float inputs
# * `scales`: and every filter takes the best of seven scales

# %%
gallery.draw("calibration")

# %% [markdown]
# Every step, image by image: the gain over the one before in points of top-1, its 95 % interval
# (Tango's), and the p-value of McNemar's exact test, each of one test; among this table's some are small
# by chance.

# %%
plain = rows.query("granularity == 'channel' and rewrites == '' and method in ['swis', 'round', 'uniform']")
plain = plain[plain["group_size"].isna() | plain["group_size"].eq(4)].query("bits in [1, 2, 3, 4]")
steps = gains(plain[plain["calibrate"].ne("reconstruct")])
steps.set_index(["model", "bits", "method", "ingredient"]).round(
    {"difference": 1, "low": 1, "high": 1, "p_value": 4}
)

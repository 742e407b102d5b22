# %% [markdown]
# # Quick start
#
# A few real weights decomposed and drawn bit by bit, then the first accuracy. Everything here comes with
# the package; `SWIS_QUICK=1` in the environment measures on fewer images.

# %%
import os

import swis
from swis.experiments.config import load
from swis.experiments.tasks.evaluate import evaluate_methods
from swis.explore.subject import Subject
from swis.explore.weights import weights_picture

# %% [markdown]
# ## One group of weights
#
# MobileNet-v2, a pointwise layer. Four weights of a filter share a *shift set*: N = 2 of the 7 powers of
# two that 8-bit magnitudes have. Then the errors of all weights of the layer, and what the format costs.
# `90_explore.ipynb` does the same with controls.

# %%
subject = Subject.of("mobilenet_v2")
weights_picture(subject, "blocks.1.0.conv_pw", shifts=2, row=1, place=3)

# %% [markdown]
# With three shifts:

# %%
weights_picture(subject, "blocks.1.0.conv_pw", shifts=3, row=1, place=3)

# %% [markdown]
# ## The first accuracy
#
# The whole network in that format, calibrated without labels, beside an equally calibrated uniform
# quantizer of as many cycles. `load` takes what the command line takes: `python run.py model=mobilenet_v2
# bits=2 ...` makes the same rows.

# %%
few = ["data.limit=32", "calibration.images=16"] if os.environ.get("SWIS_QUICK") else ["data.limit=2000"]
config = load(
    [
        *("model=mobilenet_v2", "bits=2", "calibrate=stats", "methods=[swis,uniform]"),
        *(*few, "versus=[stripes,bitwave]", "results_dir=../outputs/quickstart"),
    ]
)
rows = evaluate_methods(config)
rows[
    ["method", "top1", "top1_low", "top1_high", "cycles_per_weight", "weight_bits", "compression_vs_int8"]
].round(2)

# %% [markdown]
# Rows stay in `results_dir`: run the cell again and it reads them. They are a pandas table like any
# other.

# %%
swis.load_table("../outputs/quickstart", "all")[["method", "top1", "latency_ms", "energy_pj", "git_commit"]]

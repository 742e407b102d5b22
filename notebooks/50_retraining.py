# %% [markdown]
# # What does retraining recover?
#
# Every method retrained from its calibrated weights with the same recipe and budget; means over seeds
# with Student's 95 % intervals, as points below the float network; hollow marks are the same networks
# calibrated and not retrained, where these were measured. `python run.py experiment=retraining`; commands
# for the other networks are in the README.

# %%
# %matplotlib inline
import swis
from swis import gallery
from swis.evaluation.seeds import gap, over_seeds

gallery.draw("retraining")

# %%
rows = swis.load_table("../results/retrain")
retrained = rows[rows["retrain"].notna()]
over_seeds(retrained, ["model", "data", "bits", "method"]).round(2)

# %% [markdown]
# Calibrated, before retraining:

# %%
before = rows[rows["retrain"].isna() & rows["calibrate"].eq("output_aware")]
over_seeds(before, ["model", "data", "bits", "method"]).round(2)

# %% [markdown]
# By how many points SWIS is above truncation, and above the (N + 1)-bit uniform quantizer, seed by seed:

# %%
gap(retrained, "swis", "truncate", ["model", "data", "bits"]).round(2)

# %%
gap(retrained, "swis", "uniform", ["model", "data", "bits"]).round(2)

# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,nbgrader,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here: from scans without labels to an honest comparison
#
# **You will be able to:** pretrain an encoder on scans without labels, measure what its features
# are worth beside fair controls, and fine-tune it with two labelled scans beside a twin from
# scratch.
#
# **Time:** about three minutes on a laptop (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`. At smoke scale every step runs, but too little is learnt to conclude
# anything.
#
# The same path is one command, `ssl3d tour`. Here you walk it step by step.

# %%
# %matplotlib inline
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from data_recipes.virtual import VirtualHippocampus, prepare
from ssl3d_lite.cohort import Cohort
from ssl3d_lite.evaluation import evaluate, predict, proxy_score
from ssl3d_lite.networks import EncoderSettings, random_encoder, random_unet
from ssl3d_lite.probe import linear_probes, recalibrated
from ssl3d_lite.show import figures
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training import FinetuneSettings, TrainSettings, finetune, pretrain

SCALE = os.environ.get("SSL3D_SCALE", "class")
SIZES = {
    "smoke": {"cases": 20, "pretrain": 10, "finetune": 10, "labels": (2,), "draws": 1},
    "class": {"cases": 200, "pretrain": 150, "finetune": 60, "labels": (2, 5, 20), "draws": 2},
    "full": {"cases": 200, "pretrain": 600, "finetune": 400, "labels": (2, 5, 20), "draws": 5},
}
size = SIZES[SCALE]
RUNS = Path("runs") / f"00-{SCALE}"

# %% [markdown]
# ## 1. A cohort
#
# A *recipe* turns raw files into a *cohort*: volumes of one shape and comparable intensities, and
# a manifest that says which patient is in which fold. This recipe needs no download. It warps one
# brain template into many virtual subjects, cuts out the hippocampus (the seahorse-shaped part of
# the brain that files memories) and labels its front (*anterior*) and back (*posterior*) part.
#
# To walk through with real scans, prepare `Task04_Hippocampus` with `ssl3d prepare msd` and name
# its folder in the environment variable `SSL3D_COHORT`.

# %%
folder = Path(os.environ.get("SSL3D_COHORT", RUNS / "cohort"))
if not folder.exists():
    prepare(VirtualHippocampus(out=folder, cases=size["cases"]))
cohort = Cohort.open(folder).to("cuda" if torch.cuda.is_available() else "cpu")
split = cohort.split()
print(f"{cohort.name}: {len(cohort)} scans of {cohort.shape} voxels")
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")

# %% [markdown]
# Look before you train. Below: a scan in three planes, and its label.

# %%
case = split.train[0]
image, label = cohort[case]
figures.segmentations(
    np.asarray(image[0], np.float32), {"label": np.asarray(label)}, cohort.label_names
)

# %% [markdown]
# ## 2. A puzzle that needs no label
#
# **Contrastive predictive coding (CPC).** The scan is cut into a grid of overlapping patches. The
# encoder turns each patch into a short vector, its *latent*. Going through the grid from back to
# front, the network looks at the patches so far and predicts the latent two or three rows ahead.
# It is right if its prediction is nearer to that latent than to every other in the batch.
#
# Guessing is right once in as many tries as there are patches. **Predict before you run:** how
# many patches are there in a batch of two scans? What share of right answers would guessing give?

# %%
FILTERS = (8, 16, 32, 64)
encoder = random_encoder(EncoderSettings(in_channels=len(cohort.channels), filters=FILTERS), seed=0)
task = make_task("cpc", encoder.settings, seed=0)

volumes = cohort.images(split.train[:2])
draw = task.draw(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.pose(volumes, draw)  # nothing random: the same draw, the same puzzle
print("views (scan, patch, channel, x, y, z):", tuple(batch.views.shape))
print(f"chance: {1 / (batch.views.shape[0] * batch.views.shape[1]):.1%}")
figures.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* the coloured boxes are the middle column of the grid, drawn in the scan they
# were cut from; below are the patches as the network gets them.
#
# ## 3. Pretraining
#
# The loop is in `ssl3d_lite/training.py` and is short enough to read. Validation and test scans are
# not shown to the network, not even without their labels.

# %%
start = deepcopy(encoder)
encoder, history = pretrain(
    task,
    encoder,
    cohort,
    split.pretrain,
    TrainSettings(steps=size["pretrain"], learning_rate=2e-3),
)
held_out = proxy_score(task, encoder, cohort, split.validation)
print({name: round(value, 3) for name, value in held_out.items()})
figures.learning_curves({"CPC": history}, {"CPC": held_out})

# %% [markdown]
# ## 4. What are the features worth?
#
# The *linear voxel probe* freezes the encoder and lets a linear classifier name each voxel from
# its features, fitted on a few labelled scans. The control is not zero but a **random encoder**,
# and random encoders are surprisingly good. How good depends on their normalisation and their
# start, so several of each stand beside ours.

# %%
arms = {"CPC": [encoder]}
for norm in ("batch", "group"):
    settings = EncoderSettings(len(cohort.channels), filters=FILTERS, norm=norm)
    arms[f"random, {norm} norm"] = [
        random_encoder(settings, seed).to(volumes.device) for seed in (100, 101)
    ]

draws = [(n, d) for n in size["labels"] for d in range(size["draws"])]
labelled = [cohort.few(split.train, n, d) for n, d in draws]
scores = {}
for arm, encoders in arms.items():
    scores[arm] = {n: [] for n in size["labels"]}
    for candidate in encoders:
        candidate = recalibrated(candidate, cohort, split.pretrain[:16])
        results = linear_probes(candidate, cohort, labelled, split.test)
        for (n, _), result in zip(draws, results, strict=True):
            scores[arm][n].append(result.mean_dice)
for arm, by_amount in scores.items():
    print(f"{arm:20}", {n: round(float(np.mean(s)), 3) for n, s in by_amount.items()})
figures.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of CPC above all dots of the random encoders, or only above their
# mean?
#
# ## 5. Fine-tuning beside a twin
#
# The twins get the same two labelled scans, the same start of the decoder, the same order of cases
# and the same number of steps. Only the start of the encoder differs.

# %%
two = cohort.few(split.train, 2)
answers = {}
for name, begin in {"CPC": encoder, "scratch": start}.items():
    network = random_unet(deepcopy(begin), len(cohort.label_names), seed=0)
    network, _ = finetune(network, cohort, two, FinetuneSettings(steps=size["finetune"]))
    print(f"{name:8}", evaluate(network, cohort, split.test, hausdorff=False, progress=False))
    answers[name] = predict(network, cohort.images(split.test[:2]))[0].cpu().numpy()

image, label = cohort[split.test[0]]
figures.segmentations(
    np.asarray(image[0], np.float32), {"truth": np.asarray(label), **answers}, cohort.label_names
)

# %% [markdown]
# ## What this shows, and what it does not
#
# - One seed is an anecdote. `ssl3d tour` runs two paired seeds and writes a report; a study needs
#   more.
# - The probe speaks of the encoder. In full fine-tuning skips and decoder can go round it, and the
#   gain shrinks or vanishes as labels and steps grow.
# - Virtual subjects are warps of one template, and their labels are geometric. Real scans are one
#   command away: `ssl3d prepare msd --task Task04_Hippocampus --out hippocampus`.
#
# **Exercise.** Replace `"cpc"` by `"rotation"` above and run all again. Which puzzle is easier?
# Which features are better?
#
# <details><summary>Hint and answer</summary>
#
# `make_task("rotation", encoder.settings)` is all that changes. Rotation is soon solved almost
# perfectly, yet its features hardly beat the random encoders with group norm: a puzzle that is
# easy to solve need not teach what the labels ask for.
#
# </details>
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018. Antonelli
# et al., *The Medical Segmentation Decathlon*, Nature Communications 2022.

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
# **Time:** about two minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `SSL3D_SCALE=smoke`. At smoke scale every step runs, but too little is learnt to conclude
# anything.
#
# The same path is one command, `ssl3d tour`. Here you walk it step by step. At the end stands what
# the other notebooks are about; you may start with any.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch

SIZES = {
    "smoke": {"cases": 20, "pretrain": 10, "finetune": 10, "labels": (2,), "draws": 1},
    "class": {"cases": 200, "pretrain": 150, "finetune": 60, "labels": (2, 5, 20), "draws": 2},
    "full": {"cases": 200, "pretrain": 600, "finetune": 400, "labels": (2, 5, 20), "draws": 5},
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. A cohort
#
# A *recipe* turns raw files into a *cohort*: volumes of one shape and comparable intensities, and
# a manifest that says which patient is in which fold. This recipe needs no download. It warps one
# brain template into many virtual subjects, cuts out the hippocampus (the seahorse-shaped part of
# the brain that files memories) and labels its front (*anterior*) and back (*posterior*) part.
#
# To walk through with real scans, prepare them beside this notebook. If they are there, they are
# taken.
#
# ```
# ssl3d prepare msd --task Task04_Hippocampus --out cohorts/hippocampus
# ```

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")

# %% [markdown]
# **Look before you train.** Scroll with the mouse wheel, click to move the cross, and change the
# opacity of the label. Can you tell the seahorse's head (anterior) from its tail?

# %%
image, label = cohort[split.train[0]]
image, label = np.array(image, np.float32), np.array(label)
ssl3d.show.Slices(image, label, label_names=cohort.label_names)

# %%
ssl3d.show.segmentations(image[0], {"label": label}, cohort.label_names)

# %% [markdown]
# *What to look at:* the same scan on paper: three planes through the middle of the label.
#
# ## 2. A puzzle that needs no label
#
# **Contrastive predictive coding (CPC).** The scan is cut into a grid of overlapping patches. The
# encoder turns each patch into a short vector, its *latent*. Going through the grid from back to
# front, the network looks at the patches so far and predicts the latent three or four rows ahead:
# nearer ones touch what it has seen, and borders that fit would give them away. It is right if its
# prediction is nearer to that latent than to every other in the batch.
#
# Guessing is right once in as many tries as there are patches. **Predict before you run:** how
# many patches are there in a batch of two scans? What share of right answers would guessing give?

# %%
encoder = ssl3d.make_encoder(cohort, seed=0)
task = ssl3d.make_task("cpc", encoder, seed=0)

volumes = cohort.images(split.train[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random: same params, same views
print("views (scan, patch, channel, x, y, z):", tuple(batch.views.shape))
untrained = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
print(f"untrained: {untrained['accuracy']:.1%} right, chance {untrained['chance']:.1%}")
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* the coloured boxes are the middle column of the grid, drawn in the scan they
# were cut from; below are the patches as the network gets them.
#
# <details><summary>What we saw</summary>
#
# Two scans have 45 patches each, so a guess is right once in 90 tries: 1.1 %. The untrained
# network was right in 1.2 %, which is [chance](../docs/glossary.md#chance). Nothing has been
# learnt yet.
#
# </details>
#
# ## 3. Pretraining
#
# The loop is in `ssl3d_lite/training/loop.py` and is short enough to read. Validation and test
# scans are not shown to the network, not even without their labels. The view below is asked a few
# fixed questions about validation scans while it learns. *Stop* ends the run early.

# %%
untrained_encoder = deepcopy(encoder)  # the twin from scratch starts from it
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
history = ssl3d.pretrain(
    task, encoder, cohort, steps=size["pretrain"], learning_rate=2e-3, callback=view.watch
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
print({name: round(value, 3) for name, value in held_out.items()})
ssl3d.show.learning_curves({"CPC": history}, {"CPC": held_out})

# %% [markdown]
# *What to look at:* is the score, and the dot of the held-out cases, above the dashed line of
# chance?
#
# <details><summary>What we saw</summary>
#
# On validation scans, which the network was not shown, it found the right patch in 12.7 % of
# tries. Chance is 1.1 %. So it learnt something that holds for other patients too. Whether that
# is anatomy, and of use, the score cannot say: the next section asks.
#
# </details>
#
# ## 4. What are the features worth?
#
# The *linear voxel probe* freezes the encoder and lets a linear classifier name each voxel from
# its features, fitted on a few labelled scans. What must be beaten is not zero. **Place alone**
# looks at no scan: its answer is the mean label map of the same labelled scans. And a **random
# encoder** is surprisingly good. How good depends on its norm and its start, so several stand
# beside ours.

# %%
arms = {"CPC": [encoder]}
for norm in ("instance", "batch", "none"):
    starts = [ssl3d.make_encoder(cohort, seed, norm=norm) for seed in (100, 101)]
    arms[f"random, norm: {norm}"] = [start.to(volumes.device) for start in starts]

scores = {}
for arm, encoders in arms.items():
    scores[arm] = {n: [] for n in size["labels"]}
    for candidate in encoders:
        for n in size["labels"]:
            result = ssl3d.probe(candidate, cohort, labels=n, draws=size["draws"], controls=0)
            scores[arm][n] += [report.score for report in result.reports]
scores["place alone"] = {  # no encoder: the mean label map of the same labelled scans
    n: [
        ssl3d.evaluation.evaluate_place(
            cohort, cohort.subset(split.train, n, draw), split.test
        ).score
        for draw in range(size["draws"])
    ]
    for n in size["labels"]
}
for arm, by_amount in scores.items():
    print(f"{arm:22}", {n: round(float(np.mean(s)), 3) for n, s in by_amount.items()})
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of CPC above all dots of the *best* random encoders, or only above
# their mean? And how much of its height does place alone reach, without a look at any scan?
#
# <details><summary>What we saw</summary>
#
# With 2, 5 and 20 labelled scans, a [linear probe](../docs/glossary.md#linear-probe) of CPC's
# features had a [Dice](../docs/glossary.md#dice) of 0.53, 0.70 and 0.756. The best [random
# encoders](../docs/glossary.md#random-encoder), those without a norm, had 0.323, 0.486 and 0.549,
# and [place alone](../docs/glossary.md#place-alone) had 0.287, 0.444 and 0.458. So CPC with 2
# labels was ahead of random encoders with 5, and CPC with 5 was ahead of them with 20. Random
# encoders with 5 labels were hardly better than place alone: without that line their scores would
# have looked like knowledge.
#
# </details>
#
# ## 5. Fine-tuning beside a twin
#
# The twins get the same two labelled scans, the same start of the decoder, the same order of cases
# and the same number of steps. Only the start of the encoder differs.

# %%
two = cohort.subset(split.train, 2)
predictions = {}
for name, begin in {"CPC": encoder, "scratch": untrained_encoder}.items():
    network = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(network, cohort, two, steps=size["finetune"])
    print(f"{name:8}", ssl3d.evaluate(network, cohort, split.test, hausdorff=False, progress=False))
    predictions[name] = (
        ssl3d.evaluation.predict_batch(network, cohort.images(split.test[:2]))[0].cpu().numpy()
    )

image, label = cohort[split.test[0]]
ssl3d.show.segmentations(
    np.asarray(image[0], np.float32),
    {"truth": np.asarray(label), **predictions},
    cohort.label_names,
)

# %% [markdown]
# *What to look at:* a test scan, its label, and what each twin makes of it. A picture of one case
# is no score; the lines above are.
#
# <details><summary>What we saw</summary>
#
# The network that began with CPC had a mean Dice of 0.597, its twin from
# [scratch](../docs/glossary.md#scratch) 0.575. One pair of runs says nothing about such a
# difference: another seed may turn it round. Fine-tuning is another question than the probe.
# There the encoder was all that could help; here the whole network learns from the two labels,
# and a good start matters less.
#
# </details>
#
# ## What this shows, and what it does not
#
# - One seed is an anecdote. `ssl3d tour` runs two paired seeds and writes a report; a verdict needs
#   six or more (notebook 11).
# - The probe speaks of the encoder. In full fine-tuning skips and decoder can go round it, and the
#   gain shrinks or vanishes as labels and steps grow.
# - Virtual subjects are warps of one template, and their labels are geometric. Real scans are one
#   command away, as said above.
#
# ## Where to go from here
#
# Start anywhere. Each notebook begins with its own imports and its own scans. Minutes are those of
# one core of a laptop at class scale.
#
# | notebook | you will be able to | minutes |
# |---|---|---|
# | **00** [start here](00_start_here.ipynb) | walk the whole path once | 2 |
# | **01** [volumes](01_volumes.ipynb) | read millimetres, orientation, windows, patches | 1 |
# | **02** [rotation](02_rotation.ipynb) | turn a scan by hand, and train on its turns | 2 |
# | **03** [location](03_relative_location.ipynb) | ask which of 26 places a patch is from | 2 |
# | **04** [jigsaw](04_jigsaw.ipynb) | shuffle 27 pieces, and choose orders that differ | 2 |
# | **05** [exemplar](05_exemplar.ipynb) | work out the triplet loss, and notice a collapse | 3 |
# | **06** [CPC](06_cpc.ipynb) | follow a patch from latent to context to InfoNCE | 3 |
# | **08** [shortcuts](08_shortcuts.ipynb) | break every task on purpose, and catch it | 3 |
# | **09** [2D to 3D](09_2d_to_3d.ipynb) | compare slices with volumes, fairly | 3 |
# | **11** [fine-tuning](11_finetuning.ipynb) | warm up, freeze, probe, and say when it helps | 6 |
# | **14** [brain tumours](14_brain_tumours.ipynb) | run the paper's first benchmark | 6 |
# | **15** [pancreas](15_pancreas.ipynb) | use scans without labels; draw label efficiency | 6 |
# | **16** [retinopathy](16_retinopathy.ipynb) | grade photographs, and score by kappa | 6 |
# | **17** [transfer](17_transfer.ipynb) | learn from a large corpus, for other scans | 6 |
# | **19** [your own](19_your_own.ipynb) | prepare your own scans, write your own task | 1 |
#
# **Exercise.** Replace `"cpc"` by `"rotation"` above and run all again. Which puzzle is easier?
# Which features are better?
#
# <details><summary>Hint and answer</summary>
#
# `ssl3d.make_task("rotation", encoder)` is all that changes. Rotation is soon solved almost
# perfectly, yet its features hardly beat random encoders: a puzzle that is easy to solve need not
# teach what the labels ask for.
#
# </details>
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Van
# den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018. Antonelli et
# al., *The Medical Segmentation Decathlon*, Nature Communications 2022.

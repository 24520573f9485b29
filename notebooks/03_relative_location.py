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
# # Relative location: where does this patch lie, seen from the centre?
#
# **You will be able to:** choose by hand which place a patch is taken from; say what jitter and
# normalisation keep the network from doing; train an encoder to name one of 26 places; read a
# confusion of 26 places; and tell a wrong guess next door from one on the far side.
#
# **Time:** about two minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; much longer at
# `full`, which wants a GPU.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from itertools import product
import numpy as np
import torch

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "seeds": 1, "labels": (2,), "draws": 1},
    "class": {"cases": 100, "filters": (16, 32, 64), "steps": 900, "seeds": 2}
    | {"labels": (2, 5), "draws": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 4000, "seeds": 5}
    | {"labels": (2, 5, 20), "draws": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# Share a scan out among 3 × 3 × 3 cells, like a big dice made of small ones. The network is shown
# the patch in the middle cell and one other, the *query*, and says where the query came from. There
# are 26 cells about the middle: left or right, front or back, above or below, and all mixtures. To
# answer, it has to know what the parts look like and how they lie to one another.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, our default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("rpl", encoder, seed=0)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* view 0 is the centre; the others are queries, with the number of the place as
# the answer. Would you find any of them by its patch alone? This is all that the network gets.
#
# What the numbers mean, in the order that the task uses: R and L are the patient's right and left,
# A and P front and back, S and I above and below.

# %%
cells = [cell for cell in product(range(3), repeat=3) if cell != (1, 1, 1)]  # place → its cell
names = ssl3d.show.place_names(dims=3)
for start in range(0, len(names), 9):
    print("  ".join(f"{n:2} {name:4}" for n, name in list(enumerate(names))[start : start + 9]))

# %% [markdown]
# ## 2. Set a draw by hand
#
# A draw is two small tensors: which places are asked about, and by how many voxels each patch is
# moved (its *jitter*).

# %%
for name, value in params.items():
    print(f"{name:7}", tuple(value.shape), value[0].tolist())

# %% [markdown]
# Ask about the eight corners of the dice, without jitter. **Predict before you run:** which corners
# lie in the tissue about the hippocampus, and which look alike?

# %%
corners = [number for number, name in enumerate(names) if len(name) == 3]
hand = {name: value.clone() for name, value in params.items()}
hand["query"][:] = torch.tensor(corners)
hand["jitter"][:] = 0
by_hand = task.make_views(volumes, hand)
ssl3d.show.puzzle_slices(volumes, by_hand)

# %% [markdown]
# Scroll through the planes; a click into a box names it. Change `hand["query"]` or `hand["jitter"]`
# (0 to 3 for each patch and axis; the first patch is the centre) and run the cell again. The same
# in 3D, where the pieces can be pulled apart:

# %%
ssl3d.show.Puzzle3D(volumes, by_hand)

# %% [markdown]
# And as a figure that stays when the notebook is closed:

# %%
ssl3d.show.puzzle(volumes, by_hand)

# %% [markdown]
# *What to look at:* without jitter the boxes stand in a strict grid. Between them there is a gap,
# so that no edge runs on from one patch into the next.
#
# ## 3. The maths
#
# Let $x_c$ be the centre patch and $x_q$ a query from the place $y_q \in \{1, \dots, 26\}$. The
# encoder $f$ reads each patch by itself, and a small head $g$ reads both features side by side:
#
# $$p(y \mid x_c, x_q) = \mathrm{softmax}\; g\bigl(f(x_c), f(x_q)\bigr), \qquad
# \mathcal{L}_{\mathrm{RPL}} = -\frac{1}{K} \sum_{k=1}^{K} \log p\bigl(y_q^{(k)} \mid x_c^{(k)},
# x_q^{(k)}\bigr)$$
#
# over $K$ queries. The order matters: $g$ knows which of the two is the centre. In 2D eight places
# are left of 3 × 3 cells. **Predict before you run:** by how much is guessing harder in 3D?

# %%
for dims in (2, 3):
    shape = ssl3d.EncoderSettings(spatial_dims=dims, norm="batch", filters=size["filters"])
    places = ssl3d.make_task("rpl", shape).places
    print(f"{dims}D: {places} places, chance {1 / places:.1%}, loss {np.log(places):.2f}")

# %% [markdown]
# Where the patches stand: each cell of $\lfloor n / 3 \rfloor$ voxels holds a patch of edge $s$,
# which may be moved by 0 to $j$ voxels and never leaves its cell, so $s + j \le \lfloor n/3
# \rfloor$. This scan leaves room:

# %%
s = task.settings
print("cell:", [edge // 3 for edge in cohort.shape], "voxels; patch", s.patch, "jitter", s.jitter)
stands = ssl3d.tasks.geometry.puzzle_corners(cohort.shape, side=3, patch=s.patch, jitter=s.jitter)
print("first voxels along each axis:", [sorted(set(axis.tolist())) for axis in stands.T])

# %% [markdown]
# ## 4. The code
#
# Only patches that are asked about are cut, and each is encoded once.

# %%
ssl3d.show.source(ssl3d.tasks.RelativeLocation.make_views, ssl3d.tasks.RelativeLocation.forward)

# %% [markdown]
# `normalised` gives each patch mean 0 and variance 1. Without it brightness betrays the place:
# scans are darker at the rim. Jitter is there for the same reason: a line that leaves one patch
# must not enter the next at the same height. Both are doors that a network would rather use than
# learn anatomy. You can open them in the exercise. One door is left ajar even so: where a small
# scan was padded, patches at the rim show streaks (look at the figure again), and streaks tell the
# side. Notebook 08 goes after such things.
#
# ## 5. Pretraining
#
# Each seed has other weights at the start, other places, other jitter. Watch the first one learn.
# *Stop* ends it early and keeps what was learnt; to begin anew, run the cell of `pairs` again.

# %%
device = volumes.device


def make_pair(seed: int, **settings) -> tuple:
    """A task and an encoder that have learnt nothing."""
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    task = ssl3d.make_task("rpl", encoder, seed, **settings)
    return task.to(device), encoder.to(device)


def train(task, encoder, seed: int, callback=None) -> list:
    return ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["steps"],
        batch=8,
        learning_rate=2e-3,
        seed=seed,
        callback=callback,
    )


# %%
pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:2]), names=names)
view

# %%
histories = {}
for seed, (task, encoder) in enumerate(pairs):
    callback = view.watch if seed == 0 else None
    histories[f"seed {seed}"] = train(task, encoder, seed, callback)
tasks, encoders = zip(*pairs)

# %% [markdown]
# Training scans are known to the network by now. What counts is the score on scans that it has
# never seen: the validation cases.

# %%
held_out = {}
for run, task, encoder in zip(histories, tasks, encoders):
    held_out[run] = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    print(run, {name: round(value, 3) for name, value in held_out[run].items()})
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* how far above the dashed line of guessing do the dots lie, the held-out scans?
# Are the curves still rising at the end?
#
# ## 6. Where does it go wrong?
#
# Being right is not all. Whoever takes *above right* for *right* has understood more than one who
# takes it for *below left*. **Predict before you run:** where in the matrix do the wrong guesses
# lie that are next door?

# %%
task, encoder = tasks[0].eval(), encoders[0]
generator, seen = torch.Generator().manual_seed(1), cohort.images(split.validation)
truth, predictions = [], []
for _ in range(20):
    batch = task.make_views(seen, task.sample_params(seen, generator))
    with torch.inference_mode():
        prediction = task(encoder, batch)
    truth.append(batch.target.flatten().cpu())
    predictions.append(prediction.argmax(-1).cpu())
truth, predictions = torch.cat(truth).numpy(), torch.cat(predictions).numpy()
ssl3d.show.confusion(truth, predictions, names, title="validation scans, seed 0")

# %% [markdown]
# *What to look at:* the diagonal is right. Places stand in the order left to right, within it back
# to front, within it bottom to top. So one step up or down lies one row beside the diagonal, one
# step to the side about nine rows away. Which stripes do you see?
#
# The same in numbers. A guess beside the truth along every axis by at most one cell is *next door*.

# %%
table = np.array(cells)
apart = np.abs(table[truth] - table[predictions])  # (query, axis), in cells
wrong = predictions != truth
pairs = np.abs(table[:, None] - table[None]).max(-1)
by_luck = (pairs == 1).sum() / (pairs > 0).sum()
if wrong.any():
    nearby = (apart[wrong].max(1) == 1).mean()
    print(f"of wrong predictions {nearby:.0%} are next door; at random it would be {by_luck:.0%}")
for axis, what in enumerate(("left, middle or right", "back to front", "bottom to top")):
    print(f"right about {what:21}: {(apart[:, axis] == 0).mean():.0%}")

# %% [markdown]
# Now in 3D. Press *put back*: on the left the patches go where they were cut, on the right where
# the network believes that they were. Green ones are right.

# %%
last = (truth.reshape(20, len(seen), -1)[-1, 0], predictions.reshape(20, len(seen), -1)[-1, 0])
print("truth:     ", [names[n] for n in last[0]])
print("prediction:", [names[n] for n in last[1]])
ssl3d.show.Puzzle3D(seen, batch, prediction=last[1].tolist())

# %% [markdown]
# ## 7. What are the features good for?
#
# The puzzle is a means. The end is to name tissue with few labels. A *linear probe* reads the
# frozen encoder and names each voxel, fitted on a few labelled scans. Beside it stand encoders that
# were never trained, of three kinds: they are better than one would think. And place alone,
# which looks at no scan: the mean label map of the same labelled scans.

# %%


def probe(encoders: list) -> dict:
    """Number of labelled scans → the Dice of every encoder and draw of labels, on test scans."""
    scores = {n: [] for n in size["labels"]}
    for encoder in encoders:
        for n in scores:
            result = ssl3d.probe(encoder, cohort, labels=n, draws=size["draws"], controls=0)
            scores[n] += [report.score for report in result.reports]
    return scores


# %%
arms = {"relative location": encoders}
for norm in ("instance", "batch", "none"):
    starts = [
        ssl3d.make_encoder(cohort, seed, filters=size["filters"], norm=norm) for seed in (100, 101)
    ]
    arms[f"random, norm: {norm}"] = [start.to(device) for start in starts]
scores = {arm: probe(candidates) for arm, candidates in arms.items()}
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
# *What to look at:* is the line of the pretrained encoders above **all** controls, and above all
# their dots? If it beats one of them only, what would you have claimed with that one control?

# %%
controls = [arm for arm in scores if arm != "relative location"]
for n in size["labels"]:
    means = {arm: float(np.mean(scores[arm][n])) for arm in scores}
    best = max(controls, key=means.get)
    gain = means["relative location"] - means[best]
    print(f"{n} labelled scans: {gain:+.3f} Dice against the best control ({best})")

# %% [markdown]
# A patch is small here, 8 voxels an edge: in the encoder's deepest level not much of it is left.
# Features that serve to place a patch need not be those that draw a border through it. The paper's
# patches are a third of 128 voxels.
#
# ## Exercise
#
# Open the two doors, one at a time: train once with `normalise=False` and once with `jitter=0`
# (both are settings of the task; `make_pair(seed, normalise=False)` does it). Compare the scores on
# the validation scans. Then probe the encoders. Is the run with the better proxy score the one with
# the better features?
#
# <details><summary>Hint</summary>
#
# Brightness is a number that one linear unit can read off a patch. What does the network still have
# to find out if brightness tells it how far out a patch lies? And a score is only comparable if the
# puzzle is the same: score each task on its own puzzles, and ask what each score is a score *of*.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# for opened in ({}, {"normalise": False}, {"jitter": 0}):
#     task, encoder = make_pair(0, **opened)
#     train(task, encoder, seed=0)
#     score = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
#     worth = {n: round(float(np.mean(dice)), 2) for n, dice in probe([encoder]).items()}
#     print(opened, round(score["accuracy"], 2), worth)
# ```
#
# A door makes the puzzle easier, so the proxy score tends to rise; that is no merit. What it does
# to the features is an open question for every data set, and one seed does not answer it: run
# several and keep all dots. If you mean to choose a setting by the probe, probe on
# `split.validation` instead: the test cases are for the end, once.
#
# </details>
#
# ## What the literature did next
#
# - Doersch et al. (ICCV 2015), who posed the puzzle on photographs, already found that networks
#   read the place off the colour fringes of the lens: shortcuts are as old as the task.
# - Bai et al. (MICCAI 2019) predicted anatomical positions in cardiac MRI, as defined by the
#   planes in which the views of the heart are taken.
# - Lei et al. (MICCAI 2021) regressed the offset between two patches in millimetres instead of
#   choosing among places, and found organs from one example.
# - Zhai et al. (ICML 2022) asked a transformer for the positions of all patches at once.
# - Wu et al. (VoCo, CVPR 2024) asked how much a random crop overlaps with each of a set of base
#   crops: relative location made soft and contrastive, on large CT collections.
#
# ## References
#
# Bai et al., *Self-Supervised Learning for Cardiac MR Image Segmentation by Anatomical Position
# Prediction*, MICCAI 2019. Doersch, Gupta and Efros, *Unsupervised Visual Representation Learning
# by Context Prediction*, ICCV 2015. Lei et al., *Contrastive Learning of Relative Position
# Regression for One-Shot Object Localization in 3D Medical Images*, MICCAI 2021. Taleb et al., *3D
# Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Wu, Zhuang and Chen, *VoCo: A
# Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis*, CVPR
# 2024. Zhai et al., *Position Prediction as an Effective Pretraining Strategy*, ICML 2022.

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
# # Exemplar: which scan is this a picture of?
#
# **You will be able to:** set a distortion by hand and see what it does to a scan; write the
# triplet loss and work it out for a small batch; say what counter-examples do, and which; and
# notice a collapse, which the loss alone does not show.
#
# **Time:** about three minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under
# one at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; about ten minutes on
# a GPU at `full`.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "edge": 16, "steps": 10, "trial": 10} | {"seeds": 2},
    "class": {"cases": 100, "filters": (16, 32, 64), "edge": 24, "steps": 150, "trial": 80}
    | {"seeds": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "edge": 32, "steps": 1000, "trial": 200}
    | {"seeds": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# Take a box out of a scan: the **anchor**. Mirror it, turn it, zoom it, change its contrast: a
# **copy**. Take a box out of another scan: the **counter-example**. Whoever can say that anchor
# and copy belong together, and the third does not, must have understood what stays the same when a
# scan is distorted. No label is needed: the scan itself is the class.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, our default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("exemplar", encoder, seed=0, crop_size=size["edge"])
volumes = cohort.images(split.pretrain[:4])
params = task.sample_params(volumes, torch.Generator().manual_seed(3))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.triplets(volumes, batch)

# %% [markdown]
# *What to look at:* each row is one triplet. Could you tell which of the right two pictures shows
# the scan on the left? By what: the outline, the brightness, or a structure inside?
#
# ## 2. Set a draw by hand
#
# A draw is a handful of named tensors, one entry a scan. Nothing else is random.

# %%
for name, value in params.items():
    print(f"{name:9}", [round(number, 2) for number in value.flatten().tolist()][:12])

# %% [markdown]
# Change the numbers below and run the cell again. `plane` 0, 1, 2 are the planes across the axes
# right, anterior and superior. **Predict before you run:** what will `gain = -1` do to the copy?

# %%
ANGLE, FLIP, ZOOM, GAIN, SHIFT = 40, (0, 1, 0), 1.2, 0.7, 0.2  # degrees; axes; factor; contrast
hand = task.sample_params(volumes, torch.Generator().manual_seed(3))
hand["plane"][0], hand["angle"][0] = 2, np.deg2rad(ANGLE)
hand["flip"][0] = torch.tensor(FLIP, dtype=torch.bool)
hand["zoom"][0], hand["gain"][0], hand["shift"][0] = ZOOM, GAIN, SHIFT
by_hand = task.make_views(volumes, hand)
ssl3d.show.puzzle(volumes, by_hand)

# %% [markdown]
# *What to look at:* the boxes of anchor and copy in the scan they were cut from. The turned box
# shows where the copy's voxels come from. A draw set twice gives the same copy twice.
#
# The same in three planes that you can scroll. Click into a box: the view says whose it is.

# %%
ssl3d.show.puzzle_slices(volumes, by_hand)

# %% [markdown]
# All distortions are one affine map a scan, so a copy is resampled once, and blurred once. This is
# how the map is made:

# %%
ssl3d.show.source(ssl3d.tasks.exemplar.distortion)

# %% [markdown]
# ## 3. The maths
#
# The encoder $f$ and a head $g$ turn a box $x$ into a point on the unit sphere,
# $z = g(f(x)) / \lVert g(f(x)) \rVert$. With the anchor $x_i$, its copy $x_i^+$ and a
# counter-example $x_i^-$ the **triplet loss** over $N$ scans is
#
# $$\mathcal{L} = \frac{1}{N} \sum_i \max\bigl(0,\; D(z_i, z_i^+) - D(z_i, z_i^-) + \alpha\bigr),$$
#
# with $D$ the Euclidean distance and $\alpha$ the margin. It is zero as soon as the counter-example
# is further away than the copy by $\alpha$. The paper has $\alpha = 1$. Points on a sphere are at
# most 2 apart, and here $\alpha = 0.2$.
#
# Below are the distances from each anchor (a row) to the eight points of four scans, in an encoder
# that has learnt nothing.

# %%
device = volumes.device
encoder, task = encoder.to(device), task.to(device).eval()
with torch.no_grad():
    prediction = task(encoder, batch)  # (scan, view, embedding_dim)
points = prediction.flatten(0, 1)  # anchor and copy of scan 0, of scan 1, …
distances = ssl3d.tasks.exemplar.distance(prediction[:, 0], points)
print(np.array2string(distances.cpu().numpy(), precision=2, suppress_small=True))
print("lengths:", np.round(prediction.norm(dim=-1).flatten().tolist(), 3))

# %% [markdown]
# **Predict before you run.** In row 0, which number is the distance to the own copy? Which is the
# *hardest* counter-example? What does the first term of the loss come to?

# %%
for row in range(len(distances)):
    own, others = 2 * row + 1, [n for n in range(8) if n // 2 != row]
    to_copy, hardest = distances[row, own], distances[row, others].min()
    hinge = torch.nn.functional.relu(to_copy - hardest + task.settings.margin)
    print(f"scan {row}: copy {to_copy:.3f}, hardest other {hardest:.3f}, loss {hinge:.3f}")
hard = ssl3d.make_task("exemplar", encoder, crop_size=size["edge"], negatives="hardest").eval()
print(f"mean, as the task works it out: {hard.loss(prediction, batch):.3f}")

# %% [markdown]
# ## 4. Which counter-example?
#
# - **random** (the default): any view of any other scan of the batch. Once most are far enough
#   away they cost nothing and teach nothing.
# - **hardest**: the nearest. It always teaches, but it may be a scan that is truly alike, and early
#   in training it pulls hard on points that mean nothing yet.
#
# The batch decides how many there are: with one scan, the counter-example would be the scan itself,
# so the task refuses. The choice is four lines:

# %%
ssl3d.show.source(ssl3d.tasks.exemplar.choose)

# %%
for other in ("random", "hardest"):
    again = ssl3d.make_task("exemplar", encoder, crop_size=size["edge"], negatives=other).eval()
    print(f"{other:8} loss of the untrained network: {again.loss(prediction, batch):.3f}")

# %% [markdown]
# ## 5. Collapse
#
# **Predict before you run:** suppose the network gives the same point for every box. What is the
# loss? Is that worse than where it starts, above?

# %%
same = torch.ones_like(prediction) / prediction.shape[-1] ** 0.5
scores = task.score(same, batch)
print(f"loss {task.loss(same, batch):.3f}, margin {task.settings.margin}")
print({name: round(float(value), 3) for name, value in scores.items()})

# %% [markdown]
# One point for all: the loss stands at the margin, and its gradient does not say which way to go.
# Nothing in that number says that something is wrong: a network that has just begun is not far from
# it. What says it is the **standard deviation** of the points,
#
# $$s = \sqrt{1 - \Bigl\lVert \tfrac{1}{n} \sum_j z_j \Bigr\rVert^2},$$
#
# 0 if all are the same and near 1 if they lie evenly about the sphere. Now three short runs, which
# differ in the counter-examples alone. The last is a control that has none at all. *Which will
# collapse? By which curve would you have noticed?*

# %%
TRIALS = {
    "random": {},
    "hardest": {"negatives": "hardest"},
    "none (control)": {},
}


# %%
def attempt(name, settings):
    """Pretrain shortly: the encoder, and its history up to the end or to the collapse."""
    rows, kind = [], "collapsed" if name.startswith("none") else "exemplar"
    candidate = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
    tried = ssl3d.make_task(kind, candidate, seed=0, crop_size=size["edge"], **settings)

    def watch(history):
        rows[:] = history  # kept even if the training fails

    try:
        ssl3d.pretrain(
            tried,
            candidate,
            cohort,
            steps=size["trial"],
            batch=8,
            learning_rate=1e-3,
            callback=watch,
        )
    except ssl3d.errors.DivergedError as failure:
        print(f"{name}: {failure}")
    return candidate.eval(), rows


# %%
tries = {name: attempt(name, settings) for name, settings in TRIALS.items()}
figure = Figure(figsize=(9, 3), layout="constrained")
panels = dict(zip(("loss", "accuracy", "embedding_std"), figure.subplots(1, 3), strict=True))
for quantity, axes in panels.items():
    for colour, (name, (_, rows)) in zip(ssl3d.show.COLOURS, tries.items(), strict=False):
        steps, values = zip(*((row["step"], row[quantity]) for row in rows), strict=True)
        axes.plot(steps, values, color=colour, marker=".", label=name)
    axes.set(xlabel="step", ylabel=quantity)
panels["loss"].axhline(task.settings.margin, color="grey", linestyle="--")
panels["accuracy"].axhline(rows[0]["chance"], color="grey", linestyle="--")
panels["embedding_std"].axhline(ssl3d.tasks.exemplar.COLLAPSED, color="grey", linestyle="--")
panels["embedding_std"].set_yscale("log")
ssl3d.show.tidy(*panels.values())
figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
figure

# %% [markdown]
# *What to look at:* dashed are the margin, what guessing gives, and the deviation below which the
# library calls it a collapse. Find the curves that fall below the line on the right, then the same
# colours on the left and in the middle. Would accuracy have told you? (It only asks which of the
# distances is the smallest, and rounding differences will do for that.) The control's loss is
# another one, the distance to the copy alone, and it can be brought to 0 by telling nothing.
#
# The library looks at it every ten steps, and a training that has collapsed ends with a
# clear message instead of running on for hours:

# %%
ssl3d.show.source(ssl3d.tasks.Exemplar.check_health)

# %% [markdown]
# ## 6. Pretraining
#
# A batch of eight scans has 16 boxes; an anchor is right if its copy is nearer than all 14 boxes of
# other scans. **Predict before you run:** how often would guessing be right? Watch the examples,
# and stop when you have seen enough.

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("exemplar", encoder, seed=0, crop_size=size["edge"])
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:4]))
view

# %%
settings = ssl3d.TrainSettings(steps=size["steps"], batch=8, learning_rate=1e-3)
history = ssl3d.pretrain(task, encoder, cohort, settings=settings, callback=view.watch)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, batch=8)
ratio = held_out["accuracy"] / held_out["chance"]
print({name: round(value, 3) for name, value in held_out.items()}, f"{ratio:.1f} times chance")

# %% [markdown]
# One seed is an anecdote: the same with another start and other draws.

# %%
encoders, histories, scored = [encoder], {"seed 0": history}, {"seed 0": held_out}
for seed in range(1, size["seeds"]):
    start = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    again = ssl3d.make_task("exemplar", start, seed, crop_size=size["edge"])
    histories[f"seed {seed}"] = ssl3d.pretrain(again, start, cohort, settings=settings, seed=seed)
    encoders.append(start)
    scored[f"seed {seed}"] = ssl3d.evaluation.proxy_score(
        again, start, cohort, split.validation, batch=8
    )
ssl3d.show.learning_curves(histories, scored)

# %% [markdown]
# *What to look at:* the dots are the scores on validation scans, which the networks never saw. Are
# they above the dashed line? Are they far below the ends of their curves?
#
# The same triplets as a picture, of validation scans, with the distances that the network gives:

# %%
unseen = cohort.images(split.validation[:3])
batch = task.make_views(unseen, task.sample_params(unseen, torch.Generator().manual_seed(1)))
task.eval()
with torch.no_grad():
    prediction = task(encoder, batch)
ssl3d.show.triplets(unseen, batch, prediction)

# %% [markdown]
# *What to look at:* where is the copy not the nearer one? Would you have told them apart?
#
# ## 7. What are the features worth?
#
# A linear classifier names each voxel by the frozen encoder's features, fitted on a few labelled
# scans. Zero is not what to beat. Place alone is (the mean label map of the same labelled scans),
# random encoders of three kinds, and the control that was trained to tell nothing: its finer
# levels have still seen scans.

# %%
LABELS = (2,) if ssl3d.scale() == "smoke" else (2, 5)


def probe(encoders: list) -> dict:
    """Number of labelled scans → the Dice of every encoder and draw of labels, on test scans."""
    scores = {n: [] for n in LABELS}
    for encoder in encoders:
        for n in scores:
            result = ssl3d.probe(encoder.to(device), cohort, labels=n, draws=2, controls=0)
            scores[n] += [report.score for report in result.reports]
    return scores


# %%
scores = {"exemplar": probe(encoders), "collapsed": probe([tries["none (control)"][0]])}
for norm in ("instance", "batch", "none"):
    for seed in (100, 101):
        start = ssl3d.make_encoder(cohort, seed, filters=size["filters"], norm=norm)
        scores[f"random, norm: {norm}, start {seed}"] = probe([start])
scores["place alone"] = {  # no encoder: the mean label map of the same labelled scans
    n: [
        ssl3d.evaluation.evaluate_place(
            cohort, cohort.subset(split.train, n, draw), split.test
        ).score
        for draw in range(2)
    ]
    for n in LABELS
}
for name, found in scores.items():
    print(f"{name:30}", {n: round(float(np.mean(dice)), 3) for n, dice in found.items()})
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is exemplar's line above that of the *best* random encoder, or only above those
# of its own norm? How far is it from the collapsed control, and how far are both from place alone?
#
# ## 8. Exercise
#
# Switch all distortions off: `ssl3d.make_task("exemplar", encoder, flip=0, rotation=0, contrast=0,
# zoom=0)`. Before you train: what share of anchors does an *untrained* encoder get right? Check
# with `ssl3d.evaluation.proxy_score`. Then think about what each distortion forbids the network to
# use.
#
# <details><summary>Hint</summary>
#
# What is the distance between the points of two pictures that are the same, voxel by voxel?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# plain = ssl3d.make_task(
#     "exemplar", encoder, crop_size=size["edge"], flip=0, rotation=0, contrast=0, zoom=0
# )
# untrained = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"]).to(device)
# plain = plain.to(device)
# print(ssl3d.evaluation.proxy_score(plain, untrained, cohort, split.validation, batch=8))
# ```
#
# All of them. The copy *is* the anchor, so its distance is 0, and no other scan is nearer. There
# is nothing left to understand: any network that does not throw everything away has solved it. Each
# distortion takes one easy answer away: contrast that of comparing mean brightness, turns and flips
# that of comparing voxel by voxel. But what is forbidden is also forgotten. A network that must not
# care about left and right cannot name a left hippocampus.
#
# </details>
#
# ## What the literature did next
#
# - *Exemplar-CNN* began it in 2014 with a softmax over all images. Wu et al. (2018) replaced the
#   softmax by a memory bank, and MoCo (He et al. 2020) let a slowly moving copy of the encoder fill
#   the memory, so that what is remembered does not lag behind.
# - SimCLR (Chen et al. 2020) took every other image of a large batch as a counter-example, and
#   showed that the choice of distortions decides.
# - BYOL (Grill et al. 2020) and SimSiam (Chen and He 2021) do without counter-examples; VICReg
#   (Bardes et al. 2022) forbids collapse by a term that keeps the spread up.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Dosovitskiy et al., *Discriminative Unsupervised Feature Learning with Convolutional Neural
# Networks*, NeurIPS 2014. Schroff et al., *FaceNet*, CVPR 2015. Wu et al., *Unsupervised Feature
# Learning via Non-Parametric Instance Discrimination*, CVPR 2018. He et al., *Momentum Contrast*,
# CVPR 2020. Chen et al., *A Simple Framework for Contrastive Learning*, ICML 2020. Grill et al.,
# *Bootstrap Your Own Latent*, NeurIPS 2020. Chen and He, *Exploring Simple Siamese Representation
# Learning*, CVPR 2021. Bardes et al., *VICReg*, ICLR 2022.

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
# **You will be able to:** set a distortion by hand; write the [triplet
# loss](../docs/glossary.md#triplet-loss) and see on a sphere what it does; notice a
# [collapse](../docs/glossary.md#collapse), which the loss alone does not show; and transfer labels
# by nearest neighbours, a reading of features that trains nothing.
#
# **Time:** 1.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [01 volumes](01_volumes.ipynb).
#
# You recognise a friend in a photograph that is tilted, dark or taken from nearby. You know which
# changes are the camera's and which are the friend's. A network can be asked for the same: here is
# a scan, here is the scan again, turned, zoomed and in another contrast, and here is another
# patient. Which two belong together? Whatever it has to ignore for that, position, contrast, size,
# is what a radiologist ignores too. This idea, in many forms, is what contrastive learning is. It
# has a famous way to fail, and this notebook makes it fail on purpose.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.ndimage import affine_transform

SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "edge": 16, "steps": 10, "trial": 10, "labels": (2,)},
    "class": {
        "cases": 100,
        "filters": (16, 32, 64),
        "edge": 24,
        "steps": 300,
        "trial": 100,
        "labels": (2, 5),
    },
    "full": {
        "cases": 200,
        "filters": (32, 64, 128),
        "edge": 32,
        "steps": 1000,
        "trial": 200,
        "labels": (2, 5, 20),
    },
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# Take a box out of a scan: the **anchor**. Mirror it, turn it, zoom it, change its contrast: a
# **copy**. Take a box out of another scan: the **counter-example**. No label is needed: the scan
# itself is the class.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, the default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("exemplar", encoder, seed=0, crop_size=size["edge"])
volumes = cohort.images(split.pretrain[:4])
params = task.sample_params(volumes, torch.Generator().manual_seed(3))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.triplets(volumes, batch)

# %% [markdown]
# *What to look at:* each row is one triplet, and each picture has three planes. **Try it:** cover
# the titles. Which of the two pictures on the right shows the scan on the left? By what do you
# know: the outline, the brightness, or a structure inside?
#
# ## 2. A distortion by hand
#
# A draw is a handful of named tensors, one entry a scan. Change the numbers below and run the cell
# again. `plane` 0, 1, 2 are the planes across the axes right, anterior and superior. **Predict
# before you run:** what will `GAIN = -1` do to the copy?

# %%
ANGLE, FLIP, ZOOM, GAIN, SHIFT = 40, (0, 1, 0), 1.2, 0.7, 0.2  # degrees; axes; factor; contrast
hand = task.sample_params(volumes, torch.Generator().manual_seed(3))
hand["plane"][0], hand["angle"][0] = 2, np.deg2rad(ANGLE)
hand["flip"][0] = torch.tensor(FLIP, dtype=torch.bool)
hand["zoom"][0], hand["gain"][0], hand["shift"][0] = ZOOM, GAIN, SHIFT
by_hand = task.make_views(volumes, hand)
ssl3d.show.Puzzle3D(volumes, by_hand)

# %% [markdown]
# *What to look at:* anchor and copy as boxes in 3D, and in the scan where their voxels come from.
# The copy's box is turned and smaller than the anchor's, since it is zoomed in.
#
# <details><summary>Answer</summary>
#
# A gain of −1 exchanges dark and bright. The outline stays, and a network that is shown such copies
# could not use brightness at all. The library does not go so far: its gains lie between 0.7 and
# 1.4.
#
# </details>
#
# All distortions of the shape are one affine map: a voxel of the copy is multiplied by a matrix and
# gives a place in the scan. So the copy is resampled once, and blurred once. SciPy does the same:

# %%
matrix = by_hand.placement.matrix[0, 1].numpy()  # voxel of the copy → voxel of the scan
cube = (size["edge"],) * 3
scan = volumes[0, 0].cpu().numpy()
copy = affine_transform(scan, matrix, output_shape=cube, order=1, mode="nearest")
copy = GAIN * copy + SHIFT
print(np.round(matrix, 2))
print("as the task's copy:", np.allclose(copy, by_hand.views[0, 1, 0].cpu(), atol=1e-4))
print(f"the matrix enlarges volumes by {abs(np.linalg.det(matrix[:3, :3])):.3f}", end=", ")
print(f"and 1 / {ZOOM}³ = {1 / ZOOM**3:.3f}")

# %% [markdown]
# ## 3. The triplet loss, by hand
#
# The encoder and a [head](../docs/glossary.md#head) turn a box $x$ into a point $z$ on the unit
# sphere. With the anchor $z$, its copy $z^+$ and a counter-example $z^-$ the triplet loss is
#
# $$\mathcal{L} = \max\bigl(0,\; \lVert z - z^+ \rVert - \lVert z - z^- \rVert + \alpha\bigr),$$
#
# a mean over the scans of a batch, with a margin $\alpha$. It is 0 as soon as the counter-example
# is farther away than the copy by $\alpha$. The paper has $\alpha = 1$. Points on a sphere are at
# most 2 apart, and here $\alpha = 0.2$.

# %%
device = volumes.device
encoder, task = encoder.to(device).eval(), task.to(device).eval()
with torch.no_grad():
    features = encoder(batch.views.flatten(0, 1))[-1].mean((2, 3, 4))  # of anchor, copy, anchor, …
    z = task.head(features)
    z = (z / z.norm(dim=1, keepdim=True)).view(4, 2, -1)  # (scan, anchor or copy, number)

costs = []
for i in range(4):
    others = [z[j, view] for j in range(4) if j != i for view in (0, 1)]
    other = others[int(params["negative"][i]) % len(others)]  # as the draw says
    to_copy, to_other = (z[i, 0] - z[i, 1]).norm(), (z[i, 0] - other).norm()
    costs.append(torch.relu(to_copy - to_other + task.settings.margin))
    print(f"scan {i}: copy {to_copy:.3f} away, other scan {to_other:.3f}, cost {costs[i]:.3f}")
loss, library = torch.stack(costs).mean(), task.loss(z, batch)
print(f"loss by hand {loss:.5f}, by the library {library:.5f}:", torch.allclose(loss, library))

# %% [markdown]
# The library's version: [tasks/exemplar.py](../ssl3d_lite/tasks/exemplar.py).
#
# **Which counter-example?** There are two ways. *Random*, the default: any view of any other scan
# of the batch. Once most are far enough away they cost nothing and teach nothing. *Hardest*: the
# nearest of all. It always teaches, but it may be a scan that is truly alike, and early in training
# it pulls hard on points that mean nothing yet. **Predict:** which of the two gives the larger
# loss, before anything is learnt?

# %%
for kind in ("random", "hardest"):
    other = ssl3d.make_task("exemplar", encoder, crop_size=size["edge"], negatives=kind).eval()
    print(f"{kind:8} loss of the untrained network: {other.loss(z, batch):.3f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The hardest counter-examples cost more, 0.219 against 0.208, as they are the nearest by
# definition. A batch of one scan has none at all: the counter-example would be the scan itself, so
# the library refuses it.
#
# </details>
#
# ## 4. Collapse, on a sphere
#
# **Predict before you run:** suppose that the network gives the same point for every box. What is
# its loss? Is that worse than where an untrained network starts, above?

# %%
same = torch.ones_like(z) / z.shape[-1] ** 0.5
print(f"all points the same: loss {task.loss(same, batch):.3f}", end=", ")
print(f"standard deviation {float(task.score(same, batch)['embedding_std']):.3f}")
print(f"untrained network:   loss {task.loss(z, batch):.3f}", end=", ")
print(f"standard deviation {float(task.score(z, batch)['embedding_std']):.3f}")

# %% [markdown]
# One point for all: the loss is the margin, and a network that has just begun is not far from it.
# Nothing in that number says that something is wrong. What says it is the **standard deviation** of
# the points, $\sqrt{1 - \lVert \bar z \rVert^2}$ with their mean $\bar z$: 0 if all are the same,
# and near 1 if they lie evenly on the sphere.
#
# Now three short trainings that differ in the counter-examples alone. The last has none: its loss
# is the distance to the copy. So that the points can be seen, they get three coordinates each, and
# lie on an ordinary sphere. **Predict:** which will collapse? By which curve would you notice?

# %%
TRIALS = {"random": {}, "hardest": {"negatives": "hardest"}, "none": {}}
scans = cohort.images(split.validation[:6])


def attempt(name: str, settings: dict) -> dict:
    """Pretrain for a short time: the encoder, its history, and its points before and after."""
    kind = "collapsed" if name == "none" else "exemplar"  # the library's name for the control
    encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
    settings = {"crop_size": size["edge"], "embedding_dim": 3} | settings
    task = ssl3d.make_task(kind, encoder, seed=0, **settings)
    encoder, task = encoder.to(device), task.to(device)
    asked = task.make_views(scans, task.sample_params(scans, torch.Generator().manual_seed(5)))
    rows, points = [], []

    def watch(history):
        rows[:] = history  # kept even if the training fails

    def look():
        encoder.train(), task.train()  # batch statistics, as the training has them
        with torch.no_grad():
            points.append(task(encoder, asked).cpu())

    look()
    training = {"steps": size["trial"], "batch": 8, "learning_rate": 1e-3}
    try:
        ssl3d.pretrain(task, encoder, cohort, callback=watch, **training)
    except ssl3d.errors.DivergedError as failure:
        print(f"{name}: {failure}")
    look()
    return {"encoder": encoder.eval(), "rows": rows, "points": points}


tries = {name: attempt(name, settings) for name, settings in TRIALS.items()}

# %%
figure = Figure(figsize=(9, 3), layout="constrained")
panels = dict(zip(("loss", "accuracy", "embedding_std"), figure.subplots(1, 3)))
for quantity, axes in panels.items():
    for colour, (name, tried) in zip(ssl3d.show.COLOURS, tries.items()):
        steps, values = zip(*((row["step"], row[quantity]) for row in tried["rows"]))
        axes.plot(steps, values, color=colour, marker=".", label=f"counter-examples: {name}")
        if quantity == "embedding_std":
            print(f"{name:8} last loss {tried['rows'][-1]['loss']:.3f}, deviation {values[-1]:.3f}")
    axes.set(xlabel="step", ylabel=quantity)
panels["loss"].axhline(task.settings.margin, color="grey", linestyle="--")
panels["accuracy"].axhline(tries["none"]["rows"][0]["chance"], color="grey", linestyle="--")
panels["embedding_std"].axhline(ssl3d.tasks.exemplar.COLLAPSED, color="grey", linestyle="--")
panels["embedding_std"].set_yscale("log")
ssl3d.show.tidy(*panels.values())
figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
figure

# %% [markdown]
# *What to look at:* dashed are the margin, what guessing gives, and the deviation below which the
# library speaks of a collapse. The same networks' points of six validation scans, as they lie on
# the sphere:

# %%
figure = Figure(figsize=(10, 3), layout="constrained")
spheres = {"before training": tries["random"]["points"][0]}
spheres |= {f"after: {name}": tried["points"][1] for name, tried in tries.items()}
u, v = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
for n, (title, points) in enumerate(spheres.items()):
    axes = figure.add_subplot(1, 4, n + 1, projection="3d")
    ball = np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)
    axes.plot_wireframe(*ball, color="grey", alpha=0.15, linewidth=0.5)
    for colour, pair in zip(ssl3d.show.COLOURS, points.numpy()):
        axes.plot(*pair.T, color=colour, linewidth=1)
        axes.plot(*pair[:1].T, "o", color=colour)
        axes.plot(*pair[1:].T, "^", color=colour)
    axes.set_title(title, fontsize=9)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
    axes.set_box_aspect((1, 1, 1), zoom=1.4)
    axes.set_axis_off()
figure

# %% [markdown]
# *What to look at:* each colour is a scan, a dot its anchor and a triangle its copy, joined by a
# line. Lines should get short and colours should part.
#
# <details><summary>What we saw</summary>
#
# Without counter-examples the loss fell to 0.001, and the points lie in one spot: a collapse, with
# a standard deviation of 0.001. With random counter-examples the points stay apart: 0.335. The
# hardest ones drew them together as well, to 0.036, and the loss stands at the margin, 0.200: so
# early in training the hardest counter-example is mostly one that means nothing yet. The lowest
# loss has the network that has learnt to say nothing. Accuracy is no better a witness: it is
# highest with the hardest counter-examples, whose points have almost met, since it asks only which
# distance is the smallest. So the library looks at the deviation every ten steps, and ends a
# training by this task that has collapsed, with a clear message (`Exemplar.check_health`).
#
# </details>
#
# **The collapsed network is kept.** It was trained for as many steps, on the same scans, to say
# nothing. That makes it a [control](../docs/glossary.md#collapsed) for *any training at all*: its
# deepest level is the same for every scan, but its finer levels have seen scans, and may be better
# than random weights. It is *not* a measure of noise. Noise is how far two random starts of the
# same kind lie apart.
#
# ## 5. Pretraining
#
# A batch of eight scans has 16 boxes; an anchor is right if its copy is nearer than all 14 boxes of
# other scans. **Predict before you run:** how often would guessing be right?

# %%
encoders, tasks = [], []
for seed in (0, 1):
    encoders.append(ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"]))
    tasks.append(ssl3d.make_task("exemplar", encoders[-1], seed, crop_size=size["edge"]))
view = ssl3d.show.Live(tasks[0], encoders[0], cohort.images(split.validation[:4]))
view

# %%
settings = ssl3d.TrainSettings(steps=size["steps"], batch=8, learning_rate=1e-3)
histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(zip(tasks, encoders)):
    callback = view.watch if seed == 0 else None
    histories[f"seed {seed}"] = ssl3d.pretrain(
        task, encoder, cohort, settings=settings, seed=seed, callback=callback
    )
    found = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, batch=8)
    held_out[f"seed {seed}"] = found
    print(f"seed {seed}", {name: round(value, 3) for name, value in found.items()})
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* the dots are the scores on validation scans, which the networks never saw. Are
# they above the dashed line? Below the ends of their curves?
#
# <details><summary>What we saw</summary>
#
# Guessing is right once in 15 tries, a share of 0.067. On validation scans 0.625 (seed 0) and 0.562
# (seed 1) of the anchors were right. So the puzzle is learnt in part, and what is learnt holds for
# new patients: the dots lie only a little below the ends of the curves, which jump up and down, as
# each of their points is a few batches of eight scans.
#
# </details>
#
# The same triplets as a picture, of validation scans, with the distances that the network gives:

# %%
task, encoder = tasks[0].eval(), encoders[0]
unseen = cohort.images(split.validation[:3])
batch = task.make_views(unseen, task.sample_params(unseen, torch.Generator().manual_seed(1)))
with torch.no_grad():
    prediction = task(encoder, batch)
ssl3d.show.triplets(unseen, batch, prediction)

# %% [markdown]
# *What to look at:* where is the copy not the nearer one? Would you have seen which is which?
#
# ## 6. What are the features worth? Nearest neighbours, by hand
#
# The simplest reading of features trains nothing. Take *one* labelled scan. For each voxel of
# another patient look for the most similar voxel of that scan, in feature space, and take over its
# label. This is a nearest-neighbour classifier (kNN, with $k = 1$), and in this package
# [label transfer](../docs/glossary.md#label-transfer).


# %%
def features_of(encoder, case: int) -> tuple:
    """Features and classes of each 2 × 2 × 2 voxels of a scan: (voxel, feature), (voxel,)."""
    with torch.no_grad():
        levels = encoder(cohort.images([case]).to(device))
    space = levels[0].shape[2:]  # the finest level, half the scan's resolution
    whole = [
        torch.nn.functional.interpolate(level, space, mode="trilinear")[0].flatten(1)
        for level in levels
    ]
    return torch.cat(whole).T, cohort.labels([case])[0][::2, ::2, ::2].flatten()


def neighbours(known, classes, asked, k: int = 1):
    """The commonest class among each voxel's k nearest, all features in units of deviation."""
    mean, deviation = known.mean(0), known.std(0, correction=0).clamp(min=1e-12)
    known, asked = (known - mean) / deviation, (asked - mean) / deviation
    found = []
    for some in asked.split(1024):  # not all distances at once
        nearest = torch.cdist(some, known).topk(k, largest=False).indices  # (voxel, k)
        found.append(classes[nearest].mode(1).values)
    return torch.cat(found)


def dice(found, truth) -> float:
    """Twice the voxels shared by the sum of sizes; the mean over anterior and posterior."""
    each = [
        2 * ((found == n) & (truth == n)).sum() / ((found == n).sum() + (truth == n).sum())
        for n in (1, 2)
    ]
    return float(sum(each) / 2)


ready = ssl3d.evaluation.recalibrated(encoders[0], cohort, split.pretrain[:16])
known, classes = features_of(ready, split.train[0])
asked, truth = features_of(ready, split.test[0])
found = neighbours(known, classes, asked)
print(f"Dice of this test scan, k = 1: {dice(found, truth):.3f}", end=", ")
print(f"k = 5: {dice(neighbours(known, classes, asked, 5), truth):.3f}")
library = ssl3d.evaluation.label_transfer(
    ready, cohort, [split.train[:1]], split.test[:1], hausdorff=False
)[0]
print(f"the library, which looks among 8000 voxels at full resolution: {library.score:.3f}")

grid = tuple(edge // 2 for edge in cohort.shape)
image = cohort.images([split.test[0]])[0, 0, ::2, ::2, ::2].cpu().numpy()
maps = {"truth": truth.view(grid).cpu().numpy(), "neighbours": found.view(grid).cpu().numpy()}
ssl3d.show.segmentations(image, maps, cohort.label_names)

# %% [markdown]
# *What to look at:* are the wrong voxels at the border, or scattered over the scan? Scattered ones
# have like features and lie elsewhere: the features do not say where they are.
#
# The same for several encoders, each over the same test scans and the same labelled scan. Place
# alone stands next to them: it takes over the labelled scan's map as it is.


# %%
def transfer(encoder) -> float:
    """Mean Dice of label transfer from one scan to some test scans."""
    ready = ssl3d.evaluation.recalibrated(encoder.to(device), cohort, split.pretrain[:16])
    known, classes = (part[::3] for part in features_of(ready, split.train[0]))  # to save time
    scores = []
    for case in split.test[:4]:
        asked, truth = features_of(ready, case)
        scores.append(dice(neighbours(known, classes, asked), truth))
    return float(np.mean(scores))


shape = {"filters": size["filters"]}
candidates = {
    "exemplar": encoders,
    "collapsed": [tries["none"]["encoder"]],
    "random, norm: instance": [ssl3d.make_encoder(cohort, 100, norm="instance", **shape)],
    "random, norm: batch": [ssl3d.make_encoder(cohort, 100, norm="batch", **shape)],
    "random, norm: none": [ssl3d.make_encoder(cohort, 100, norm="none", **shape)],
}
for name, each in candidates.items():
    print(f"{name:22}", *(f"{transfer(encoder):.3f}" for encoder in each))
labels = [cohort.labels([case])[0][::2, ::2, ::2].flatten() for case in split.test[:4]]
print(f"{'place alone':22} {np.mean([dice(classes, truth) for truth in labels]):.3f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# From one labelled scan exemplar's features had a [Dice](../docs/glossary.md#dice) of 0.278 and
# 0.353, the collapsed encoder's 0.460, and random encoders' 0.297 to 0.383. Place alone, which
# looks at no scan, had 0.457: only the collapsed control is level with it. On crops that are
# centred on an organ, place is hard to beat. And exemplar is told to ignore where a voxel lies and
# which way is up, which is what this reading needs.
#
# </details>
#
# ## 7. The linear probe
#
# A [linear probe](../docs/glossary.md#linear-probe) weighs the features instead of counting each
# the same. It is read without and with each voxel's coordinates among its inputs.

# %%
table = ssl3d.evaluation.probe_table(
    {"exemplar": encoders, "collapsed": [tries["none"]["encoder"]]}, cohort, size["labels"]
)
print(table)
ssl3d.show.label_efficiency(table.scores["probe"])

# %% [markdown]
# *What to look at:* is exemplar's line above that of the *best* random encoder, or only above those
# of its own norm? How far is it from the collapsed control, and how far are both from place alone?
#
# <details><summary>What we saw</summary>
#
# With 5 labelled scans exemplar had 0.553, the collapsed control 0.599, the best kind of random
# encoder 0.525 and place alone 0.490. Once the place is told to all, they are 0.712, 0.701 and
# 0.709: level. So what exemplar gained over most random weights, any training on these scans gives,
# even one that learns to say nothing. Its puzzle was partly solved, and solving it was not what the
# features needed. Two seeds give no verdict; six pairs are in the [stored
# studies](../docs/results.md).
#
# </details>
#
# ## Exercise
#
# Switch all distortions off: `flip=0, rotation=0, contrast=0, zoom=0`. Before you train: what share
# of anchors does an *untrained* encoder get right? Then think: what does each distortion forbid the
# network to use, and what does it forget with it?
#
# <details><summary>Hint</summary>
#
# What is the distance between the points of two pictures that are the same, voxel by voxel?
#
# </details>
#
# <details><summary>Answer</summary>
#
# ```python
# untrained = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"]).to(device)
# plain = ssl3d.make_task(
#     "exemplar", untrained, crop_size=size["edge"], flip=0, rotation=0, contrast=0, zoom=0
# ).to(device)
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
# - [Exemplar-CNN](https://arxiv.org/abs/1406.6909) began it in 2014 with a class for each image.
#   [Wu et al.](https://arxiv.org/abs/1805.01978) replaced the classes by a memory, and
#   [MoCo](https://arxiv.org/abs/1911.05722) let a slowly moving copy of the encoder fill it.
# - [SimCLR](https://arxiv.org/abs/2002.05709) took every other image of a large batch as a
#   counter-example, and showed that the choice of distortions decides.
# - [BYOL](https://arxiv.org/abs/2006.07733) and [SimSiam](https://arxiv.org/abs/2011.10566) do
#   without counter-examples; [VICReg](https://arxiv.org/abs/2105.04906) forbids collapse by a term
#   that keeps the standard deviation up.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*,
# [arXiv:2006.03829](https://arxiv.org/abs/2006.03829), section 3.5. Schroff et al., *FaceNet*,
# [arXiv:1503.03832](https://arxiv.org/abs/1503.03832), for the triplet loss. Others:
# [references](../docs/references.md).
#
# **Next:** [06 CPC](06_cpc.ipynb), where the counter-examples come from the same scan too.

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
# # CPC: what comes next in the scan?
#
# **You will be able to:** cut a scan into the grid of contrastive predictive coding (CPC) and say
# which patches share voxels; follow a patch from latent to context to prediction; show what the
# context can see and what it cannot; write InfoNCE, and say why equal answers give $\log N$.
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
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "seeds": 2},
    "class": {"cases": 100, "filters": (16, 32, 64), "steps": 100, "seeds": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1000, "seeds": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# The scan is cut into a grid of patches that overlap. Going through the grid row by row, the
# network sums up what it has seen so far, and says which patch comes three or four rows further on.
# It need not paint that patch. It has to pick it out among all patches of the batch.

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("cpc", encoder, seed=0)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.pyramid(volumes, batch, row=1, rows_ahead=3)

# %% [markdown]
# *What to look at:* each small square is the middle of a patch; current patch and target are also
# outlined whole. The context is a pyramid that stands on its head: the current patch, and in the
# rows before it ever more. Do the two outlines share a voxel? Do they touch?
#
# ## 2. The grid
#
# A patch of edge $p$ every $s$ voxels: along an axis of $e$ voxels, of which $j$ are left free so
# that the grid can start in a new place each time, there are
#
# $$n = \left\lfloor \frac{e - j - p}{s} \right\rfloor + 1 \quad\text{patches.}$$
#
# **Predict before you run:** how many along each axis of this cohort's scans?

# %%
s = task.settings
print(f"volume {cohort.shape}, patch p = {s.patch}, stride s = {s.stride}, jitter j = {s.jitter}")
print("by the formula:", [(edge - s.jitter - s.patch) // s.stride + 1 for edge in cohort.shape])
print("by the task:   ", batch.placement.grid)
print("views (scan, patch, channel, x, y, z):", tuple(batch.views.shape))

# %% [markdown]
# The draw says where each scan's grid starts, and which way it is gone through. Set the start by
# hand and run again: the patches move with it.

# %%
START = (4, 8, 0)  # first voxel of the grid: right, anterior, superior
hand = {"start": torch.tensor([[START], [START]]), "direction": torch.tensor([0])}
by_hand = task.make_views(volumes, hand)
ssl3d.show.puzzle(volumes, by_hand)

# %% [markdown]
# *What to look at:* the middle column of the grid, from back to front. Each patch shows again half
# of what its neighbour shows.
#
# The whole grid, to be scrolled through. Click into the scan: the view says which patch it is.

# %%
ssl3d.show.puzzle_slices(volumes, by_hand)

# %% [markdown]
# Half of what a neighbour shows: so the next row could be found by comparing voxels, with no idea
# of anatomy. That is a **shortcut**. Count the voxels that two patches share, and those between
# them:

# %%
rows = ssl3d.tasks.cpc.along(
    torch.arange(batch.views.shape[1]).view(1, 1, *batch.placement.grid), (1, False)
)
middle = tuple(n // 2 for n in rows.shape[3:])
line = rows[(0, 0, slice(None), *middle)]  # one patch a row
corner = batch.placement.matrix[0, line, 1, 3]  # where each begins along the axis
for step in range(5):
    shared = max(0, s.patch - abs(float(corner[step] - corner[0])))
    gap = abs(float(corner[step] - corner[0])) - s.patch
    print(f"{step} rows ahead: {shared / s.patch:4.0%} of a patch's voxels are shared;", end=" ")
    print(f"a gap of {gap:.0f} voxels" if gap > 0 else "they touch" if gap == 0 else "they overlap")
print("so the task predicts the rows", s.prediction_steps)

# %% [markdown]
# Two rows ahead no voxel is shared, but the patches touch, and touching is a shortcut too: a rule
# that compares the last plane of one with the first plane of the other finds nearly every such
# target, and no network is needed for it. A row further on there is a gap, and the rule is lost. So
# the first target is three rows ahead (`prediction_steps`). Notebook 08 tries the rule; on real
# hippocampi docs/presets.md has its figures.

# %% [markdown]
# ## 3. Latents: each patch is encoded once
#
# The encoder and a small head turn each patch $x_{i,j,k}$ into a vector, its **latent**
# $z_{i,j,k} = g_{enc}(x_{i,j,k})$. All patches of all scans go through in one batch, and contexts
# and targets are both read from these latents.

# %%
encoder = encoder.to(volumes.device)
task = task.to(volumes.device).eval()
with torch.no_grad():
    latents = task.embed(ssl3d.models.global_avg_pool(encoder(batch.views.flatten(0, 1))))
    field = latents.view(len(volumes), *batch.placement.grid, -1).movedim(-1, 1)
print("latents (patch, embedding_dim):        ", tuple(latents.shape))
print("the same as a field of embeddings: ", tuple(field.shape))

# %% [markdown]
# That is worth a look: the original code encodes the patches anew for each place where a context or
# a target needs them, about six times each. Count for yourself how often our encoder is asked:

# %%
seen = []
counter = encoder.register_forward_hook(lambda module, given, _: seen.append(len(given[0])))
with torch.no_grad():
    prediction = task(encoder, batch)
counter.remove()
print(f"calls: {len(seen)}, patches encoded: {sum(seen)}, patches there: {len(latents)}")
print("logits (prediction, latent to choose from):", tuple(prediction.shape))

# %% [markdown]
# ## 4. Context: what the network may have seen
#
# The context $c_{i,j,k} = g_{cxt}(\{z\})$ sums up an inverted pyramid: the current patch, and in
# the row $m$ steps before it all patches up to $m$ places aside. Two ways to build it:
# convolutions with a **mask**, each of which sees one row further back; or a **GRU**, the paper's
# choice, that goes from row to row. The mask is all there is to the first:

# %%
ssl3d.show.source(ssl3d.tasks.cpc.PyramidConv)

# %% [markdown]
# Claims about what a network can see are easy to check: take the gradient of one context by all
# latents. Where it is zero, nothing can come from. We do it on a flat grid of 6 rows and 9 columns,
# for the context in row 4. **Predict before you run:** which cells will be dark for two masked
# convolutions? Which for the GRU?

# %%
torch.manual_seed(0)
contexts = {
    "two masked convolutions": torch.nn.Sequential(
        *(ssl3d.tasks.cpc.PyramidConv(16, 2) for _ in range(2))
    ),
    "GRU": ssl3d.tasks.cpc.PyramidGRU(16),
}
figure = Figure(figsize=(8, 2.6), layout="constrained")
for axes, (name, context) in zip(figure.subplots(1, 2), contexts.items(), strict=True):
    flat = torch.randn(1, 16, 6, 9, requires_grad=True)  # batch, embedding_dim, row, column
    context(flat)[0, :, 4, 4].sum().backward()
    axes.imshow(flat.grad[0].abs().sum(0) > 0, cmap="Blues", vmin=0, vmax=1.3)
    axes.plot(4, 4, "o", color=ssl3d.show.COLOURS[1])
    axes.set(title=name, xlabel="column", ylabel="row (downwards: further on)")
figure

# %% [markdown]
# *What to look at:* the dot is the context's own place. No cell below it is dark, nor any beside it
# in its own row: nothing of the answer leaks in. How far back does each of the two see?
#
# ## 5. InfoNCE
#
# For each step $l$ a linear map $W_l$ predicts the latent $l$ rows on. With the cosine $\cos$, a
# temperature $\tau$ and the set $Z$ of all $N$ latents of the batch, the loss is
#
# $$\mathcal{L} = -\sum_{i,j,k,l} \log
# \frac{\exp(\cos(W_l\, c_{i,j,k},\; z_{i+l,j,k}) / \tau)}
# {\sum_{z \in Z} \exp(\cos(W_l\, c_{i,j,k},\; z) / \tau)},$$
#
# divided by the number of predictions. That is nothing but cross-entropy: which of the $N$ patches
# is it? If all similarities are equal, each has the probability $1/N$, and the loss is
# $-\log(1/N) = \log N$.

# %%
choices = prediction.shape[1]
equal = torch.zeros_like(prediction)
print(f"N = {choices}: log N = {np.log(choices):.4f}")
print(f"loss of equal answers:         {float(task.loss(equal, batch)):.4f}")
print(f"loss of the untrained network: {float(task.loss(prediction, batch)):.4f}")

# %% [markdown]
# **Predict before you run:** can the untrained loss lie *above* $\log N$? What would a loss of 0
# mean? Change $\tau$ below: why must a small one make a wrong answer dearer?

# %%
for temperature in (1.0, 0.1, 0.02):
    sharper = prediction * s.temperature / temperature
    print(f"temperature {temperature:4}: loss {float(task.loss(sharper, batch)):.3f}")

# %% [markdown]
# ## 6. Counter-examples and directions
#
# The wrong answers come from two sources: other places of the same scan, and other scans. Those of
# the same scan have the same scanner, contrast and head. They can only be told apart by *place*.
# Those of other scans at the same place can only be told apart by *whose* they are.

# %%
owner = torch.arange(choices) // batch.views.shape[1]  # the scan of each latent
own = owner[batch.target.cpu()]  # of each prediction's right answer
same = (owner[None] == own[:, None]).sum(1) - 1
print(f"a prediction's counter-examples: {int(same[0])} of the same scan", end=", ")
print(f"{choices - 1 - int(same[0])} of other scans")
print("with all six directions to draw from:", ("+0", "-0", "+1", "-1", "+2", "-2"))
for direction in task.directions:
    print(f"ours: {s.directions}, that is along axis {direction[0]}, backwards: {direction[1]}")

# %% [markdown]
# The paper goes one way, from top to bottom. Here the default is from back to front, along the
# hippocampus. With several `directions` one is drawn for each batch, and the context is told which.
# Turn the grid round and the targets change:

# %%
backwards = ssl3d.make_task("cpc", encoder, directions=("-1",))
ssl3d.show.pyramid(volumes, backwards.make_views(volumes, hand), row=1, rows_ahead=3)

# %% [markdown]
# *What to look at:* context and target have changed sides. What stays the same?
#
# ## 7. Pretraining
#
# **Predict before you run:** what share of right answers would guessing give? And what loss?

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("cpc", encoder, seed=0)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
settings = ssl3d.TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)
history = ssl3d.pretrain(task, encoder, cohort, settings=settings, callback=view.watch)
histories, encoders = {"seed 0": history}, [encoder]
held_out = {"seed 0": ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)}
for name, value in held_out["seed 0"].items():
    print(f"{name:9} {value:.3f}")

# %% [markdown]
# One seed is an anecdote. The same once more, with another start of encoder and head, and other
# draws.

# %%
for seed in range(1, size["seeds"]):
    trained = ssl3d.make_encoder(cohort, seed, filters=size["filters"])
    again = ssl3d.make_task("cpc", trained, seed)
    histories[f"seed {seed}"] = ssl3d.pretrain(again, trained, cohort, settings=settings, seed=seed)
    encoders.append(trained)
    held_out[f"seed {seed}"] = ssl3d.evaluation.proxy_score(
        again, trained, cohort, split.validation
    )
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* the loss begins near $\log N$. Are the dots (validation scans) above the dashed
# line, and how far apart are the seeds?
#
# More scans in a batch are more counter-examples. **Predict before you run:** the same network,
# asked with 2, 4 and 8 scans in a batch. Will accuracy rise or fall? And accuracy over chance?

# %%
for scans in (2, 4, 8):
    if scans > len(split.validation):
        continue
    found = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, batch=scans)
    ratio = found["accuracy"] / found["chance"]
    print(f"{scans} scans: accuracy {found['accuracy']:.3f}, {ratio:4.1f} times chance", end=", ")
    print(f"loss {found['loss']:.2f}, log N {np.log(1 / found['chance']):.2f}")

# %% [markdown]
# An accuracy of CPC means nothing without its $N$. $\log N - \mathcal{L}$ is a lower bound on what
# the context says about the target (van den Oord et al.), and it can never exceed $\log N$.
#
# ## 8. What are the features worth?
#
# A linear classifier names each voxel by the frozen encoder's features, fitted on a few labelled
# scans. What has to be beaten are random encoders of three kinds, and place alone: the mean label
# map of the same labelled scans, which looks at no scan. CPC's puzzle asks for place, so ask twice
# how much more than place its features tell.

# %%
LABELS = (2,) if ssl3d.scale() == "smoke" else (2, 5)


def probe(encoders: list) -> dict:
    """Number of labelled scans → the Dice of every encoder and draw of labels, on test scans."""
    scores = {n: [] for n in LABELS}
    for encoder in encoders:
        for n in scores:
            result = ssl3d.probe(encoder.to(volumes.device), cohort, labels=n, draws=2, controls=0)
            scores[n] += [report.score for report in result.reports]
    return scores


# %%
scores = {"CPC": probe(encoders)}
for norm in ("instance", "batch", "none"):
    starts = [
        ssl3d.make_encoder(cohort, seed, filters=size["filters"], norm=norm) for seed in (100, 101)
    ]
    scores[f"random, norm: {norm}"] = probe(starts)
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
    spread = {n: (round(min(d), 3), round(max(d), 3)) for n, d in found.items()}
    print(f"{name:22}", {n: round(float(np.mean(d)), 3) for n, d in found.items()}, spread)
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* does CPC's lowest dot lie above the highest dot of the best random encoder?
#
# ## 9. Exercise
#
# Ask for the very next row: `ssl3d.make_task("cpc", encoder, seed=0, prediction_steps=(1,))`.
# Predict first: is the puzzle easier? Are the features better? Train it for as many steps and probe
# it.
#
# <details><summary>Hint</summary>
#
# The next patch shares half its voxels with the current one. What is the least that a network has
# to know to find it among all others? Compare accuracy *over chance* and the probe's Dice.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# close = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
# near = ssl3d.make_task("cpc", close, seed=0, prediction_steps=(1,))
# ssl3d.pretrain(near, close, cohort, settings=settings)
# print(ssl3d.evaluation.proxy_score(near, close, cohort, split.validation))
# print(probe([close]))
# ```
#
# Neighbours share voxels, so there is more to go by, and the score on the puzzle tells how much. It
# does not tell what the features are worth: that is what the probe and its controls are for. If the
# puzzle got easier and the probe did not get better, you have met a shortcut. If the probe got
# better as well, ask whether a second seed says the same.
#
# </details>
#
# ## What the literature did next
#
# - Hénaff et al. (2020) made CPC on photographs work better with larger networks, normalisation of
#   layers instead of batches, and prediction in several directions.
# - SimCLR and MoCo (2020) kept InfoNCE and left prediction away: two distorted copies of one
#   picture are each other's answer.
# - Poole et al. (2019) showed how loose the bound $\log N - \mathcal{L}$ is, and Tschannen et al.
#   (2020) that features are not good *because* it is high.
# - Masked reconstruction (He et al. 2022) went back to painting what is missing.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Van
# den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018
# (arXiv:1807.03748). Hénaff et al., *Data-Efficient Image Recognition with Contrastive Predictive
# Coding*, ICML 2020. Poole et al., *On Variational Bounds of Mutual Information*, ICML 2019.
# Tschannen et al., *On Mutual Information Maximization for Representation Learning*, ICLR 2020.
# Chen et al., *A Simple Framework for Contrastive Learning*, ICML 2020. He et al., *Momentum
# Contrast*, CVPR 2020. He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022.

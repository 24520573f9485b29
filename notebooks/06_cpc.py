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
# **You will be able to:** follow a patch from [latent](../docs/glossary.md#latent) to
# [context](../docs/glossary.md#context) to prediction; show what a context can see and what it
# cannot; write [InfoNCE](../docs/glossary.md#infonce) in ten lines; and say what its value has to
# do with mutual information.
#
# **Time:** 1.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [01 volumes](01_volumes.ipynb) and [05 exemplar](05_exemplar.ipynb).
#
# A radiologist who scrolls through a head from the neck upwards knows what will come: after the
# cerebellum the occipital lobes, after the ventricles the roof of the brain. They could not paint
# the next slices grey value by grey value. But shown ten candidates, they would pick the right one.
# Contrastive predictive coding (CPC) asks a network for just that: not to paint, but to recognise
# what comes next. InfoNCE, the loss that was made for it, has since become the loss of half the
# field, from photographs to pairs of pictures and text.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "labels": (2,)},
    "class": {"cases": 100, "filters": (16, 32, 64), "steps": 400, "labels": (2, 5)},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1000, "labels": (2, 5, 20)},
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. The question, in a whole head
#
# A head is cut into a grid of 7 × 7 × 7 patches that overlap. The network goes through the grid row
# by row, here from the back of the head to the front. In each place it sums up an *inverted
# pyramid*: the patch there, in the row before it 3 × 3 patches, then 5 × 5, then 7 × 7. From this
# context it predicts which patch lies three rows further on.

# %%
heads = ssl3d.open_cohort("ukb-brain", cases=2, edge=64)
shape = ssl3d.EncoderSettings(in_channels=len(heads.channels), filters=(4, 8))
whole = {"jitter": 0, "max_patches": 7, "context_layers": 3, "prediction_steps": (3,)}
asked = ssl3d.make_task("cpc", shape, **whole)
head = heads.images([0])
question = asked.make_views(head, asked.sample_params(head, torch.Generator().manual_seed(0)))
ssl3d.show.Puzzle3D(head, question)

# %% [markdown]
# *What to look at:* light blue is the context, dark blue the patch at its tip, and "?" the place
# asked about. Drag to turn it; pull the patches apart with the slider. Of each patch the middle is
# drawn, since they overlap. The same in planes:

# %%
ssl3d.show.pyramid(head, question, row=3, rows_ahead=3, spacing=heads.spacing)

# %% [markdown]
# *What to look at:* the pyramid stands on its tip. Do the two outlined boxes, the patch at the tip
# and the target, share a voxel? Do they touch? In rows near the back of the head the pyramid is
# shorter, as the grid begins there. How many patches does each row's context have?

# %%
for row in range(4):
    in_rows = [1] + [min(2 * m + 1, 7) ** 2 for m in range(1, min(row, 3) + 1)]
    print(f"from row {row}: {' + '.join(map(str, in_rows))} = {sum(in_rows)} patches of context")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The two boxes share no voxel and do not touch: a gap of 8 voxels lies between them. From row 3 the
# whole pyramid fits into the grid, 84 patches. From row 0, at the back of the head, the context is
# a single patch. Still the network has to say what lies three rows on.
#
# </details>
#
# ## 2. The grid that is trained on
#
# To train on two cores, the rest of this notebook takes small scans of the hippocampus. A patch of
# edge $p$ every $s$ voxels: along an axis of $e$ voxels, of which $j$ are left free so that the
# grid can start in a new place each time, there are
#
# $$n = \left\lfloor \frac{e - j - p}{s} \right\rfloor + 1 \quad\text{patches.}$$
#
# **Predict before you run:** how many along each axis of this cohort's scans?

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("cpc", encoder, seed=0)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
s, grid = task.settings, batch.placement.grid
print(f"volume {cohort.shape}, patch p = {s.patch}, stride s = {s.stride}, jitter j = {s.jitter}")
print("by the formula:", [(edge - s.jitter - s.patch) // s.stride + 1 for edge in cohort.shape])
print("by the task:   ", grid)
print("views (scan, patch, channel, x, y, z):", tuple(batch.views.shape))
ssl3d.show.puzzle(volumes, batch, spacing=cohort.spacing)

# %% [markdown]
# *What to look at:* five rows, from back to front, so a target three or four rows ahead can be
# asked for from row 0 and, three ahead, from row 1. Streaks at a border are voxels repeated there:
# some scans are smaller than the cohort's shape ([01 volumes](01_volumes.ipynb)).
#
# Each patch repeats half of what its neighbour shows. So the next row could be found by comparing
# voxels, with no idea of anatomy. That would be a [shortcut](../docs/glossary.md#shortcut). How far
# ahead must the question be?

# %%
for step in range(5):
    gap = step * s.stride - s.patch  # voxels between the two patches
    said = (
        f"{-gap} planes are shared" if gap < 0 else "they touch" if gap == 0 else f"a gap of {gap}"
    )
    print(f"{step} rows ahead: {said}")
print("the task asks for the rows", s.prediction_steps)

# %% [markdown]
# Two rows ahead no voxel is shared, but the patches touch, and a rule that compares the last plane
# of one with the first plane of the other finds nearly every target without a network
# ([08 shortcuts](08_shortcuts.ipynb) runs it). A row further on there is a gap, and the rule is
# lost.
#
# ## 3. Latents: each patch is encoded once
#
# The encoder and a small head turn each patch into a vector, its **latent** $z$. All patches of all
# scans go through in one batch.

# %%
device = volumes.device
encoder, task = encoder.to(device).eval(), task.to(device).eval()
with torch.no_grad():
    deepest = encoder(batch.views.flatten(0, 1))[-1]  # (patch of any scan, feature, x, y, z)
    latents = task.embed(deepest.mean((2, 3, 4)))
    field = latents.view(2, *grid, -1).movedim(-1, 1)  # laid out as the patches are
print("latents (patch, number):  ", tuple(latents.shape))
print("field (scan, number, x, y, z):", tuple(field.shape))

# %% [markdown]
# ## 4. Context: what may the network have seen?
#
# A convolution with a **mask** sums up the pyramid. Its kernel has two rows: the row before, with
# all neighbours, and the own row, where all but the middle is set to 0. Here it is on a flat grid,
# by hand and by the library:

# %%
torch.manual_seed(0)
layer = ssl3d.tasks.cpc.PyramidConv(16, 2)
flat = torch.randn(1, 16, 6, 9)  # batch, number, row, column
mask = torch.tensor([[1.0, 1, 1], [0, 1, 0]])  # the row before; the own row
padded = F.pad(flat, (1, 1, 1, 0))  # a column on each side, and a row before the first
by_hand = flat + F.relu(F.conv2d(padded, layer.conv.weight * mask, layer.conv.bias))
print("by hand as by the library:", torch.allclose(by_hand, layer(flat), atol=1e-6))

# %% [markdown]
# What a network *can* see need not be believed, it can be computed: take the gradient of one
# context with respect to all latents. Where it is zero, nothing can come from. The alternative is a
# **GRU**, the paper's choice, that goes from row to row. **Predict before you run:** which cells
# will be dark for two masked convolutions, for the context in row 4? Which for the GRU?

# %%
contexts = {
    "two masked convolutions": torch.nn.Sequential(
        *(ssl3d.tasks.cpc.PyramidConv(16, 2) for _ in range(2))
    ),
    "GRU": ssl3d.tasks.cpc.PyramidGRU(16),
}
figure = Figure(figsize=(8, 2.6), layout="constrained")
for axes, (name, context) in zip(figure.subplots(1, 2), contexts.items(), strict=True):
    flat = torch.randn(1, 16, 6, 9, requires_grad=True)
    context(flat)[0, :, 4, 4].sum().backward()
    axes.imshow(flat.grad[0].abs().sum(0) > 0, cmap="Blues", vmin=0, vmax=1.3)
    axes.plot(4, 4, "o", color=ssl3d.show.COLOURS[1])
    axes.set(title=name, xlabel="column", ylabel="row (downwards: further on)")

latent = torch.randn(1, asked.settings.embedding_dim, 7, 7, 7, requires_grad=True)
asked.context(latent)[0, :, 3, 3, 3].sum().backward()  # the head's grid, three convolutions
seen = latent.grad[0].abs().sum(0) > 0
print("in 3D, from row 3 of the head's grid, patches seen in each row:", seen.sum((1, 2)).tolist())
figure

# %% [markdown]
# *What to look at:* the dot is the context's own place. Is any cell below it dark, or any cell to
# its left or right in its own row?
#
# <details><summary>What we saw</summary>
#
# Nothing below the dot, and no neighbour in its own row: nothing of the answer leaks in. Two masked
# convolutions see two rows back, the GRU all rows. In 3D the numbers are those of the pyramid of
# section 1: 49, 25, 9 and 1.
#
# </details>
#
# ## 5. InfoNCE in ten lines
#
# For each step $l$ a linear map $W_l$ predicts the latent $l$ rows on. With the cosine, a
# temperature $\tau$ and the set $Z$ of all $N$ latents of the batch, one prediction costs
#
# $$\mathcal{L} = -\log
# \frac{\exp(\cos(W_l\, c,\; z^{+}) / \tau)}
# {\sum_{z \in Z} \exp(\cos(W_l\, c,\; z) / \tau)},$$
#
# where $z^{+}$ is the right latent. That is nothing but cross-entropy for the question: which of
# the $N$ patches is it?

# %%
with torch.no_grad():
    rows = field.movedim(3, 2)  # (scan, number, row, x, z): the rows go from back to front
    number = torch.arange(len(latents)).view(2, *grid).movedim(2, 1)  # of each patch, row by row
    c = task.context(rows + task.way.weight[2].view(-1, 1, 1, 1))  # way 2: along axis 1, forwards

    z = F.normalize(latents, dim=1)
    losses = []
    for linear, step in zip(task.predict, s.prediction_steps):
        guess = linear(c[:, :, :-step]).movedim(1, -1).flatten(0, -2)  # W c, one row a prediction
        similar = F.normalize(guess, dim=1) @ z.T / s.temperature  # to all N latents
        right = number[:, step:].flatten()  # the patch that lies so many rows on
        log_p = similar - similar.exp().sum(1, keepdim=True).log()
        losses.append(-log_p[torch.arange(len(right)), right])
    loss = torch.cat(losses).mean()

    library = task.loss(task(encoder, batch), batch)
print(f"InfoNCE by hand {loss:.5f}, by the library {library:.5f}:", torch.allclose(loss, library))
print(
    f"{len(torch.cat(losses))} predictions, N = {len(z)} candidates, log N = {np.log(len(z)):.4f}"
)

# %% [markdown]
# The library's version: [tasks/cpc.py](../ssl3d_lite/tasks/cpc.py).
#
# If all candidates look alike, each has the probability $1/N$, and the loss is
# $-\log(1/N) = \log N$. **Predict before you run:** can the loss of an untrained network lie
# *above* $\log N$? Why does a small $\tau$ punish wrong answers more?

# %%
with torch.no_grad():
    logits = task(encoder, batch)
for temperature in (1.0, 0.1, 0.02):
    sharper = logits * s.temperature / temperature
    print(f"temperature {temperature:4}: loss {float(task.loss(sharper, batch)):.3f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# At temperature 1 the loss is 4.500, which is $\log N$: cosines lie between -1 and 1, so all
# candidates get nearly the same probability, whatever the network says. At 0.02 it is 4.534,
# *above* $\log N$: now the untrained network prefers some candidates, and for no reason. To be
# wrong with conviction costs more than to say "I do not know". A small $\tau$ makes differences of
# similarity large, so what counts are the few most similar wrong answers.
#
# </details>
#
# ## 6. Pretraining
#
# **Predict before you run:** what share of right answers would guessing among all patches give?
# And what share has a network that knows where in the grid it is asked, and looks at no scan?

# %%
encoders = [ssl3d.make_encoder(cohort, seed, filters=size["filters"]) for seed in (0, 1)]
tasks = [ssl3d.make_task("cpc", encoder, seed) for seed, encoder in enumerate(encoders)]
view = ssl3d.show.Live(tasks[0], encoders[0], cohort.images(split.validation[:2]))
view

# %%
settings = ssl3d.TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)
histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(zip(tasks, encoders)):
    callback = view.watch if seed == 0 else None
    histories[f"seed {seed}"] = ssl3d.pretrain(
        task, encoder, cohort, settings=settings, seed=seed, callback=callback
    )
    found = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    held_out[f"seed {seed}"] = found
    print(f"seed {seed}", {name: round(value, 3) for name, value in found.items()})
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* the loss begins near $\log N$. Are the dots, the validation scans, above
# the dashed line, and how far apart are the seeds?
#
# <details><summary>What we saw</summary>
#
# Guessing among 90 patches is right once in 90 tries, and costs $\log 90$, which is 4.50. But what
# lies three or four rows on is always in the last two of five rows, and each patch of the last row
# is asked for twice, from two rows. A network that names always the same one of them is right in 2
# of the 54 predictions of a batch. That is the [chance](../docs/glossary.md#chance) that is
# printed, 0.037: what can be had without a look. On validation scans the network found the right
# one of 90 patches in 24.3 % (seed 0) and 17.4 % (seed 1) of predictions. So it learnt something
# that holds for other patients too. The dots lie below the ends of their lines: of patients that it
# was trained on it knows a little more. And two seeds, which differ in nothing but luck, are 7 in a
# hundred apart: look at more than one.
#
# </details>
#
# One question of a validation scan, and the network's guess where it lies:

# %%
task, encoder = tasks[0].eval(), encoders[0]
unseen = cohort.images(split.validation[:2])
batch = task.make_views(unseen, task.sample_params(unseen, torch.Generator().manual_seed(1)))
with torch.no_grad():
    logits = task(encoder, batch)
ssl3d.show.Puzzle3D(unseen, batch, prediction=logits.argmax(1))

# %% [markdown]
# *What to look at:* the guess is green if it is right, else orange with a dashed outline. It is
# drawn where it lies. If it is a patch of the *other* scan of the batch, it lies nowhere here, and
# stands outside, on the right.
#
# <details><summary>What we saw</summary>
#
# A wrong guess: patch 29 of the other scan. Patches are numbered alike in both scans, from below
# upwards, then from row to row. So 28 was asked for, and the guess lies directly above it, in the
# wrong patient. Keep that in mind for the next section.
#
# </details>
#
# ## 7. Where, or whose?
#
# The wrong candidates come from two sources. Those of the *same scan* share the scanner, the
# contrast and the patient: they differ in **place** alone. Those of *other scans* differ also in
# **whose** they are. So ask each question three times: among all, among the patches of the same
# scan, and among the right patch and those of other scans.

# %%
counts = {"all": [], "the same scan": [], "other scans": []}
generator = torch.Generator().manual_seed(0)
for start in range(0, len(split.validation) - 1, 2):
    scans = cohort.images(split.validation[start : start + 2])
    batch = task.make_views(scans, task.sample_params(scans, generator))
    with torch.no_grad():
        logits = task(encoder, batch).cpu()
    target = batch.target.cpu()
    owner = torch.arange(logits.shape[1]) // batch.views.shape[1]  # the scan of each candidate
    same = owner[None] == owner[target][:, None]
    right = F.one_hot(target, logits.shape[1]).bool()
    for name, kept in zip(counts, (torch.ones_like(same), same, ~same | right)):
        among = logits.masked_fill(~kept, -torch.inf)
        cost = F.cross_entropy(among, target).item()
        hits = (among.argmax(1) == target).float().mean().item()
        counts[name].append((hits, cost, int(kept[0].sum())))
own = int(same[0].sum()) - 1
print(f"of {same.shape[1] - 1} counter-examples {own} are of the same scan")
for name, rows in counts.items():
    hits, cost, n = np.mean(rows, 0)
    print(f"among {name:14} N = {n:2.0f}: {hits:6.1%} right, guessing {1 / n:.1%}", end="; ")
    print(f"log N - loss = {np.log(n) - cost:.2f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Among patches of the same scan, 48.5 % were right; against those of the other scan, 31.3 %. So
# here it is easier to see *where* a patch lies than *whose* it is. When the network is wrong, it
# has often found the right place in the wrong patient. That fits how these scans are made: all are
# warps of one template, with one contrast, and each patch is normalised.
#
# Do not expect it of real scans. Where scanners differ, contrast and noise are the same in a whole
# scan. Then it may be whose that is easy, and much of the score among all says nothing about
# anatomy. It is the counter-examples of the same scan that force a network to look at the place. So
# ask the question both ways for your own scans.
#
# </details>
#
# ### What log N − loss has to do with information
#
# The **mutual information** $I(c; z)$ of context and target is how many bits (here: nats) the one
# says about the other. [Van den Oord et al.](https://arxiv.org/abs/1807.03748) showed that
#
# $$I(c;\, z) \;\ge\; \log N - \mathcal{L}$$
#
# *if the $N - 1$ counter-examples are drawn independently* of the context, from the whole
# population of patches. Here that is not so. Nearly half of the counter-examples come from the same
# scan as the context, and the others are all from one other scan. So the numbers printed above are
# no proven bound on $I(c; z)$. Among the same scan, they speak of what a context says about the
# *place* once the scan is known. Two more warnings. The bound can never exceed $\log N$, so a small
# batch cannot show much information ([Poole et al.](https://arxiv.org/abs/1905.06922)). And
# features are not good *because* the bound is high
# ([Tschannen et al.](https://arxiv.org/abs/1907.13625)).
#
# **Predict before you run:** the same network is asked with 2, 4 and 8 scans in a batch. Will
# accuracy rise or fall? And accuracy over chance?

# %%
for scans in (2, 4, 8):
    if scans > len(split.validation):
        continue
    found = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, batch=scans)
    ratio = found["accuracy"] / found["chance"]
    print(f"{scans} scans: accuracy {found['accuracy']:.3f}, {ratio:4.1f} times chance", end=", ")
    candidates = scans * batch.views.shape[1]
    print(f"loss {found['loss']:.2f}, log N {np.log(candidates):.2f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# With 2 scans 0.243 of the answers were right, with 8 only 0.067. Yet compared with chance it
# hardly changed: 6.6 times as many with 2 scans, 7.3 times with 8. The network is the same. So an
# accuracy of CPC means nothing without its $N$.
#
# </details>
#
# ## 8. What are the features worth?
#
# A [linear probe](../docs/glossary.md#linear-probe) names each voxel by the frozen encoder's
# features, fitted on a few labelled scans, without and with the voxel's coordinates among its
# inputs. CPC's question asks for place, so the second reading is the fair one: how much more than
# place do the features say? Next to it stand [random
# encoders](../docs/glossary.md#random-encoder) of three kinds, and [place
# alone](../docs/glossary.md#place-alone).

# %%
table = ssl3d.evaluation.probe_table({"CPC": encoders}, cohort, size["labels"])
print(table)
ssl3d.show.label_efficiency(table.scores["probe"])

# %% [markdown]
# *What to look at:* does CPC's lowest dot lie above the highest dot of the best random encoder?
#
# <details><summary>What we saw</summary>
#
# With 2 labelled scans CPC's features had a [Dice](../docs/glossary.md#dice) of 0.662, the best
# kind of random encoder 0.402, and place alone 0.394. In the figure CPC's lowest dot (0.622) is
# above the highest dot of any random encoder (0.469).
#
# With the coordinates CPC had 0.676 and the best random encoder 0.582. More than half of the lead
# is gone: it was knowledge of place, which a random encoder can be told. A part remains, 0.766
# against 0.709 with 5 labelled scans, and with 2 the two ranges overlap.
#
# Two seeds give no verdict. Six pairs of real scans, with intervals, are in the [stored
# studies](../docs/results.md). There, too, CPC's features are ahead of the best random ones with
# place for all, by less than here; but nobody had planned to ask, so that is no verdict either.
#
# </details>
#
# ## Exercise
#
# Ask for the very next row: `ssl3d.make_task("cpc", encoder, seed=0, prediction_steps=(1,))`.
# Predict first: is the puzzle easier? Are the features better? Train it for as many steps and probe
# it.
#
# <details><summary>Hint</summary>
#
# The next patch shares half its voxels with the current one. What is the least that a network has
# to know to find it among all others? Compare the accuracy over chance, and the probe's Dice.
#
# </details>
#
# <details><summary>Answer</summary>
#
# ```python
# close = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
# near = ssl3d.make_task("cpc", close, seed=0, prediction_steps=(1,))
# ssl3d.pretrain(near, close, cohort, settings=settings)
# print(ssl3d.evaluation.proxy_score(near, close, cohort, split.validation))
# print(ssl3d.evaluation.probe_table({"next row": [close]}, cohort, size["labels"], controls=0))
# ```
#
# Neighbours share voxels, so there is more to go by, and the score on the puzzle says how much. It
# does not say what the features are worth: that is what the probe and its controls are for. If the
# puzzle got easier and the probe did not get better, you have met a shortcut. If the probe got
# better as well, ask whether a second seed says the same.
#
# </details>
#
# ## What the literature did next
#
# - [Hénaff et al.](https://arxiv.org/abs/1905.09272) made CPC on photographs work better, with
#   larger networks, normalisation of layers instead of batches, and prediction in several
#   directions (`directions=("+1", "-1")` here).
# - [SimCLR](https://arxiv.org/abs/2002.05709) and [MoCo](https://arxiv.org/abs/1911.05722) kept
#   InfoNCE and left prediction out: two distorted copies of one picture are each other's answer.
# - In 3D, [VoCo](https://arxiv.org/abs/2402.17300) asks which base crops of a scan a random crop
#   overlaps: contrast and place together.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*,
# [arXiv:2006.03829](https://arxiv.org/abs/2006.03829), section 3.1. Van den Oord et al.,
# *Representation Learning with Contrastive Predictive Coding*,
# [arXiv:1807.03748](https://arxiv.org/abs/1807.03748). Others: [references](../docs/references.md).
#
# **Next:** [07 masked reconstruction](07_masked_reconstruction.ipynb), which does paint what is
# missing, and is what most of the field does today.

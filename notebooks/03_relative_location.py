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
# **You will be able to:** choose by hand which place a patch is taken from; say what jitter, gap
# and normalisation keep the network from doing; write the training loop that all notebooks use;
# read a confusion of 26 places next to what chance would give; and judge what the features are
# worth.
#
# **Time:** 1.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; much longer at `full`,
# which wants a GPU.
#
# **Before this one:** [01, volumes](01_volumes.ipynb), for patches; [02,
# rotation](02_rotation.ipynb) for the cross-entropy.
#
# ---
#
# Give a neurologist a small cube of brain tissue, cut out and without any mark, and one more from
# the middle of the head. *Where is the first one from?* They look for folds, for the dark water of
# the ventricles, for the stripes of the cerebellum, and say "low, behind, on the left". Nobody has
# to label a scan for this exam: the one who cut the cubes knows the answer. Doersch et al. set it
# to networks with photographs in 2015; the [paper](https://arxiv.org/abs/2006.03829) sets it in 3D.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from itertools import product
import numpy as np
import torch

SIZES = {
    "smoke": {
        "sharp": 48,
        "cases": 10,
        "edge": 36,
        "filters": (4, 8),
        "steps": 20,
        "seeds": 1,
        "labels": (2,),
        "draws": 1,
    },
    "class": {
        "sharp": 96,
        "cases": 80,
        "edge": 48,
        "filters": (16, 32, 64),
        "steps": 400,
        "seeds": 2,
        "labels": (2, 5),
        "draws": 2,
    },
    "full": {
        "sharp": 96,
        "cases": 200,
        "edge": 96,
        "filters": (32, 64, 128),
        "steps": 4000,
        "seeds": 5,
        "labels": (2, 5, 20),
        "draws": 3,
    },
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. The idea in a picture
#
# These are whole heads with a tumour, in four kinds of MRI (skulls are taken off). The tumour plays
# no part in the puzzle; its label comes at the end. First one head in small voxels, to look at:

# %%
sharp = ssl3d.open_cohort("brats", cases=2, edge=size["sharp"])
head = sharp.images([0])  # (scan, channel, x, y, z)
ssl3d.show.Volume3D(head[0], spacing=sharp.spacing, title="A head (T1)")

# %% [markdown]
# Divide the scan into 3 × 3 × 3 cells, like a Rubik's cube. The network is shown the
# [patch](../docs/glossary.md#patch) in the middle cell and one other, the *query*, and says where
# the query came from. There are 26 cells around the middle: left or right, front or back, above or
# below, and all mixtures. Here are the patches of the left and the middle cells, each as large as
# its cell:

# %%
cells = [cell for cell in product(range(3), repeat=3) if cell != (1, 1, 1)]  # place → its cell
shape = ssl3d.EncoderSettings(filters=(4, 8))  # a task is made for an encoder of some shape
third = min(sharp.shape) // 3
whole = ssl3d.make_task("rpl", shape, patch=third, jitter=0, queries_per_scan=17, normalise=False)
params = whole.sample_params(head, torch.Generator().manual_seed(0))  # everything random
half = [place for place, cell in enumerate(cells) if cell[0] < 2]  # left and middle: 17 places
order = np.random.default_rng(0).permutation(half)
params["query"][0] = torch.tensor(order)
in_3d = ssl3d.show.Puzzle3D(head, whole.make_views(head, params))
in_3d.turn = [68, 12]  # seen from the patient's right
in_3d

# %% [markdown]
# *What to look at:* on the left are the patches in the order in which the network gets them. Put
# back, they are half a brain, cut open in the middle. (In the live view press *put back*, pull them
# apart with the slider, and turn them with the mouse.) Which patches could you place by themselves?
# Which two would you mix up?
#
# <details><summary>What we saw</summary>
#
# Below and behind is the cerebellum, with its fine stripes. In the middle are the dark ventricles
# and the bright bow of the corpus callosum above them. Patches at the corners of the cube are
# mostly air with a bit of rim, and the curve of the rim says which corner it is. The right half is
# not drawn: it is nearly the mirror image of the left one, so left and right are what one mixes up
# most easily.
#
# </details>
#
# What the numbers mean, in the order that the task uses: R and L are the patient's right and left,
# A and P front and back, S and I above and below.

# %%
names = ssl3d.show.place_names(dims=3)
for start in range(0, len(names), 9):
    print("  ".join(f"{n:2} {name:4}" for n, name in list(enumerate(names))[start : start + 9]))

# %% [markdown]
# ## 2. Set a draw by hand
#
# For training, patches are smaller than their cells. Each is moved at random within its cell
# (*jitter*), and a *gap* is left between neighbours, so that no edge runs on from one patch into
# the next. Each patch is also *normalised* to mean 0 and variance 1, so that its brightness does
# not give it away.

# %%
SETTINGS = {"patch": third - 4, "jitter": 2, "gap": 2}  # a patch, its play, and the gap fill a cell
task = ssl3d.make_task("rpl", shape, **SETTINGS)
params = task.sample_params(head, torch.Generator().manual_seed(2))
for name, value in params.items():
    print(f"{name:7}", tuple(value.shape), value[0].tolist())
ssl3d.show.puzzle(head, task.make_views(head, params))

# %% [markdown]
# *What to look at:* view 0 is the centre; the others are queries, with the answer in words. One
# slice of each is drawn; the network gets all slices, and all four channels. Would you place them?
# Where a patch is mostly air, normalising leaves little but a bright or a dark area.
#
# A draw is two small tensors: which places are asked about, and by how many voxels each patch is
# moved. Set them by hand: four places on the left, and the same four on the right, without jitter.
# **Predict before you run:** which two of the eight look most alike?

# %%
chosen = [names.index(name) for name in ("L", "LP", "LA", "LI", "R", "RP", "RA", "RI")]
hand = {name: value.clone() for name, value in params.items()}
hand["query"][:] = torch.tensor(chosen)
hand["jitter"][:] = 0
by_hand = task.make_views(head, hand)
ssl3d.show.Puzzle3D(head, by_hand)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Each patch is most like its mirror image: 1 like 5, 2 like 6, 3 like 7, 4 like 8. To know which is
# which one has to see on which side the brain ends. Change `hand["query"]` or `hand["jitter"]` (0
# to 2 for each patch and axis; the first patch is the centre) and run the cell again.
#
# </details>
#
# The boxes in the scan. Scroll through the planes; a click into a box names it:

# %%
ssl3d.show.puzzle_slices(head, by_hand)

# %% [markdown]
# Where a patch is cut can be computed by hand, and so can its normalisation. **Predict before you
# run:** in which voxel does the patch of place L begin?

# %%
place, edge = chosen[0], SETTINGS["patch"]
cell_edges = torch.tensor(sharp.shape) // 3
free = cell_edges - SETTINGS["patch"] - SETTINGS["jitter"]  # half of it before the patch
i, j, k = (cell_edges * torch.tensor(cells[place]) + free // 2).tolist()
mine = head[0, :, i : i + edge, j : j + edge, k : k + edge]
mean = mine.mean((1, 2, 3), keepdim=True)
variance = mine.var((1, 2, 3), correction=0, keepdim=True)
mine = (mine - mean) / (variance + 1e-5).sqrt()
same = torch.allclose(mine, by_hand.views[0, 1], atol=1e-3)
print(f"place {place} ({names[place]}) begins at voxel {(i, j, k)}: as the library's: {same}")

# %% [markdown]
# ## 3. The maths
#
# Let $x_c$ be the centre patch and $x_q$ a query from the place $y_q \in \{1, \dots, 26\}$. The
# encoder $f$ reads each patch by itself, and a small [head](../docs/glossary.md#head) $g$ reads
# both features together:
#
# $$p(y \mid x_c, x_q) = \mathrm{softmax}\; g\bigl(f(x_c), f(x_q)\bigr), \qquad
# \mathcal{L}_{\mathrm{RPL}} = -\frac{1}{K} \sum_{k=1}^{K} \log p\bigl(y_q^{(k)} \mid x_c^{(k)},
# x_q^{(k)}\bigr)$$
#
# over $K$ queries. The order matters: $g$ knows which of the two is the centre. In 2D eight places
# are left of 3 × 3 cells. **Predict before you run:** by how much is guessing harder in 3D?

# %%
for dims in (2, 3):
    flat = ssl3d.EncoderSettings(spatial_dims=dims, norm="batch", filters=size["filters"])
    places = ssl3d.make_task("rpl", flat).places
    print(f"{dims}D: {places} places, chance {1 / places:.1%}, loss {np.log(places):.2f}")

# %% [markdown]
# ## 4. The training loop
#
# So that training takes minutes, the network gets the same kind of heads in larger voxels:

# %%
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"])
split = cohort.split()
CELL = min(cohort.shape) // 3  # edge of a cell, in voxels
SETTINGS = {"patch": CELL - 4, "jitter": 2, "gap": 2}
device = cohort.images(split.pretrain[:1]).device
print("channels:", cohort.channels, "- patches of", SETTINGS["patch"], "voxels in cells of", CELL)


def make_pair(seed: int, **changes) -> tuple:
    """A task and an encoder that have learnt nothing.

    Batch norm, as in the paper: the answer is read off the mean of each feature, which instance
    norm, the library's default for few labels, nearly levels out.
    """
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    task = ssl3d.make_task("rpl", encoder, seed, **SETTINGS | changes)
    return task.to(device), encoder.to(device)


# %% [markdown]
# All pretraining in these notebooks is one loop. Here it is, whole. Six things happen in a step:
# scans are taken, a puzzle is made, the network answers, the loss is computed, its gradient is
# computed, the weights move a little. All that is random comes from (seed, step), so a run can be
# repeated.

# %%
SETUP = {"batch": min(8, len(split.pretrain)), "learning_rate": 2e-3, "weight_decay": 0.0}
batches = ssl3d.training.batches  # which scans a step gets, and the source of its random numbers


def train_by_hand(task, encoder, steps: int, seed: int) -> list[float]:
    settings = ssl3d.TrainSettings(steps=steps, seed=seed, **SETUP)
    weights = [*encoder.parameters(), *task.parameters()]
    optimizer = torch.optim.AdamW(weights, weight_decay=0.0)
    encoder.train(), task.train()
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / steps) ** 0.9
        scans = cohort.images(batches.cases_of_step(split.pretrain, settings, step))
        params = task.sample_params(scans, batches.step_generator(seed, step))
        batch = task.make_views(scans, params)
        logits = task(encoder, batch)
        loss = torch.nn.functional.cross_entropy(logits, batch.target.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)  # one odd batch cannot throw them far off
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% [markdown]
# Is that really all? Start twice from the same weights, with the same seed, and compare the loss
# and the trained weights with those of `ssl3d.pretrain`:

# %%
STEPS = 20
mine, library = make_pair(0), make_pair(0)
losses = train_by_hand(*mine, STEPS, seed=0)
plain = {"memory_format": "contiguous", "precision": "32-true"}  # no tricks that round differently
rows = ssl3d.pretrain(*library, cohort, steps=STEPS, seed=0, **plain, **SETUP)
for number, row in enumerate(rows):  # a row is the mean of ten steps
    by_hand_loss = np.mean(losses[10 * number : 10 * number + 10])
    print(f"steps {row['step'] - 9} to {row['step']}: {by_hand_loss:.6f} and {row['loss']:.6f}")
kept = zip(mine[1].state_dict().values(), library[1].state_dict().values())
print("the same weights:", all(torch.allclose(a, b, atol=1e-5) for a, b in kept))

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The losses agree but for the last digit that is printed, and so do the weights. What the library
# adds makes no other network: checkpoints, a history, a progress bar, checks for a loss that is not
# a number, several GPUs. (It also keeps voxels in another order in memory, and on GPUs shorter
# numbers. Both are faster and round differently, so they are switched off here.) The loop is in
# [`training/loop.py`](../ssl3d_lite/training/loop.py).
#
# </details>
#
# ## 5. Pretraining
#
# Each seed has other weights at the start, other places, other jitter. Watch the first one learn.
# *Stop* ends it early and keeps what was learnt; to begin anew, run the cell of `pairs` again.

# %%
pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:2]), names=names)
view

# %%


def train(task, encoder, seed: int, callback=None) -> list:
    settings = {**SETUP, "steps": size["steps"], "seed": seed}
    return ssl3d.pretrain(task, encoder, cohort, callback=callback, **settings)


histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(pairs):
    run = f"seed {seed}"
    histories[run] = train(task, encoder, seed, view.watch if seed == 0 else None)
    held_out[run] = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    accuracy, chance = held_out[run]["accuracy"], held_out[run]["chance"]
    print(f"{run}: {accuracy:.1%} right on held-out scans, chance {chance:.1%}")
tasks, encoders = zip(*pairs)
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* how far above the dashed line of guessing are the dots, the held-out scans? Are
# the curves still rising at the end? (A dot may lie above its line; [notebook
# 02](02_rotation.ipynb) explains why.)
#
# <details><summary>What we saw</summary>
#
# On scans that they had not seen the two networks placed 97.7 % and 96.9 % of the queries right;
# chance is 3.8 %. Most of it was learnt within the first hundred steps; since then the curves rise
# only a little. So they learnt where parts of a head lie, and very well.
#
# Two warnings. They may have used the rim of the brain more than its inside: a curved border with
# air outside gives a corner away. And all virtual heads are warps of one template, which makes the
# puzzle easier than real heads would.
#
# </details>
#
# ## 6. Where does it go wrong?
#
# Being right is not all. A network that takes *above right* for *right* has understood more than
# one that takes it for *below left*. **Predict before you run:** in the matrix, where are the wrong
# answers that are next door?

# %%
task, encoder = tasks[0].eval(), encoders[0]
generator, seen = torch.Generator().manual_seed(1), cohort.images(split.validation)
truth, predictions, empty = [], [], []
for _ in range(20):
    batch = task.make_views(seen, task.sample_params(seen, generator))
    with torch.inference_mode():
        prediction = task(encoder, batch)
    truth.append(batch.target.flatten().cpu())
    predictions.append(prediction.argmax(-1).cpu())
    empty.append((batch.views[:, 1:] == 0).flatten(2).all(-1).flatten().cpu())
truth, predictions, empty = (torch.cat(each).numpy() for each in (truth, predictions, empty))
print(f"patches of nothing but air: {np.mean(empty):.0%}; nobody can place them")
ssl3d.show.confusion(truth, predictions, names, title="validation scans, seed 0")

# %% [markdown]
# *What to look at:* the diagonal is right. Places go from left to right; within that from back to
# front; within that from bottom to top. So one step up or down is one row off the diagonal, one
# step to the front or back three rows or so, one step to the side nine rows or so. Stripes parallel
# to the diagonal at these distances would be mistakes next door. Do you see any?
#
# The eye finds stripes everywhere, so count them, and put chance next to each count. Three kinds of
# guess are compared: the network's; a blind guess among the 26 places; and a *wrong* guess that is
# otherwise blind.

# %%
table = np.array(cells)
wrong = predictions != truth
every = np.ones((26, 26), bool)
mistaken = ~np.eye(26, dtype=bool)
step = np.abs(table[:, None] - table[None])  # how many cells two places are apart, on each axis
print(f"right: {np.mean(~wrong):.0%} of {len(truth)} questions; wrong: {wrong.sum()}\n")
print("                                        network   blind   wrong answers   blind, if wrong")


def line(what: str, agrees: np.ndarray) -> None:
    """How often truth and answer agree in some way, (26, 26)."""
    found = agrees[truth, predictions]
    told = f"{found.mean():9.0%} {agrees[every].mean():7.0%}"
    if wrong.any():
        told += f" {found[wrong].mean():15.0%} {agrees[mistaken].mean():17.0%}"
    print(f"{what:37} {told}")


line("right place", np.eye(26, dtype=bool))
for axis, what in enumerate(
    ("left, middle or right", "back, middle or front", "low, middle or high")
):
    line(f"right about {what}", step[..., axis] == 0)
line("right, or next door", step.max(-1) <= 1)
mirror = [cells.index((2 - x, y, z)) for x, y, z in cells]  # each place, left and right exchanged
twins = np.zeros((26, 26), bool)
twins[np.arange(26), mirror] = True
line("the mirror image (left for right)", twins & mistaken)

mirrored = twins[truth, predictions] & wrong
print(
    f"\nnothing but air: {empty.sum()} patches; of {wrong.sum()} mistakes {(wrong & empty).sum()}"
)
print(f"mirror images: {mirrored.sum()} mistakes, {(mirrored & empty).sum()} of them of air")
if empty.any():
    answers, counts = np.unique(predictions[empty], return_counts=True)
    print(f"the usual answer for air: {names[answers[counts.argmax()]]}, {counts.max()} times")

# %% [markdown]
# *What to look at:* compare a column only with the one on its right. The first column holds the
# right answers too, so it is high for every network that is often right. The third column is about
# mistakes alone: it says whether the network was near when it was wrong.
#
# <details><summary>What we saw</summary>
#
# There are no stripes in the matrix: there are a few dark spots off the diagonal. Most mistakes are
# in two rows, LAI and AI, low and in front, where there is little brain. Most of these were called
# RAI.
#
# Of all answers 96 % were right about left, middle or right; a blind guess is in 33 %. About front
# and back it was 99 %, about high and low 99 %. These shares include the right answers, so look at
# the mistakes alone: 77 % of them were right about front and back and 73 % about high and low
# (blind 31 %), and 60 % were next door (blind 41 %). But only 29 % were right about left, middle or
# right, which is no better than blind. So mistakes are nearer than luck would have them on two
# axes, and not at all on the third. The mirror image was 25 % of the mistakes, by luck it would be
# 3 %.
#
# It is tempting to say: the halves of a brain look alike, so the network mixes them up. The truth
# is plainer. 4 % of the patches were nothing but air, 95 of them, and after normalising they are
# all the same. The network cannot know which of the empty places such a patch is from, so it has
# one favourite answer for it: 93 of the 95 were called RAI. More than half of all mistakes (74 of
# 136) are about air, and so is *every* mirror image: LAI called RAI, or the other way round. Where
# there is any tissue in a patch, it was not once taken for its mirror image. A table of mistakes
# shows *that* something is mixed up; to know *why*, look at the patches.
#
# </details>
#
# Now in 3D. On the left the patches are where they were cut, on the right where the network
# believes that they were. Green ones are right. (In the committed run one is wrong, patch 3: it is
# black on all sides that one sees, and it was put to RAI.)

# %%
count = len(seen)
last = (truth.reshape(20, count, -1)[-1, 0], predictions.reshape(20, count, -1)[-1, 0])
print("truth:     ", [names[n] for n in last[0]])
print("prediction:", [names[n] for n in last[1]])
ssl3d.show.Puzzle3D(seen, batch, prediction=last[1].tolist())

# %% [markdown]
# ## 7. What are the features good for?
#
# The puzzle is a means. Now the labels come in: a *[linear
# probe](../docs/glossary.md#linear-probe)* reads the frozen encoder and names the tumour's voxels,
# fitted on a few labelled scans. It is compared with three kinds of [random
# encoder](../docs/glossary.md#random-encoder) and with [place
# alone](../docs/glossary.md#place-alone), as in [notebook 00](00_start_here.ipynb). **Predict
# before you run:** a tumour may grow anywhere. What will place alone be worth here? And what does a
# network that knows places know about a tumour?

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
for n in size["labels"]:
    means = {arm: float(np.mean(scores[arm][n])) for arm in scores}
    best = max((arm for arm in scores if arm != "relative location"), key=means.get)
    gain = means["relative location"] - means[best]
    print(f"{n} labelled scans: {gain:+.3f} Dice against the best control ({best})")
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of the pretrained encoders above **all** controls, and above all
# their dots? If it beats one of them only, what would you have claimed with that one control?
#
# <details><summary>What we saw</summary>
#
# With 2 and 5 labels the pretrained encoders had a mean Dice of 0.446 and 0.502 over the tumour's
# regions, the best control (*random, norm: none*) 0.6 and 0.651: a difference of −0.154 and −0.149.
# Next to random encoders with batch norm (0.476 and 0.49) they are about level. Place alone has
# 0.025 and 0.063: nearly nothing, since tumours grow anywhere.
#
# So a puzzle that was solved almost perfectly gained nothing here. Two reasons are likely. Features
# that know where they are in the head are of little use for a thing that may be anywhere. And a
# tumour is recognised by its brightness in the four channels, which an encoder without a norm
# passes on even untrained, and which this puzzle takes away: each patch was normalised, so that
# brightness gives no place away. The exercise lets you test the second. Two seeds give no
# [verdict](../docs/verdicts.md); with six seeds of real hippocampi ([notebook
# 00](00_start_here.ipynb)) relative location gained nothing that could be shown.
#
# The paper reports gains of this task on real tumours, with patches of a third of 128 voxels, UK
# Biobank's 22,000 scans to pretrain on, and no random encoder to compare with. [Notebook
# 14](14_brain_tumours.ipynb) comes back to it.
#
# </details>
#
# ## Exercise
#
# Two doors were closed in section 2. Open them, one at a time: train once with `normalise=False`,
# and once with patches that touch (`patch=CELL, jitter=0, gap=0`). `make_pair(seed,
# normalise=False)` does it. Compare the scores on the validation scans, then probe the encoders. Is
# the run with the better proxy score the one with the better features?
#
# <details><summary>Hint</summary>
#
# Brightness is a number that one linear unit can read off a patch. Touching patches share a face.
# What does the network still have to find out then? And a score is only comparable if the puzzle is
# the same: each task is scored on its own puzzles. So ask what each score is a score *of*.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# for opened in ({}, {"normalise": False}, {"patch": CELL, "jitter": 0, "gap": 0}):
#     task, encoder = make_pair(0, **opened)
#     train(task, encoder, seed=0)
#     score = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
#     worth = {n: round(float(np.mean(dice)), 2) for n, dice in probe([encoder]).items()}
#     print(opened, round(score["accuracy"], 2), worth)
# ```
#
# A door makes the puzzle easier, so the proxy score tends to rise (here it has little room: it is
# near 100 % already); that is no merit. What it does to the features differs from one set of scans
# to another, and one seed does not answer it: run several and keep all dots. If you mean to choose
# a setting by the probe, probe on `split.validation` instead. The test cases are for the end, once.
#
# </details>
#
# ## What the literature did next
#
# - Doersch et al. (ICCV 2015), who set the puzzle with photographs, already found that networks
#   read the place off the colour fringes of the lens: shortcuts are as old as the task.
# - Bai et al. (MICCAI 2019) predicted anatomical positions in cardiac MRI, as defined by the planes
#   in which the views of the heart are taken.
# - Lei et al. (MICCAI 2021) predicted the offset between two patches in millimetres instead of
#   choosing among places, and found organs from one example.
# - Zhai et al. (ICML 2022) asked a transformer for the positions of all patches at once.
# - Wu et al. (VoCo, CVPR 2024) asked how much a random crop overlaps with each of a set of base
#   crops: relative location made soft and contrastive, on large CT collections.
#
# **Next:** [04, jigsaw](04_jigsaw.ipynb): all 27 places at once.
#
# ## References
#
# - Bai et al., [Self-Supervised Learning for Cardiac MR Image Segmentation by Anatomical Position
#   Prediction](https://arxiv.org/abs/1907.02757), MICCAI 2019.
# - Doersch et al., [Unsupervised Visual Representation Learning by Context
#   Prediction](https://arxiv.org/abs/1505.05192), ICCV 2015.
# - Lei et al., [Contrastive Learning of Relative Position Regression for One-Shot Object
#   Localization in 3D Medical Images](https://arxiv.org/abs/2012.07043), MICCAI 2021.
# - Taleb et al., [3D Self-Supervised Methods for Medical
#   Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020.
# - Wu et al., [VoCo](https://arxiv.org/abs/2402.17300), CVPR 2024.
# - Zhai et al., [Position Prediction as an Effective Pretraining
#   Strategy](https://arxiv.org/abs/2207.07611), ICML 2022.

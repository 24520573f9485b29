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
# # Jigsaw: how were the pieces shuffled?
#
# **You will be able to:** cut a head into 27 pieces and put it back; choose orders that are far
# from one another; train an encoder that names the order; and find a way to solve the puzzle that
# needs no network.
#
# **Time:** 2 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [01 volumes](01_volumes.ipynb) and
# [03 relative location](03_relative_location.ipynb).
#
# Give a medical student 27 cubes of a brain in a box. They will put the frontal pole in front and
# the cerebellum below and behind, because they know what belongs where. Nobody has to draw an
# outline on any cube. So a jigsaw is an examination in anatomy that sets and marks itself: the scan
# is its own solution. Does a network that passes it know anatomy? It may have found an easier
# way, and this notebook looks for it.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"cases": 20, "edge": 36, "orders": 10, "steps": 10, "seeds": 1, "filters": (4, 8)},
    "class": {
        "cases": 40,
        "edge": 64,
        "orders": 100,
        "steps": 250,
        "seeds": 2,
        "filters": (8, 16, 32),
    },
    "full": {
        "cases": 200,
        "edge": 96,
        "orders": 1000,
        "steps": 4000,
        "seeds": 5,
        "filters": (32, 64, 128),
    },
}
size = SIZES[ssl3d.scale()]
LABELS, DRAWS = {"smoke": ((2,), 1), "class": ((2, 5), 2), "full": ((2, 5, 20), 3)}[ssl3d.scale()]
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"])
split = cohort.split()

# %% [markdown]
# ## 1. Try it yourself
#
# These are whole virtual heads with a tumour, in four kinds of MRI. One scan is divided into
# 3 × 3 × 3 cells, and a piece is taken out of each. Below are the nine pieces of the middle layer,
# in a random order: one slice of each, the patient's left on the left and the nose up.
#
# **Try before you go on:** which piece belongs in the centre? Which are the four corners? Write
# down where you would put A to I.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, the default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
patch = min(cohort.shape) // 3 - 5  # of a cell's edge 3 voxels are for jitter, and 2 for the gap
task = ssl3d.make_task("jigsaw", encoder, seed=0, patch=patch, permutations=size["orders"])
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(4))  # everything random
batch = task.make_views(volumes, params)  # nothing random

order = task.permutations[params["permutation"][0, 0]]  # the cell whose piece is shown at a place
middle = [place for place, cell in enumerate(order.tolist()) if cell % 3 == 1]
letters = dict(zip("ABCDEFGHI", middle))
corners = batch.placement.matrix[0, :, :3, 3].int()  # the first voxel of each piece in the scan
head = volumes[0, 0].cpu()  # channel 0 is T1
head = head.where(head != head[0, 0, 0], head.min())  # air is drawn black
grey = {"cmap": "gray", "origin": "lower", "vmin": head.min(), "vmax": head.quantile(0.99)}


def slice_of(place: int):
    """The middle slice of a piece, seen from above."""
    x, y, z = corners[place].tolist()
    return head[x : x + patch, y : y + patch, z + patch // 2].T


figure = Figure(figsize=(9, 1.4), layout="constrained")
for axes, (letter, place) in zip(figure.subplots(1, 9), letters.items()):
    axes.imshow(slice_of(place), **grey)
    axes.set(title=letter, xticks=[], yticks=[])
figure

# %% [markdown]
# The solution, piece by piece. A cell has the number $9x + 3y + z$, with $x$ counted to the right,
# $y$ to the front and $z$ upwards.

# %%
figure = Figure(figsize=(3.6, 3.8), layout="constrained")
panels = figure.subplots(3, 3)
for letter, place in letters.items():
    x, y = int(order[place]) // 9, int(order[place]) // 3 % 3
    axes = panels[2 - y, x]
    axes.imshow(slice_of(place), **grey)
    axes.set(title=letter, xticks=[], yticks=[])
figure

# %% [markdown]
# <details><summary>What we saw</summary>
#
# A, the centre, with a dark ventricle, is found by what is inside it. The four corners (B, D, G, H)
# and the two sides (E, I) are found at a glance, by the way the outline bends. What remains are the
# front (F) and the back (C), which look more alike. Note which help you used: for most people it is
# the *outline* of the brain, before anything inside. Section 6 comes back to this.
#
# </details>
#
# Now all 27 pieces. Pull them apart with the slider, put them back, shuffle them again, turn the
# whole. A click on a piece says where it came from.

# %%
ssl3d.show.Puzzle3D(volumes, batch)

# %% [markdown]
# *What to look at:* on the left the pieces as the network gets them, on the right put back: a
# brain. Each piece bears the number of the cell that it was cut from, and its frame has the colour
# of that cell's layer. The eight corners of the cube are little but air (black). This is the head
# that they were cut from, with its tumour:

# %%
scan, label = cohort[split.pretrain[0]]
scan, label = np.array(scan[0], np.float32), np.array(label)
names = cohort.label_names
ssl3d.show.Volume3D(scan, label, label_names=names, spacing=cohort.spacing, title="A virtual head")

# %% [markdown]
# ## 2. Cut and shuffled by hand
#
# Here is all that the task does, in ordinary lines. For each place it takes the cell whose piece is
# shown there, cuts a box out of that cell, moved by the *jitter*, and gives it mean 0 and variance
# 1, so that a piece's brightness does not betray its cell.

# %%
jitter = params["jitter"][0]  # by how many voxels each cell's piece is moved
pieces = []
for cell in order.tolist():
    start = []
    for axis, n in enumerate((cell // 9, cell // 3 % 3, cell % 3)):
        edge = cohort.shape[axis] // 3  # of a cell, voxels
        start.append(n * edge + (edge - patch - 3) // 2 + int(jitter[cell, axis]))
    x, y, z = start
    piece = volumes[0, :, x : x + patch, y : y + patch, z : z + patch]
    mean = piece.mean((1, 2, 3), keepdim=True)
    variance = piece.var((1, 2, 3), correction=0, keepdim=True)
    pieces.append((piece - mean) / (variance + 1e-5).sqrt())
by_hand = torch.stack(pieces)
print("27 pieces of 4 channels:", tuple(by_hand.shape))
print("the same as the task's:", torch.allclose(by_hand, batch.views[0], atol=1e-4))

# %% [markdown]
# **Predict before you run:** to put the pieces back, is it enough to apply the same order once
# more? If not, what is it that sorts them?

# %%
back = order.argsort()  # at which place the piece of each cell is shown
print("in order again:      ", torch.equal(order[back], torch.arange(27)))
print("twice the same order:", torch.equal(order[order], torch.arange(27)))

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The same order twice does not sort them. What sorts them is the *inverse* of the permutation,
# and `argsort` gives it: it says for each cell at which place its piece is shown.
#
# </details>
#
# The same as a figure, layer by layer, next to the scan that the pieces were cut from.

# %%
ssl3d.show.shuffled_pieces(volumes, batch, spacing=cohort.spacing)

# %% [markdown]
# *What to look at:* between the boxes in the scan there are gaps. If pieces touched, a rule that
# fits borders would solve every puzzle, and the network would learn to look at borders
# ([08 shortcuts](08_shortcuts.ipynb) shows it). Jitter moves each piece, so that the gaps are not
# always the same.
#
# ## 3. Which orders? Those that are far apart
#
# There are $27! \approx 10^{28}$ orders. The network does not sort the pieces freely: a list of
# $P$ orders is fixed beforehand, and the answer is a number in this list. The choice of the list
# matters. If two orders differ in two places only, one pair of pieces decides between them, and if
# those two look alike, nobody can. The **Hamming distance** counts the places in which two orders
# differ,
#
# $$d_H(\pi, \sigma) = \bigl|\{\, i : \pi(i) \ne \sigma(i) \,\}\bigr|.$$
#
# A list is as good as its nearest two orders. A greedy search ([Noroozi and
# Favaro](https://arxiv.org/abs/1603.09246)) makes a good one: draw many candidates, and add, again
# and again, the one whose distance to the nearest chosen order is largest.
#
# **Predict before you run:** of 60 orders at random, in how many of the 27 places do the nearest
# two agree?

# %%
candidates = np.random.default_rng(0).permuted(np.tile(np.arange(27), (4000, 1)), axis=1)
chosen, nearest, total = [0], np.full(4000, 27), np.zeros(4000)
while len(chosen) < 60:
    distance = (candidates != candidates[chosen[-1]]).sum(1)  # Hamming, to the newest
    nearest, total = np.minimum(nearest, distance), total + distance
    chosen.append(int((nearest + total / 1e6).argmax()))  # of equals, the farther on average


def closest(orders: np.ndarray) -> int:
    """The smallest Hamming distance between any two of these orders."""
    apart = (orders[:, None] != orders[None]).sum(2)
    return int(apart[~np.eye(len(orders), dtype=bool)].min())


permutations = ssl3d.tasks.permutations
print("60 at random:   the nearest two differ in", closest(candidates[:60]), "places")
print("60 by search:   the nearest two differ in", closest(candidates[chosen]), "places")
print("the library's search on the same candidates gives the same:", end=" ")
print(chosen == permutations.farthest(candidates, 60))
print("this task, from a larger pool:", task.note)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The nearest two of 60 random orders agree in 5 of the 27 places, those found by the search in 2.
# This task's list was searched among 65 536 candidates. It has 100 orders, and its nearest two
# agree in 3 places: the more orders a list has, the harder it is to keep all of them apart.
#
# </details>
#
# A formula would come farther still. With a prime number $q$ of pieces take all maps
# $x \mapsto a\,x + b$ modulo $q$ with $a \ne 0$: two of them agree where
# $(a - a')\,x = b' - b$, which has at most one solution. So these $q(q-1)$ orders differ in
# $q - 1$ places or more. **Predict:** why does the library not use them?

# %%
five = np.array([[(a * x + b) % 5 for x in range(5)] for a in range(1, 5) for b in range(5)])
print(f"{len(five)} orders of 5 pieces, the nearest two differ in {closest(five)} places")
print(five[:8])

# %% [markdown]
# <details><summary>Answer</summary>
#
# The pieces shown at two places give $a$ and $b$, and with them all the others. A network could
# name the order from two pieces and never look at the rest. A list should be far apart *and* need
# many pieces.
#
# </details>
#
# ## 4. The network, and its loss by hand
#
# The encoder $f$ reads each piece by itself and does not know where it is shown. Only the
# [head](../docs/glossary.md#head) $g$ sees the 27 features side by side. So $f$ has to put into
# its features what shows a piece's place. The loss is cross-entropy: minus the logarithm of the
# probability that the right order $y$ is given,
#
# $$\mathcal{L} = -\log p_y, \qquad p = \mathrm{softmax}\; g\bigl(f(x_1), \dots, f(x_{27})\bigr).$$

# %%
task, encoder = task.to(volumes.device).eval(), encoder.to(volumes.device).eval()
with torch.no_grad():
    deepest = [encoder(pieces)[-1] for pieces in batch.views]  # of a scan: 27 pieces
    features = torch.stack([level.mean((2, 3, 4)) for level in deepest])  # (scan, piece, feature)
    logits = task.head(features.flatten(1))  # (scan, order)
    probability = logits.exp() / logits.exp().sum(1, keepdim=True)
    right = probability[torch.arange(2), batch.target[:, 0]]
    loss = -right.log().mean()
    library = task.loss(task(encoder, batch), batch)
print(f"loss by hand {loss:.4f}, by the library {library:.4f}:", torch.allclose(loss, library))
print(f"if all orders were as likely: log {size['orders']} = {np.log(size['orders']):.4f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# By hand and by the library the loss is 4.6054. That is the loss of guessing, log 100 = 4.6052,
# since a network that has learnt nothing finds all orders nearly equally likely. What is below this
# in the next section has been learnt.
#
# </details>
#
# The library's version: [tasks/jigsaw.py](../ssl3d_lite/tasks/jigsaw.py).
#
# ## 5. Pretraining
#
# Each seed has other weights at the start, other shuffles, other jitter, and the same list of
# orders. Watch the first one learn. *Stop* ends it early and keeps what was learnt.

# %%
device = volumes.device


def make_pair(seed: int, orders: int = size["orders"]) -> tuple:
    """A task and an encoder that have learnt nothing."""
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    task = ssl3d.make_task("jigsaw", encoder, seed, patch=patch, permutations=orders)
    return task.to(device), encoder.to(device)


def train(task, encoder, seed: int, callback=None) -> list:
    settings = ssl3d.TrainSettings(steps=size["steps"], batch=8, learning_rate=2e-3, seed=seed)
    return ssl3d.pretrain(task, encoder, cohort, settings=settings, callback=callback)


pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:4]), chance=1 / size["orders"])
view

# %%
histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(pairs):
    run = f"seed {seed}"
    histories[run] = train(task, encoder, seed, view.watch if seed == 0 else None)
    held_out[run] = ssl3d.evaluation.proxy_score(
        task, encoder, cohort, split.validation * 10
    )  # ten puzzles of each scan, each in another order
    print(run, {name: round(value, 3) for name, value in held_out[run].items()})
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* the dots are the scores on [validation](../docs/glossary.md#fold) heads, which
# the network was not shown. How far do they lie above the dashed line, which is
# [chance](../docs/glossary.md#chance)? How far apart are the seeds?
#
# <details><summary>What we saw</summary>
#
# Guessing is right in 1 %. On heads that it had not seen, the network named the right order of 27
# pieces in 100 % of 80 puzzles, with seed 0 and with seed 1 (one dot hides the other). Both curves
# reach the top by step 200. So the puzzle is learnt, and not by heart: these eight heads are new.
# A perfect score should make you suspicious. Is the puzzle perhaps easier than it looks?
#
# </details>
#
# ## 6. Solve it without a network
#
# How little is needed? Take one number from each piece, its share of air (where no tissue is), and
# forget all else. From the training heads comes the mean share of each of the 27 cells. A puzzle
# is then answered by the order in which the 27 shares fit those means best. Nothing is trained.

# %%
task = pairs[0][0]
generator = torch.Generator().manual_seed(1)


def shares_of_air(cases: list) -> tuple:
    """The share of air in each piece as it is shown, (scan, 27), and the right orders."""
    scans = cohort.images(cases)
    air = (scans == scans[:, :, :1, :1, :1]).float()  # the value of a corner of the scan
    puzzle = task.make_views(air, task.sample_params(air, generator))
    start = puzzle.placement.matrix[..., :3, 3].long()  # where each piece begins
    rows = [
        [scan[0, x : x + patch, y : y + patch, z : z + patch].mean() for x, y, z in corners]
        for scan, corners in zip(air, start.tolist())
    ]
    return torch.tensor(rows), puzzle.target[:, 0].cpu()


shown, answer = shares_of_air(split.pretrain)
mean = torch.empty_like(shown).scatter_(1, task.permutations[answer], shown).mean(0)  # of a cell
shown, answer = shares_of_air(list(split.validation) * 5)
misfit = (shown[:, None] - mean[task.permutations]).square().sum(2)  # (puzzle, order)
print(f"right by shares of air alone: {(misfit.argmin(1) == answer).float().mean():.1%}")
print(f"guessing: {1 / size['orders']:.1%}")
figure = Figure(figsize=(7, 2.6), layout="constrained")
for z, axes in enumerate(figure.subplots(1, 3)):
    layer = mean.view(3, 3, 3)[:, :, z]
    axes.imshow(layer.T, cmap="gray_r", origin="lower", vmin=0, vmax=1)
    for x in range(3):
        for y in range(3):
            ink = "white" if layer[x, y] > 0.5 else "black"
            axes.text(x, y, f"{layer[x, y]:.2f}", ha="center", va="center", color=ink)
    axes.set(title=f"layer {z}: share of air", xticks=[], yticks=[])
figure

# %% [markdown]
# *What to look at:* black is a cell full of air, white one full of tissue. Which cells have the
# same shade, so that this rule must confuse them?
#
# <details><summary>What we saw</summary>
#
# This rule, which knows no anatomy, was right in 100.0 % of 40 puzzles: as good as the network.
# Left and right cells have nearly the same share, and still it names the order: orders of the list
# differ nearly everywhere, so it is enough that some cells are unlike. So the accuracy of section 5
# does not show that a network knows what is inside a brain. It does not show either that the
# network uses the same rule; it shows that no more was needed. Gaps and jitter do not help, since
# the outline of the head is the [shortcut](../docs/glossary.md#shortcut). Crops from inside an
# organ do not have it. This is what a control is for: before you admire a score, ask for the least
# that reaches it.
#
# </details>
#
# ## 7. A guess in 3D
#
# **Predict before you run:** if a network names a wrong order, how many of the 27 pieces can it
# still put in the right cell? Half, with luck? Below, the trained network is asked about validation
# heads, and so is one that has learnt nothing.

# %%
seen = cohort.images(split.validation)
guesses = {}
for name, (task, encoder) in {"trained": pairs[0], "untrained": make_pair(7)}.items():
    puzzle = task.make_views(seen, task.sample_params(seen, torch.Generator().manual_seed(1)))
    with torch.inference_mode():
        guess = task.eval()(encoder.eval(), puzzle).argmax(-1).cpu()
    truth = puzzle.target.flatten().cpu()
    placed = (task.permutations[guess] == task.permutations[truth]).sum(1)  # pieces of each scan
    print(f"{name:9} right orders: {int((guess == truth).sum())} of {len(truth)}", end="; ")
    print("pieces in place, of 27:", placed.tolist())
    guesses[name] = task.permutations[guess]
wrong = int((guess != truth).long().argmax())  # the untrained network's first wrong one
ssl3d.show.Puzzle3D(seen, puzzle, wrong, prediction=guesses["untrained"][wrong])

# %% [markdown]
# *What to look at:* on the left the truth, on the right where the untrained network's order would
# put the pieces. Green is right, orange is wrong.
#
# <details><summary>What we saw</summary>
#
# The trained network was right with all 8 heads, so only the untrained one shows a wrong order: it
# has 0 to 2 pieces in place, here 2. Any two orders of the list agree in 3 places at most (section
# 3 made it so). So an answer is right as a whole or wrong nearly everywhere. There is no
# half-solved puzzle: such a network cannot produce a picture with 25 of 27 pieces in place.
#
# </details>
#
# ## 8. What are the features good for?
#
# The puzzle is a means. The end is to name tissue, here the parts of a tumour, with few labels. A
# [linear probe](../docs/glossary.md#linear-probe) names each voxel by the
# [frozen](../docs/glossary.md#frozen) encoder's features, fitted on a few labelled scans. It is
# read twice, without and with each voxel's coordinates among its inputs. Next to it stand
# [random encoders](../docs/glossary.md#random-encoder) of three kinds, which were never trained,
# and [place alone](../docs/glossary.md#place-alone), which looks at no scan.

# %%
table = ssl3d.evaluation.probe_table(
    {"jigsaw": [encoder for _, encoder in pairs]}, cohort, LABELS, draws=DRAWS
)
print(table)
ssl3d.show.label_efficiency(table.scores["probe"])

# %% [markdown]
# *What to look at:* is jigsaw's line above **all** controls, and above all their dots? If it is
# above one of them only, what would you have claimed with that one control?
#
# <details><summary>What we saw</summary>
#
# With 5 labelled scans the jigsaw's features had a [Dice](../docs/glossary.md#dice) of 0.312. The
# three kinds of random encoder had 0.406, 0.421 and 0.596, and place alone 0.047: a tumour may grow
# anywhere. With the coordinates the jigsaw had 0.257 and the best random kind 0.612. So a network
# that names 100 % of the orders had, on average, *worse* features for tumours than networks that
# learnt nothing, also than the random ones of its own kind (batch norm). If place alone had been
# the only control, you would have claimed a great success.
#
# Why could that be? The puzzle asks where a piece of head comes from, and the outline answers that.
# Nothing asks the network to keep apart tumour and brain, and what does not help with the puzzle
# may be lost. This is a guess; no cell here tests it. And two seeds are an anecdote: six are in the
# [stored studies](../docs/results.md), where jigsaw has the lowest Dice of all arms by this probe
# on real hippocampi too.
#
# </details>
#
# ## Exercise
#
# How hard the puzzle is depends on $P$. Train with 2, 10 and 100 orders and compare. Which of the
# three asks most of the encoder? What is the least that a network must find out to distinguish two
# orders that differ everywhere?
#
# <details><summary>Hint</summary>
#
# `make_pair(0, orders=2)` does it. Accuracies of different $P$ cannot be compared as they stand:
# guessing gives $1/P$. Compare what was found out, in bits: $\log_2 P$ minus the loss in bits.
# For the second question: how many pieces would *you* have to look at?
#
# </details>
#
# <details><summary>Answer</summary>
#
# ```python
# for orders in (2, 10, 100):
#     task, encoder = make_pair(0, orders)
#     train(task, encoder, seed=0)
#     score = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation * 10)
#     bits = np.log2(orders) - score["loss"] / np.log(2)
#     print(orders, "orders:", round(score["accuracy"], 2), "right,", round(float(bits), 1), "bits")
# ```
#
# Two orders that differ everywhere are distinguished by a single piece: whether the one shown
# first is from this cell or from that one. One feature that differs between two cells is enough,
# and the encoder may stay blind for all else. With more orders, more of the cells have to be
# distinguished. But they also mean a larger last layer and fewer examples of each, so more is not
# always better in a given time. The paper has 1000 orders, its authors' code 100.
#
# </details>
#
# ## What the literature did next
#
# - [Santa Cruz et al.](https://arxiv.org/abs/1704.02729) gave up the list and let the network sort
#   the pieces, with a doubly stochastic matrix in place of a class.
# - [Zhuang et al.](https://arxiv.org/abs/1910.02241) and
#   [Zhu et al.](https://doi.org/10.1016/j.media.2020.101746) turned the pieces as well as moving
#   them, like a Rubik's cube, and hid some of them: puzzles for CT and MRI in 3D.
# - [Taleb et al. 2021](https://arxiv.org/abs/1912.05396) mixed pieces of several kinds of scans in
#   one puzzle, so that the encoder learns what they have in common.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*,
# [arXiv:2006.03829](https://arxiv.org/abs/2006.03829), section 3.3. Noroozi and Favaro,
# *Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles*,
# [arXiv:1603.09246](https://arxiv.org/abs/1603.09246). Others: [references](../docs/references.md).
#
# **Next:** [05 exemplar](05_exemplar.ipynb), where nothing is cut and the question is *whose* scan
# it is.

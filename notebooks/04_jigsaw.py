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
# **You will be able to:** shuffle 27 pieces of a scan by hand and put them back; say why the orders
# to tell apart must be far from one another, and measure how far; train an encoder that names the
# order; and see in 3D what a guess of the network would make of the scan.
#
# **Time:** about two minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; much longer at
# `full`, which wants a GPU.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from math import factorial
import numpy as np
import torch

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "orders": 10, "steps": 10, "seeds": 1}
    | {"labels": (2,), "draws": 1},
    "class": {"cases": 100, "filters": (16, 32, 64), "orders": 100, "steps": 250, "seeds": 2}
    | {"labels": (2, 5), "draws": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "orders": 1000, "steps": 4000, "seeds": 5}
    | {"labels": (2, 5, 20), "draws": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# Share a scan out among 3 × 3 × 3 cells, take a piece out of each, and show the pieces in another
# order. The network says which order it was. It need not sort the pieces freely: a list of $P$
# orders is agreed upon beforehand, and the answer is a number in that list.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, our default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("jigsaw", encoder, seed=0, permutations=size["orders"])
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.shuffled_pieces(volumes, batch)

# %% [markdown]
# *What to look at:* left the pieces as the network gets them, in the middle put back, right the
# scan. A number says which cell a piece was cut from, the colour of its frame which layer. Cover
# the middle: could you sort the left? By what?
#
# Now touch it. Pull the pieces apart with the slider, put them back, shuffle them again, turn the
# whole. A click on a piece says where it came from.

# %%
ssl3d.show.Puzzle3D(volumes, batch)

# %% [markdown]
# ## 2. Set a draw by hand
#
# A draw is the number of the order for each scan, and by how many voxels each piece is moved within
# its cell (its *jitter*).

# %%
for name, value in params.items():
    print(f"{name:11}", tuple(value.shape))
hand = {name: value.clone() for name, value in params.items()}
hand["permutation"][:] = 3  # change it, and run the cell again
hand["jitter"][:] = 0
by_hand = task.make_views(volumes, hand)
print("order 3 shows, place by place, the pieces from cells", task.permutations[3].tolist())

# %% [markdown]
# **Predict before you run:** is putting the pieces back just the same order once more? If not, what
# is it?

# %%
order = task.permutations[3]
back = order.argsort()  # where in the shown order each cell's piece stands
restored = by_hand.views[:, back]
corner = by_hand.placement.matrix[0, back, :3, 3].int()  # first voxel of each restored piece
print("in order again:", torch.equal(order[back], torch.arange(27)))
print("twice the same order:", torch.equal(order[order], torch.arange(27)))
print("along x, the pieces now start at", corner[:, 0].tolist())

# %% [markdown]
# Cells count fastest upwards, then to the front, then to the right, so the restored pieces climb.
# The inverse of a permutation is what sorts it (`argsort`).
#
# Below, the same puzzle laid over the scan. Scroll through the planes; a click into a box says
# where the piece was shown and where it was cut. Then the figure of it, without jitter.

# %%
ssl3d.show.puzzle_slices(volumes, by_hand)

# %%
ssl3d.show.shuffled_pieces(volumes, by_hand)

# %% [markdown]
# *What to look at:* between the restored pieces there are gaps. Nothing runs on over a border, so a
# border cannot be matched with its neighbour's; what is inside the pieces must do.
#
# ## 3. The maths: orders that are far apart
#
# There are $27!$ orders. A list of $P$ of them is used, and its choice matters. If two orders
# differ in two places only, one pair of pieces decides between them, and if those two look alike,
# nobody can. The **Hamming distance** counts the places in which two orders differ,
#
# $$d_H(\pi, \sigma) = \bigl|\{\, i : \pi(i) \ne \sigma(i) \,\}\bigr|,$$
#
# and of a list the smallest distance of any pair counts. **Predict before you run:** 60 orders
# drawn at random, 27 pieces: how near are the nearest two? And how many orders could all differ
# from each other in *every* place?

# %%
permutations = ssl3d.tasks.permutations
generator = torch.Generator().manual_seed(0)
print(f"27! = {factorial(27):.1e} orders")
for pieces in (9, 27):
    at_random = torch.stack([torch.randperm(pieces, generator=generator) for _ in range(60)])
    chosen = permutations.permutation_set(pieces, 60)
    nearest = [permutations.hamming(orders)[0] for orders in (at_random, chosen)]
    print(f"{pieces:2} pieces: nearest two differ in {nearest[0]} places at random", end=", ")
    print(f"in {nearest[1]} if chosen")
print("this task:", task.note)

# %% [markdown]
# In every place: no more than 27, one for each piece that can stand first. Allow one place to
# agree, and a little algebra gives the longest list there can be. With a prime number $q$ of cells,
# take all maps $x \mapsto a\,x + b$ modulo $q$ with $a \ne 0$. Two of them agree where
# $(a - a')\,x = b' - b$, which has at most one solution. These are $q(q-1)$ orders that differ in
# $q - 1$ places or more. With five cells one can read them:

# %%
five = torch.tensor([[(a * x + b) % 5 for x in range(5)] for a in range(1, 5) for b in range(5)])
nearest = permutations.hamming(five)[0]
print(f"{len(five)} orders of 5, nearest two differ in {nearest} places")
print(five[:8])

# %% [markdown]
# A larger distance is not the whole of it: in this list the pieces shown at two places give $a$ and
# $b$, and with them all the others. A network could name the order and never look at the rest. So
# the library searches instead: it adds the order that is farthest from all it has, as Noroozi and
# Favaro did. The loss is the cross-entropy over $K$ puzzles $x_k$ with their orders
# $y_k$,
#
# $$\mathcal{L}_{\mathrm{jig}} = -\frac{1}{K} \sum_{k=1}^{K} \log p(y_k \mid x_k), \qquad
# p(\cdot \mid x) = \mathrm{softmax}\; g\bigl(f(x^{(1)}), \dots, f(x^{(27)})\bigr).$$
#
# The encoder $f$ reads each piece $x^{(i)}$ by itself and does not know where it is shown. Only the
# head $g$ sees all 27 features side by side. So $f$ must put into its features what tells the
# place.
#
# ## 4. The code
#
# The pieces are cut in the order in which they are shown. Nothing has to be moved afterwards.

# %%
ssl3d.show.source(ssl3d.tasks.Jigsaw.make_views, ssl3d.tasks.Jigsaw.forward)

# %% [markdown]
# `normalised` gives each piece mean 0 and variance 1, lest its brightness tells the cell, and
# jitter keeps borders from fitting. Both close shortcuts.
#
# ## 5. Pretraining
#
# Each seed has other weights at the start, other shuffles, other jitter, the same list of orders.
# Watch the first one learn. *Stop* ends it early and keeps what was learnt; to begin anew, run the
# cell of `pairs` again.

# %%
device = volumes.device


def make_pair(seed: int, **settings) -> tuple:
    """A task and an encoder that have learnt nothing."""
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    settings = {"permutations": size["orders"]} | settings
    task = ssl3d.make_task("jigsaw", encoder, seed, **settings)
    return task.to(device), encoder.to(device)


def train(task, encoder, seed: int, callback=None) -> list:
    return ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["steps"],
        batch=12,
        learning_rate=2e-3,
        seed=seed,
        callback=callback,
    )


# %%
pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:4]), chance=1 / size["orders"])
view

# %%
histories = {}
for seed, (task, encoder) in enumerate(pairs):
    callback = view.watch if seed == 0 else None
    histories[f"seed {seed}"] = train(task, encoder, seed, callback)
tasks, encoders = zip(*pairs)

# %% [markdown]
# Training scans are known to the network by now. What counts is the score on scans that it has
# never seen: the validation cases. One puzzle a scan is few, so each is posed several times, every
# time in another order.

# %%
held_out = {}
for run, task, encoder in zip(histories, tasks, encoders):
    held_out[run] = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation * 10)
    print(run, {name: round(value, 3) for name, value in held_out[run].items()})
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* how far above the dashed line of guessing do the dots lie, the held-out scans?
# (With so many orders that line nearly touches zero.) And how far apart do the seeds end, which
# differ in chance alone? Had there been one run, which of them would you have reported?
#
# ## 6. The network's guess in 3D
#
# A guess is a whole order. **Predict before you run:** if it is the wrong one, how many of the 27
# pieces can it still put in the right place?

# %%
task, encoder = tasks[0].eval(), encoders[0]
seen = cohort.images(split.validation)
batch = task.make_views(seen, task.sample_params(seen, torch.Generator().manual_seed(1)))
with torch.inference_mode():
    predictions = task(encoder, batch).argmax(-1).cpu()
truth = batch.target.flatten().cpu()
placed = (task.permutations[predictions] == task.permutations[truth]).sum(1)  # pieces of each scan
for right in (True, False):
    of_these = placed[(predictions == truth) == right].tolist()
    print("right" if right else "wrong", f"orders: {len(of_these)}; pieces placed: {of_these}")

# %% [markdown]
# The list was made so that any two orders have hardly a piece in common. So the answer is right as
# a whole or wrong nearly everywhere; there is no half-solved puzzle. Look at one of each kind, if
# there is one, and press *put back*: on the left the pieces go home, on the right where the
# network's order would put them.

# %%
scan = int((predictions == truth).long().argmax())  # the first that is right, if any is
print("truth", int(truth[scan]), "prediction", int(predictions[scan]))
ssl3d.show.Puzzle3D(seen, batch, scan, prediction=task.permutations[predictions[scan]])

# %%
scan = int((predictions != truth).long().argmax())  # the first that is wrong, if any is
print("truth", int(truth[scan]), "prediction", int(predictions[scan]))
ssl3d.show.Puzzle3D(seen, batch, scan, prediction=task.permutations[predictions[scan]])

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
arms = {"jigsaw": encoders}
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
controls = [arm for arm in scores if arm != "jigsaw"]
for n in size["labels"]:
    means = {arm: float(np.mean(scores[arm][n])) for arm in scores}
    best = max(controls, key=means.get)
    gain = means["jigsaw"] - means[best]
    print(f"{n} labelled scans: {gain:+.3f} Dice against the best control ({best})")

# %% [markdown]
# ## Exercise
#
# How hard the puzzle is depends on $P$. Train with `permutations=2`, 10 and 100 (`make_pair(0,
# permutations=2)` does it) and compare accuracy with chance each time. Which of the three asks most
# of the encoder? Then think about 2: what is the least that a network has to find out to tell two
# orders apart that differ everywhere?
#
# <details><summary>Hint</summary>
#
# Accuracies of different $P$ cannot be compared as they stand: guessing gives $1/P$. Compare what
# was found out, in bits, $\log_2 P$ minus the loss in bits. For the second question: how many
# pieces would *you* have to look at?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# for orders in (2, 10, 100):
#     task, encoder = make_pair(0, permutations=orders)
#     train(task, encoder, seed=0)
#     score = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation * 10)
#     bits = np.log2(orders) - score["loss"] / np.log(2)
#     print(orders, "orders:", round(score["accuracy"], 2), "right,", round(float(bits), 1), "bits")
# ```
#
# Two orders that differ everywhere are told apart by a single piece: whether the one shown first is
# from this cell or from that. One feature that tells two cells apart is enough, and the encoder may
# stay blind for all else. More orders need more of the cells to be told from one another. But they
# also mean a larger last layer and fewer examples of each, so more is not always better for a given
# time. The paper has 1000, its authors' code 100.
#
# </details>
#
# ## What the literature did next
#
# - Santa Cruz et al. (CVPR 2017) gave up the list and let the network sort the pieces, with a
#   doubly stochastic matrix in place of a class.
# - Zhuang et al. (MICCAI 2019) and Zhu et al. (2020) turned the pieces as well as moving them, like
#   a Rubik's cube, and hid some of them: puzzles for CT and MRI in 3D.
# - Taleb et al. (IPMI 2021) mixed pieces of several modalities in one puzzle, so that the encoder
#   learns what they have in common.
# - Misra and van der Maaten (CVPR 2020) turned the aim round: features should *not* depend on the
#   shuffle. They found this to serve better than naming it, on photographs.
#
# ## References
#
# Misra and van der Maaten, *Self-Supervised Learning of Pretext-Invariant Representations*, CVPR
# 2020. Noroozi and Favaro, *Unsupervised Learning of Visual Representations by Solving Jigsaw
# Puzzles*, ECCV 2016. Santa Cruz et al., *DeepPermNet: Visual Permutation Learning*, CVPR 2017.
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Taleb, Lippert,
# Klein and Nabi, *Multimodal Self-Supervised Learning for Medical Image Analysis*, IPMI 2021. Zhu
# et al., *Rubik's Cube+: A Self-supervised Feature Learning Framework for 3D Medical Image
# Analysis*, Medical Image Analysis 64, 2020. Zhuang et al., *Self-supervised Feature Learning for
# 3D Medical Images by Playing a Rubik's Cube*, MICCAI 2019.

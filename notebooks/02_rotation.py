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
# # Rotation: which way was the scan turned?
#
# **You will be able to:** turn a volume by hand, and say where each voxel came from; compute the
# loss of the task in three lines; count the turns that the paper asks about, and those that it
# leaves out; train an encoder to name the turn; and judge whether an easy puzzle taught it
# anything.
#
# **Time:** 1 minute on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; much longer at `full`,
# which wants a GPU.
#
# **Before this one:** [01, volumes](01_volumes.ipynb), for axes and planes.
#
# ---
#
# A scan arrives and its header is lost: nobody knows which way is up. A radiologist looks at it for
# a second and turns it the right way. How? The cerebellum hangs below and behind, the eyes look to
# the front, the two hemispheres are left and right. To name a turn one has to know such things.
# Nobody has to label them, because the one who turned the scan knows the answer. So *Rotation* is
# the cheapest question that one can ask about anatomy (Gidaris et al. asked it of photographs in
# 2018). The doubt is whether it is too cheap: a few large shapes may be enough.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch
from ipywidgets import IntSlider, VBox

SIZES = {
    "smoke": {
        "heads": 32,
        "cases": 15,
        "filters": (4, 8),
        "edge": 16,
        "steps": 10,
        "seeds": 1,
        "labels": (2,),
        "draws": 1,
    },
    "class": {
        "heads": 64,
        "cases": 100,
        "filters": (16, 32, 64),
        "edge": 24,
        "steps": 250,
        "seeds": 2,
        "labels": (2, 5),
        "draws": 2,
    },
    "full": {
        "heads": 64,
        "cases": 200,
        "filters": (32, 64, 128),
        "edge": 24,
        "steps": 2000,
        "seeds": 5,
        "labels": (2, 5, 20),
        "draws": 3,
    },
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. Turn a head
#
# First a whole head (skull and face are taken off), on which you can see what happens. (The
# training below takes the smaller scans of the hippocampus.)

# %%
heads = ssl3d.open_cohort("ukb-brain", cases=2, edge=size["heads"])
edge = min(heads.shape)
head = heads.images([0])[:, :1, :edge, :edge, :edge]  # (scan, channel, x, y, z): one cube, T1
ssl3d.show.Volume3D(head[0], spacing=heads.spacing, title="A head, as it was scanned")

# %% [markdown]
# A quarter turn needs no interpolation. It swaps two axes and then reads one of them backwards. In
# torch: `transpose` and `flip`. **Predict before you run:** what would the swap alone do to the
# head?

# %%


def quarter_turn(volume: torch.Tensor, a: int, b: int) -> torch.Tensor:
    """A quarter of a circle from space axis ``a`` towards ``b``, of (scan, channel, x, y, z)."""
    return volume.transpose(a + 2, b + 2).flip(a + 2)


def turn_by_hand(volume: torch.Tensor, plane: tuple, quarters: int) -> torch.Tensor:
    for _ in range(quarters):
        volume = quarter_turn(volume, *plane)
    return volume


TURNS = ssl3d.tasks.geometry.quarter_turns(3)  # (plane, number of quarters), ten of them
NAMES = ssl3d.show.turn_names(dims=3)
for number, (plane, quarters) in enumerate(TURNS):
    mine = turn_by_hand(head, plane, quarters)
    same = torch.equal(mine, ssl3d.tasks.geometry.turn(head, plane, quarters))
    print(f"answer {number}: {NAMES[number]:33} in the plane of axes {plane}, by hand: {same}")

# %%
nodded = turn_by_hand(head, (1, 2), 1)
ssl3d.show.Volume3D(
    nodded[0], spacing=heads.spacing, title="A quarter turn in the plane of front and top"
)

# %% [markdown]
# *What to look at:* it is the same head, and every voxel has its old value. Letters and small axes
# are those of the *frame*; they stayed where they were. The front of the brain, which was at A, is
# now elsewhere. That is the question: the network sees what you see here, without letters, and has
# to name the turn.
#
# <details><summary>What we saw</summary>
#
# The swap alone gives a mirror image: front and top have changed places, and no turn makes a right
# hand of a left one. The flip makes it a turn. All ten turns by hand are equal to the library's,
# voxel for voxel. In the second picture the front of the brain is at the top, and the top is at the
# back.
#
# </details>
#
# ## 2. The puzzle
#
# The task cuts a cube out of a scan, and shows the network some turned copies of it. Ten turns are
# possible: none, and a quarter, a half or three quarters about each of three axes. The paper turns
# whole volumes; here the cube is the whole head.

# %%
shape = ssl3d.EncoderSettings(filters=(4, 8))  # a task is made for an encoder of some shape
whole = ssl3d.make_task("rotation", shape, crop_size=edge, rotations_per_scan=4)
params = whole.sample_params(head, torch.Generator().manual_seed(0))  # everything random
batch = whole.make_views(head, params)  # nothing random
for name, value in params.items():
    print(f"{name:8} {tuple(value.shape)} {value.tolist()}")
for copy, number in enumerate(params["rotation"][0].tolist()):
    mine = turn_by_hand(head, *TURNS[number])
    print(f"view {copy}: {NAMES[number]:33} by hand: {torch.equal(mine[0], batch.views[0, copy])}")
ssl3d.show.turns(head, batch)

# %% [markdown]
# *What to look at:* each column is a copy of the same cube, in three planes as the network gets
# them. The letters say where the body's right (R), left, front (A), back (P), top (S) and bottom
# (I) came to lie. Cover them. Which structure gives the turn away to you?
#
# **Set a draw by hand.** A draw holds all that is random, as small tensors. **Predict before you
# run:** answer 8 is a half turn in the plane of the axes 0 and 1 (right and front). Which of the
# three planes will look mirrored, and which one shows the turn itself?

# %%
TURN = 8  # change it, and run the cell again
hand = {"corner": params["corner"], "rotation": torch.tensor([[0, TURN]])}
ssl3d.show.turns(head, whole.make_views(head, hand))

# %% [markdown]
# *What to look at:* view 0 is not turned. View 1 shows the same tissue seen from elsewhere, and
# nothing is blurred.
#
# <details><summary>What we saw</summary>
#
# The axial plane shows the turn: front and back, right and left have changed places. The other two
# look mirrored, because they are now seen from behind. A mirror image of a single plane is no
# mirror image of the volume.
#
# </details>
#
# The same in 3D, with a slider. It sets the draw and the library does the rest: what you see is
# what the network gets. Drag to turn the view itself (not the cube), and move *look inside* to see
# slices deeper within.

# %%
in_3d = ssl3d.show.Puzzle3D(head, whole.make_views(head, hand))
slider = IntSlider(TURN, 0, len(TURNS) - 1, description="turn")


def set_turn(change: dict) -> None:
    hand["rotation"][0, 1] = change["new"]
    in_3d.show(head, whole.make_views(head, hand))


slider.observe(set_turn, "value")
VBox([slider, in_3d])

# %% [markdown]
# ## 3. The maths
#
# A turn $r$ takes the cube's voxel $q$ to a voxel of the scan by a matrix of whole numbers,
#
# $$p = M_r\, q, \qquad M_r = \begin{pmatrix} R_r & t_r \\ 0 & 1 \end{pmatrix}, \qquad
# R_r \in \{-1, 0, 1\}^{3 \times 3},\; \det R_r = 1,$$
#
# where $t_r$ brings the cube back into place. A determinant of 1 says that nothing is mirrored.
# All figures draw with such matrices.

# %%
plane, quarters = TURNS[TURN]
matrix = ssl3d.tasks.geometry.turn_matrix(plane, quarters, edge, dims=3)
print(matrix.int().numpy(), "determinant", int(torch.linalg.det(matrix[:3, :3]).round()))
q = torch.tensor([3.0, 5.0, 7.0, 1.0])  # a voxel of the turned cube
x, y, z = (matrix @ q).int().tolist()[:3]
turned = turn_by_hand(head, plane, quarters)
print("the voxel came from there:", bool(turned[0, 0, 3, 5, 7] == head[0, 0, x, y, z]))

# %% [markdown]
# The network answers with ten numbers, its *[logits](../docs/glossary.md#logits)* $s_0 \dots s_9$.
# They become probabilities, and the loss is the *cross-entropy*: minus the logarithm of the
# probability that the right turn has got, as a mean over $K$ turned cubes $x_k$ with their turns
# $r_k$ (section 3 of the [paper](https://arxiv.org/abs/2006.03829)),
#
# $$p(r \mid x) = \frac{e^{s_r}}{\sum_{j=0}^{9} e^{s_j}}, \qquad
# \mathcal{L}_{\mathrm{rot}} = -\frac{1}{K} \sum_{k=1}^{K} \log p(r_k \mid x_k).$$
#
# Here it is in three lines, for a network that has learnt nothing. **Predict before you run:** what
# is the loss of a network that gives each of ten turns the same probability? And in 2D, where there
# is one plane to turn in: how many turns are there?

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
device = cohort.images(split.train[:1]).device


def make_pair(seed: int) -> tuple:
    """A task and an encoder that have learnt nothing.

    Batch norm, as in the paper: the answer is read off the mean of each feature, which instance
    norm, the library's default for few labels, nearly levels out.
    """
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    task = ssl3d.make_task("rotation", encoder, seed, crop_size=size["edge"])
    return task.to(device), encoder.to(device)


task, encoder = make_pair(seed=0)
scans = cohort.images(split.train[:4])
batch = task.make_views(scans, task.sample_params(scans, torch.Generator().manual_seed(0)))
with torch.no_grad():
    logits = task(encoder, batch)  # (cube, turn)
    target = batch.target.flatten()

    share = logits.exp() / logits.exp().sum(1, keepdim=True)
    right = share[torch.arange(len(target)), target]  # the probability of the right turn
    loss = -right.log().mean()

print(f"by hand {loss:.4f}, by the library {task.loss(logits, batch):.4f}:", end=" ")
print(torch.allclose(loss, task.loss(logits, batch)))
for dims in (2, 3):
    count = len(ssl3d.tasks.geometry.quarter_turns(dims))
    print(f"{dims}D: {count} turns, guessing: {1 / count:.0%} right, loss {np.log(count):.2f}")

# %% [markdown]
# If the loss stays at the last number, nothing has been learnt.
#
# The cubes that are trained on, as the network gets them:

# %%
ssl3d.show.puzzle_slices(scans, batch)

# %% [markdown]
# *What to look at:* the box is the cube. Streaks at the border are where a small scan was padded by
# its outermost voxels; they are no anatomy.
#
# Why a cube? A longer box would change its shape when it is turned, and the shape alone would give
# the answer. Why no black padding? Black borders on two sides would do the same. Even so, a rule
# that knows no anatomy names more turns than chance: most scanners blur one axis more than the
# others, and streaks have a direction too. [Notebook 08](08_shortcuts.ipynb) breaks each task on
# purpose in such ways, and the first lines of [`rotation.py`](../ssl3d_lite/tasks/rotation.py) say
# how far the rule comes.
#
# ## 4. Pretraining
#
# Each seed has other weights at the start, other cubes, other turns. Watch the first one learn.
# *Stop* ends it early and keeps what was learnt; to begin anew, run the cell of `pairs` again.

# %%
pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:2]), names=NAMES)
view

# %%
histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(pairs):
    run = f"seed {seed}"
    histories[run] = ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["steps"],
        batch=4,
        learning_rate=2e-3,
        seed=seed,
        callback=view.watch if seed == 0 else None,
    )
    held_out[run] = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    last = np.mean([row["accuracy"] for row in histories[run][-5:]])
    print(f"{run}: {last:.1%} right in the last steps of training,", end=" ")
    print(
        f"{held_out[run]['accuracy']:.1%} on held-out scans, chance {held_out[run]['chance']:.0%}"
    )
tasks, encoders = zip(*pairs)
ssl3d.show.learning_curves(histories, held_out)

# %% [markdown]
# *What to look at:* how soon do the lines leave the dashed one? And do the dots, the held-out
# scans, lie on the ends of the lines, below, or above?
#
# **How can a network do better on scans that it has never seen?** It cannot know them better. But
# the two numbers are not measured in the same way. In training, [batch
# norm](https://arxiv.org/abs/1502.03167) takes mean and spread from the few cubes of the step; in
# testing, it takes the averages that it has collected over many steps. So ask the same questions in
# both ways, of scans it knows and of scans it does not:

# %%


def share_right(task, encoder, cases: tuple, training: bool) -> float:
    """The share of right answers, with batch norm as in training or as in testing."""
    task, encoder = deepcopy(task).train(training), deepcopy(encoder).train(training)
    generator, right = torch.Generator().manual_seed(1), []
    count = min(4, len(cases))  # scans in a step
    with torch.no_grad():
        for _ in range(3):
            for first in range(0, len(cases) - count + 1, count):
                scans = cohort.images(cases[first : first + count])
                batch = task.make_views(scans, task.sample_params(scans, generator))
                answers = task(encoder, batch).argmax(1)
                right += (answers == batch.target.flatten()).tolist()
    return float(np.mean(right))


print("                     statistics of the batch   collected statistics")
for name, cases in {"training scans": split.train, "held-out scans": split.validation}.items():
    for run, (task, encoder) in zip(histories, pairs):
        of_batch, collected = (share_right(task, encoder, cases, mode) for mode in (True, False))
        print(f"{name}, {run} {of_batch:23.1%} {collected:22.1%}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Seed 0: 73.3 % right at the end of training, 75.0 % on held-out scans. Seed 1: 74.7 % and 87.5 %.
# Both lines leave chance within the first steps, and both dots are above the ends of their lines,
# the second by far. The table shows why. From left to right, with collected statistics, each share
# is higher, by 9 to 14 points: eight cubes are too few for good statistics. Down a column, from
# known to unknown scans, it falls, by 3 to 9 points: the networks know their own scans a little
# better, as one would expect. (A dot is only 40 questions, and a luckier or less lucky 40 move it
# by several points.) So a dot above the line is no sign of a fault, and it is no sign of better
# features either. Compare a held-out score with a training score that was measured in the same way.
#
# </details>
#
# Which turns are mixed up? **Predict before you run:** a half turn and none, or two quarter turns
# about the same axis in opposite directions?

# %%
task, encoder = tasks[0].eval(), encoders[0]
generator, seen = torch.Generator().manual_seed(1), cohort.images(split.validation)
truth, predictions = [], []
for _ in range(10):
    batch = task.make_views(seen, task.sample_params(seen, generator))
    with torch.inference_mode():
        prediction = task(encoder, batch)
    truth.append(batch.target.flatten().cpu())
    predictions.append(prediction.argmax(-1).cpu())
truth, predictions = torch.cat(truth).numpy(), torch.cat(predictions).numpy()

axis = np.array([-1, 0, 0, 0, 1, 1, 1, 2, 2, 2])  # about which axis each answer turns; -1: none
wrong = predictions != truth
if wrong.any():
    same_axis = (axis[truth] == axis[predictions])[wrong].mean()
    pairs_of_answers = ~np.eye(10, dtype=bool)
    by_luck = (axis[:, None] == axis[None])[pairs_of_answers].mean()
    print(
        f"of the wrong answers {same_axis:.0%} turn about the right axis; at random {by_luck:.0%}"
    )
print(f"right: {np.mean(~wrong):.0%} of {len(truth)} held-out questions")
ssl3d.show.confusion(truth, predictions, NAMES, title="validation scans, seed 0")

# %% [markdown]
# *What to look at:* a perfect answer fills the diagonal alone. Are the mistakes spread out, or do
# they lie in blocks of three, about one axis?
#
# <details><summary>What we saw</summary>
#
# 82 % of these questions were right. Of the wrong answers 50 % turn about the right axis, where
# random mistakes would do so in 20 %. So the mistakes do lie in blocks. The largest are in the last
# block: a quarter turn about I–S is called three quarters, and the other way round, in more than a
# quarter of the cases of each. So it is the two quarter turns in opposite directions that are mixed
# up, but only about I–S; about L–R that never happens. A half turn and none are mixed up less
# often.
#
# Could the network do this without anatomy, by how blurred each axis is? Blur shows the axis of a
# quarter turn and not its direction, which fits the last block. But a half turn and none look the
# same to blur, and the network mostly knows which is which. So it has used more than that.
#
# </details>
#
# The last cubes with the network's answers, in 3D. Green is right:

# %%
number = predictions[-len(batch.target.flatten()) :].reshape(len(seen), -1)[0].tolist()
ssl3d.show.Puzzle3D(seen, batch, prediction=number)

# %% [markdown]
# ## 5. What are the features good for?
#
# The puzzle is a means. The end is to name tissue with few labels. A *[linear
# probe](../docs/glossary.md#linear-probe)* reads the frozen encoder and names each voxel, fitted on
# a few labelled scans. It is compared with [random
# encoders](../docs/glossary.md#random-encoder) of three kinds, and with [place
# alone](../docs/glossary.md#place-alone), which looks at no scan ([notebook
# 00](00_start_here.ipynb) explains these controls).

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
arms = {"rotation": encoders}
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
    best = max((arm for arm in scores if arm != "rotation"), key=means.get)
    gain = means["rotation"] - means[best]
    print(f"{n} labelled scans: {gain:+.3f} Dice against the best control ({best})")
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of the pretrained encoders above **all** controls, and above all
# their dots? If it beats one of them only, what would you have claimed with that one control?
#
# <details><summary>What we saw</summary>
#
# With 2 and 5 labels the features that learnt turns had a Dice of 0.33 and 0.557. The best control,
# *random, norm: none*, had 0.402 and 0.525: a difference of −0.072 and +0.032. With 2 labels they
# are behind even place alone (0.394). With 5 their mean is above all others, and their dots are
# not: two of four lie among those of the random encoders. Against random encoders with *batch* norm
# alone, which is what these were before training, it would have been a clear gain with 5 labels
# (0.466 there), and a small loss with 2 (0.345). So who compares with one control only, and with 5
# labels only, could have claimed a success here. Two seeds give no [verdict](../docs/verdicts.md).
#
# Compare it with the puzzle: 75.0 % and 87.5 % of the turns were named right, chance is 10 %. A
# puzzle can be solved well and teach little of what the labels ask for. To name the turn of a cube,
# a few large shapes may be enough; to draw the border of the hippocampus, they are not. In the
# stored study of real scans ([notebook 00](00_start_here.ipynb)) rotation did not gain either. The
# paper turns whole volumes of 128 voxels an edge and reports gains; on tumours and the pancreas
# [notebooks 14](14_brain_tumours.ipynb) and [15](15_pancreas.ipynb) ask again.
#
# </details>
#
# ## Exercise
#
# A cube can be put down in 24 ways (six faces, four turns of each), but the task has ten turns.
# Which orientations are left out? Do two turns one after the other reach them all? And what would
# you change in the task to ask about all 24?
#
# <details><summary>Hint</summary>
#
# Multiply the matrices of every pair of turns and count how many different products there are.
# `ssl3d.tasks.geometry.turn_matrix(plane, quarters, edge, 3)[:3, :3]` is the turn without the
# shift.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# geometry = ssl3d.tasks.geometry
# once = [geometry.turn_matrix(plane, k, 2, 3)[:3, :3] for plane, k in geometry.quarter_turns(3)]
# print(len({tuple((a @ b).flatten().tolist()) for a in once for b in once}))
# ```
#
# It prints 24: two turns are enough. Left out are the 14 that turn about no axis of the volume: 8
# by a third of a circle about a diagonal of the cube, and 6 by a half about a line through the
# middles of two opposite edges. To ask about all, `Rotation` would keep a list of pairs of turns,
# `make_views` would apply both, and the head would have 24 outputs. Everything else stays.
#
# </details>
#
# ## What the literature did next
#
# - Kolesnikov, Zhai and Beyer (CVPR 2019) compared rotation, jigsaw, exemplar and relative location
#   on photographs: which one wins depends on the network, so no ranking holds by itself.
# - Zhuang et al. (MICCAI 2019) turned and moved the pieces of a volume like a Rubik's cube, for
#   segmentation of brain tumours among others.
# - Tang et al. (CVPR 2022) pretrained a Swin transformer on 5,050 CT scans with rotation as one of
#   three tasks, together with inpainting and contrastive coding.
# - Since He et al. (CVPR 2022) much of the field fills in masked parts instead; Wald et al. (CVPR
#   2025) compare this carefully in 3D. It is [notebook 07](07_masked_reconstruction.ipynb).
#
# **Next:** [03, relative location](03_relative_location.ipynb), a puzzle that needs two patches.
#
# ## References
#
# - Gidaris et al., [Unsupervised Representation Learning by Predicting Image
#   Rotations](https://arxiv.org/abs/1803.07728), ICLR 2018.
# - He et al., [Masked Autoencoders Are Scalable Vision
#   Learners](https://arxiv.org/abs/2111.06377), CVPR 2022.
# - Kolesnikov, Zhai and Beyer, [Revisiting Self-Supervised Visual Representation
#   Learning](https://arxiv.org/abs/1901.09005), CVPR 2019.
# - Taleb et al., [3D Self-Supervised Methods for Medical
#   Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020.
# - Tang et al., [Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image
#   Analysis](https://arxiv.org/abs/2111.14791), CVPR 2022.
# - Wald et al., [Revisiting MAE pre-training for 3D medical image
#   segmentation](https://arxiv.org/abs/2410.23132), CVPR 2025.
# - Zhuang et al., [Self-supervised Feature Learning for 3D Medical Images by Playing a Rubik's
#   Cube](https://arxiv.org/abs/1910.02241), MICCAI 2019.

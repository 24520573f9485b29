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
# **You will be able to:** turn a scan by hand and say where each voxel came from; count the turns
# that the paper asks about, and those that it leaves out; train an encoder to name the turn; and
# judge whether an easy puzzle taught it anything.
#
# **Time:** about two minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; much longer at
# `full`, which wants a GPU.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from ipywidgets import IntSlider, VBox

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "edge": 16, "steps": 10, "seeds": 1}
    | {"labels": (2,), "draws": 1},
    "class": {"cases": 100, "filters": (16, 32, 64), "edge": 24, "steps": 250, "seeds": 2}
    | {"labels": (2, 5), "draws": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "edge": 24, "steps": 2000, "seeds": 5}
    | {"labels": (2, 5, 20), "draws": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# Cut a cube out of a scan, turn it by a quarter, a half or three quarters of a circle about one
# axis, or leave it as it is. Which of the ten was it? Someone who has never seen a brain cannot
# say. Someone who knows where up, front and left are in the anatomy can. So the answer costs no
# label, and still asks for anatomy.

# %%
# batch norm, as in the paper: the answer is read off the mean of each feature, which instance
# norm, our default for few labels, nearly levels out
encoder = ssl3d.make_encoder(cohort, seed=0, norm="batch", filters=size["filters"])
task = ssl3d.make_task("rotation", encoder, seed=0, crop_size=size["edge"], rotations_per_scan=4)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.turns(volumes, batch)

# %% [markdown]
# *What to look at:* each column is a copy of the same cube, in three planes as the network gets
# them. The letters say where the body's right (R), left, front (A), back (P), top (S) and bottom
# (I) came to lie. Cover letters and answers: which structure gives the turn away to you?
#
# ## 2. Set a draw by hand
#
# A draw holds all that is random, as small tensors: where the cube of each scan lies, and which
# turns its copies get.

# %%
for name, value in params.items():
    print(f"{name:7}", tuple(value.shape), value.tolist())
NAMES = ssl3d.show.turn_names(dims=3)
for number, (plane, _) in enumerate(task.turns):
    print(f"answer {number}: {NAMES[number]:12} in the plane of the axes {plane}")

# %% [markdown]
# Axis 0 runs to the patient's right, 1 to the front, 2 up. **Predict before you run:** answer 8
# is a half turn in the plane of the axes 0 and 1. Which of the three planes will look as if they
# had been mirrored, and which shows the turn itself?

# %%
TURN = 8  # change it, and run the cell again
hand = {"corner": params["corner"][:1], "rotation": torch.tensor([[0, TURN]])}
ssl3d.show.turns(volumes[:1], task.make_views(volumes[:1], hand))

# %% [markdown]
# *What to look at:* view 0 is not turned. View 1 shows the same tissue seen from elsewhere, and
# nothing is blurred: a quarter turn only puts voxels in another order. (Where two planes look
# mirrored, they are seen from behind.)
#
# The same in 3D, with a slider. It sets the draw and the library does the rest: what you see is
# what the network gets. Drag to turn the view itself (not the cube), and move *look inside* to see
# slices deeper within.

# %%
in_3d = ssl3d.show.Puzzle3D(volumes[:1], task.make_views(volumes[:1], hand))
slider = IntSlider(TURN, 0, len(task.turns) - 1, description="turn")


def set_turn(change: dict) -> None:
    hand["rotation"][0, 1] = change["new"]
    in_3d.show(volumes[:1], task.make_views(volumes[:1], hand))


slider.observe(set_turn, "value")
VBox([slider, in_3d])

# %% [markdown]
# And the cube in its scan. Scroll with the mouse wheel or the arrow keys; a click into the box
# names the copy that lies there.

# %%
ssl3d.show.puzzle_slices(volumes, batch)

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
EDGE = task.settings.crop_size
plane, quarters = task.turns[TURN]
print(ssl3d.tasks.geometry.turn_matrix(plane, quarters, EDGE, dims=3).int().numpy())
cube = volumes[:1, :, :EDGE, :EDGE, :EDGE]
turned = ssl3d.tasks.geometry.turn(cube, plane, quarters)
there_and_back = ssl3d.tasks.geometry.turn(turned, plane, 4 - quarters)
print("turned back, every voxel is where it was:", torch.equal(there_and_back, cube))

# %% [markdown]
# The network answers with a probability for each of the ten turns, and the loss is the
# cross-entropy over $K$ turned cubes $x_k$ with their turns $r_k$ (section 3 of the paper),
#
# $$\mathcal{L}_{\mathrm{rot}} = -\frac{1}{K} \sum_{k=1}^{K} \log p(r_k \mid x_k), \qquad
# r_k \in \{0, \dots, 9\}.$$
#
# In 2D there is one plane to turn in. **Predict before you run:** how many turns are there, and
# what do you score by guessing?

# %%
for dims in (2, 3):
    turns = ssl3d.tasks.geometry.quarter_turns(dims)
    print(f"{dims}D: {len(turns)} turns, so guessing is right in {1 / len(turns):.0%}")

# %% [markdown]
# A guess among ten costs $\log 10 \approx 2.3$. If the loss stays there, nothing has been learnt.
#
# ## 4. The code
#
# The heart of the task is to make the copies. It loops over ten turns, never over scans.

# %%
ssl3d.show.source(ssl3d.tasks.Rotation.make_views)

# %% [markdown]
# Why a cube? A longer box would change its shape when it is turned, and the shape alone would tell.
# Why no padding? Black borders on two sides would tell as well. A puzzle that can be answered
# without looking at the anatomy teaches no anatomy; notebook 08 breaks each task on purpose.
#
# ## 5. Pretraining
#
# Each seed has other weights at the start, other cubes, other turns. Watch the first one learn.
# *Stop* ends it early and keeps what was learnt; to begin anew, run the cell of `pairs` again.

# %%
device = volumes.device


def make_pair(seed: int) -> tuple:
    """A task and an encoder that have learnt nothing."""
    encoder = ssl3d.make_encoder(cohort, seed, norm="batch", filters=size["filters"])
    task = ssl3d.make_task("rotation", encoder, seed, crop_size=size["edge"])
    return task.to(device), encoder.to(device)


def train(task, encoder, seed: int, callback=None) -> list:
    return ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["steps"],
        batch=4,
        learning_rate=2e-3,
        seed=seed,
        callback=callback,
    )


# %%
pairs = [make_pair(seed) for seed in range(size["seeds"])]
view = ssl3d.show.Live(*pairs[0], cohort.images(split.validation[:2]), names=NAMES)
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
# *What to look at:* how soon do the lines leave the dashed one, and do the dots, the held-out
# scans, lie on the lines or below?
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
ssl3d.show.confusion(truth, predictions, NAMES, title="validation scans, seed 0")

# %% [markdown]
# *What to look at:* a perfect answer fills the diagonal alone. Are the mistakes spread out, or do
# they lie about one axis?
#
# ## 6. What are the features good for?
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
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of the pretrained encoders above **all** controls, and above all
# their dots? If it beats one of them only, what would you have claimed with that one control?

# %%
controls = [arm for arm in scores if arm != "rotation"]
for n in size["labels"]:
    means = {arm: float(np.mean(scores[arm][n])) for arm in scores}
    best = max(controls, key=means.get)
    gain = means["rotation"] - means[best]
    print(f"{n} labelled scans: {gain:+.3f} Dice against the best control ({best})")
solved = held_out["seed 0"]
print(f"turns named on held-out scans: {solved['accuracy']:.0%}, chance {solved['chance']:.0%}")

# %% [markdown]
# The last lines stand side by side on purpose. A puzzle can be solved well and teach little of what
# the labels ask for: to name the turn of a cube, a few large shapes are enough. **Predict before
# you run:** make the cube larger (`"edge": 32` in `SIZES` above). Is the puzzle easier or harder,
# and are the features better or worse? The paper turns whole volumes of 128 voxels an edge; what
# this is worth for tumours, notebooks 14 and 15 ask.
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
#   three tasks, beside inpainting and contrastive coding.
# - Since He et al. (CVPR 2022) much of the field fills in masked parts instead; Wald et al. (CVPR
#   2025) compare this carefully in 3D. It is this package's sixth task, `masked`.
#
# ## References
#
# Gidaris, Singh and Komodakis, *Unsupervised Representation Learning by Predicting Image
# Rotations*, ICLR 2018. He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022.
# Kolesnikov, Zhai and Beyer, *Revisiting Self-Supervised Visual Representation Learning*, CVPR
# 2019. Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Tang et al.,
# *Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis*, CVPR 2022.
# Wald et al., *Revisiting MAE Pre-training for 3D Medical Image Segmentation*, CVPR 2025. Zhuang et
# al., *Self-supervised Feature Learning for 3D Medical Images by Playing a Rubik's Cube*, MICCAI
# 2019.

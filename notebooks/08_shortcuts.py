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
# # Shortcuts: solve each puzzle without anatomy, and catch it
#
# **You will be able to:** solve a jigsaw, relative location and rotation without a network; build
# a shortcut that lifts the score of a proxy task while the features gain nothing; and name the
# check that catches it before a reviewer does.
#
# **Time:** 1.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where every step runs but the numbers mean little.
#
# **Before this one:** [02, rotation](02_rotation.ipynb), [03,
# location](03_relative_location.ipynb), [04, jigsaw](04_jigsaw.ipynb) and [06, CPC](06_cpc.ipynb)
# explain the puzzles that are broken here.
#
# A network was trained to find pneumonia on chest X-rays of several hospitals, and it was good at
# it. But it could also name, nearly without fail, the hospital that a picture came from. Small
# things give that away, such as the metal mark that technicians lay on the patient. And some
# hospitals have many more patients with pneumonia, so the hospital alone was a good part of the
# answer (Zech et al. 2018).
#
# A **[shortcut](../docs/glossary.md#shortcut)** is an answer that needs no understanding. [Proxy
# tasks](../docs/glossary.md#proxy-task) invite shortcuts more than most tasks do. Nobody wants
# their answers, so nobody notices when they come too easily.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "seeds": 1},
    "class": {"cases": 60, "filters": (16, 32, 64), "steps": 300, "seeds": 3},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1500, "seeds": 6},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
heads = ssl3d.open_cohort("brats", cases=size["cases"] // 4, edge=60)  # brains, for the jigsaw
split = cohort.split()
scans = cohort.images(range(len(cohort))).cpu()
whole_heads = heads.images(range(len(heads)))[:, :1].cpu()  # the first channel
shape = ssl3d.EncoderSettings(filters=size["filters"])


def table(head, rows):
    """Print a small table; fractions in per cent."""
    cells = [[f"{c:.1%}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for line in (head, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


# %% [markdown]
# ## 1. Two checks that need no training
#
# Let $x$ be a scan, and $y$ the answer to a puzzle made from it. An honest puzzle can only be
# answered by what the anatomy shows. That gives two checks.
#
# - **The noise test.** Put noise $\varepsilon$ in the place of the scan. There is no anatomy in it,
#   so nobody can do better than guess: $p(y \mid \varepsilon) = 1/K$ for $K$ answers. What does
#   better on noise has found a shortcut.
# - **The solver without a network.** Give a handful of crude numbers to a rule of one line, or to a
#   logistic regression. What they solve, a network can solve too, and will not need to learn more.
#
# The noise has to be smooth, as scans are: in white noise neighbouring voxels are unrelated, and
# borders that fit would go unnoticed.


# %%
def smooth_noise(like, seed=0):
    """Noise in the shape of some scans (scan, channel, x, y, z), alike from voxel to voxel."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    for axis in (2, 3, 4, 2, 3, 4):  # twice each: nearly a Gaussian filter, sigma 1 voxel
        noise = (noise.roll(-1, axis) + 2 * noise + noise.roll(1, axis)) / 4
    return noise / noise.std()


noise = smooth_noise(scans)
figure = Figure(figsize=(5, 2.6), layout="constrained")
for axes, volume, title in zip(
    figure.subplots(1, 2), (scans, noise), ("scan", "noise"), strict=True
):
    ssl3d.show.draw_plane(axes, volume[0, 0].numpy(), 1)
    axes.set_title(title)
figure

# %% [markdown]
# *What to look at:* left a coronal plane of a scan, right what stands in its place. Nobody can say
# which way the right one was turned.
#
# ## 2. Jigsaw: lines run on from piece to piece
#
# If the pieces touch, the last plane of one goes on in the first plane of the next. The paper's
# pieces touch: cells of 42 voxels hold a piece of 39 that may move by 3
# ([the presets](../docs/presets.md) have the sum). Here is such a jigsaw of a whole brain, first by
# hand: cut 27 pieces, give each mean 0 and variance 1, and put them into the order of one of 100
# permutations.

# %%
EDGE = 20  # three times 20 voxels are the whole edge of the volume: no gap is left
touching = ssl3d.make_task("jigsaw", shape, patch=EDGE, jitter=0)
one = whole_heads[:1]
params = touching.sample_params(one, torch.Generator().manual_seed(1))
order = touching.permutations[params["permutation"][0, 0]]  # the place → the piece shown there

pieces = one[0, 0].unfold(0, EDGE, EDGE).unfold(1, EDGE, EDGE).unfold(2, EDGE, EDGE)
pieces = pieces.reshape(27, EDGE, EDGE, EDGE)
mean = pieces.mean((1, 2, 3), keepdim=True)
variance = pieces.var((1, 2, 3), correction=0, keepdim=True)
shuffled = ((pieces - mean) / (variance + 1e-5).sqrt())[order]

puzzle = touching.make_views(one, params)
print("as the library's:", torch.allclose(shuffled, puzzle.views[0, :, 0], atol=1e-4))
print("shown first, second, third: pieces", order[:3].tolist(), "of", len(order))

# %%
ssl3d.show.Puzzle3D(one, puzzle)

# %% [markdown]
# *What to look at:* left as the network gets them, right put back. Follow the outline of the brain
# from cube to cube: put back, it closes. You need to know nothing of anatomy to see that.
#
# So write the solver. For each of the 100 permutations, lay the pieces out by it, and add up how
# well facing planes correlate. The best sum is the answer. Nothing is learnt.


# %%
def border(views, axis, side):
    """A border plane of each piece, as a vector of mean 0 and length 1: (scan, piece, voxel)."""
    plane = views.select(2 + axis, side).flatten(2)
    return torch.nn.functional.normalize(plane - plane.mean(-1, keepdim=True), dim=-1)


def match_borders(task, volumes):
    """The share of jigsaws solved by the permutation whose facing planes correlate most."""
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    views, cells = batch.views[:, :, 0], torch.arange(27).view(3, 3, 3)
    shown_at = task.permutations.argsort(1)  # permutation, cell → the place it is shown at
    total = torch.zeros(len(views), len(shown_at))
    for axis in range(3):
        match = border(views, axis, -1) @ border(views, axis, 0).mT  # (scan, piece, next piece)
        before, behind = (cells.narrow(axis, start, 2).flatten() for start in (0, 1))
        total += match[:, shown_at[:, before], shown_at[:, behind]].sum(-1)
    return float((total.argmax(1) == batch.target[:, 0]).float().mean())


kinds = {
    "pieces touch": touching,
    "gaps of 6 voxels": ssl3d.make_task("jigsaw", shape, patch=14, jitter=0),
    "gaps and jitter": ssl3d.make_task("jigsaw", shape, patch=11, jitter=3, gap=6),
}
noise_heads = smooth_noise(whole_heads)
rows = [
    (name, match_borders(task, noise_heads), match_borders(task, whole_heads), 0.01)
    for name, task in kinds.items()
]
table(("puzzle", "solved on noise", "solved on brains", "chance"), rows)
print(len(whole_heads), "puzzles each")

# %% [markdown]
# **Why are the gaps needed, if each piece is normalised?** Because that takes away the brightness
# of a piece, not the lines in it.
#
# <details><summary>What we saw</summary>
#
# Touching pieces were put back in 100.0 % of puzzles of noise and in 100.0 % of brains, where
# guessing gives 1 %. No network, no training, no anatomy. With gaps the rule solved 6.7 % on noise,
# which is one puzzle of 15.
#
# On brains, gaps alone did not help: the rule still solved 100.0 %. The outline of a brain, and its
# large light and dark parts, change little over 6 voxels, so facing planes are still alike. A
# shift of each piece at random takes much of that away, and not all: 33.3 % is five puzzles of 15,
# and far above chance. So gap and jitter make this door narrow. On whole brains they do not shut
# it. (These are few puzzles: one more or less is nearly 7 %.)
#
# </details>
#
# ## 3. Relative location: brightness is an address
#
# The coil of an MRI scanner receives more from what is near it. So one side of the scan is
# brighter, and brightness alone says where a patch lies. The library gives each patch mean 0 and
# variance 1 (`normalise=True`). The solver gets two numbers a patch, its mean and its deviation,
# rounded to one hundredth. A second, more suspicious solver gets three others: how brightness
# rises along each axis *within* the patch.


# %%
def solve(task, volumes, describe):
    """Accuracy on validation scans of a logistic regression that sees what `describe` says."""
    generator = torch.Generator().manual_seed(0)

    def puzzles(cases):
        chosen = volumes[list(cases)]
        batches = [task.make_views(chosen, task.sample_params(chosen, generator)) for _ in range(6)]
        crude = np.concatenate([describe(batch) for batch in batches])
        return crude, np.concatenate([batch.target.flatten() for batch in batches])

    crude, answers = puzzles(split.pretrain)
    mean, deviation = crude.mean(0), crude.std(0) + 1e-9
    model = LogisticRegression(max_iter=1000).fit((crude - mean) / deviation, answers)
    crude, answers = puzzles(split.validation)
    return float(model.score((crude - mean) / deviation, answers))


def brightness(batch):
    """Mean and standard deviation of the centre patch and of the query."""
    views = batch.views[:, :, 0].flatten(2)
    return pairs(torch.stack([views.mean(-1), views.std(-1)], -1))


def slope(batch):
    """How brightness rises along each axis within the centre patch and within the query."""
    views, ramp = batch.views[:, :, 0], torch.linspace(-1, 1, batch.views.shape[-1])
    rises = [(views.movedim(axis, -1) * ramp).flatten(2).mean(-1) for axis in (2, 3, 4)]
    return pairs(torch.stack(rises, -1))


def pairs(numbers):
    """(scan, patch, number) → the numbers of a query, next to those of its centre."""
    centre = numbers[:, :1].expand_as(numbers[:, 1:])
    return torch.cat([centre, numbers[:, 1:]], -1).flatten(0, 1).numpy().round(2)


# %%
places = np.meshgrid(*[np.linspace(-1, 1, n) for n in cohort.shape], indexing="ij")
coil = np.exp(-sum((p - at) ** 2 for p, at in zip(places, (0.8, -0.7, 0.5), strict=True)) / 4)
coil = torch.tensor(coil, dtype=torch.float32)  # bright near one corner
in_coil = (noise + 3) * coil
rows = []
for name, volumes in {
    "noise": noise,
    "noise in a coil": in_coil,
    "scans in a coil": (scans + 3) * coil,
}.items():
    for normalise in (False, True):
        task = ssl3d.make_task("rpl", shape, queries_per_scan=26, normalise=normalise)
        solved = [solve(task, volumes, describe) for describe in (brightness, slope)]
        rows.append((name, "yes" if normalise else "no", *solved, 1 / 26))
table(("volumes", "normalised", "by brightness", "by slope", "chance"), rows)

# %%
cells = torch.nn.functional.avg_pool3d(in_coil.mean(0, keepdim=True), (13, 18, 13))[0, 0]
figure = Figure(figsize=(7.5, 2.6), layout="constrained")
left, *others = figure.subplots(1, 4)
ssl3d.show.draw_plane(left, in_coil[0, 0].numpy(), 2)
left.set_title("noise in a coil", fontsize=9)
for layer, axes in enumerate(others):
    axes.imshow(cells[..., layer].T, cmap="gray", origin="lower", vmin=0, vmax=float(cells.max()))
    axes.set_title(f"brightness of the cells,\nlayer {layer}", fontsize=9)
    axes.set_axis_off()
figure

# %% [markdown]
# *What to look at:* each of the 27 cells has its own grey, so grey is an address. In the table,
# does "normalised" shut both doors?
#
# <details><summary>What we saw</summary>
#
# In a coil, without normalisation, two numbers a patch gave the place away in 24.4 % of noise
# patches, where chance is 3.8 %. With normalisation brightness said nothing any more: 3.8 %. But
# the slope within a patch still gave away 9.6 %: what is left of the coil in a patch is that one
# side is brighter. No normalisation of patches takes that away. Correct the field when you
# *prepare* the scans (N4, Tustison et al. 2010).
#
# On scans in the coil the slope had 20.5 %. Some of this is the coil, and some is anatomy, since a
# scan has bright and dark sides of its own. Only noise tells the two apart.
#
# </details>
#
# ## 4. Rotation: blur and black borders give the turn away
#
# The paper turns whole volumes, resized to cubes. Two ways to spoil this:
#
# - **Padded.** The scan is flat, and black voxels at top and bottom make it a cube. The black sides
#   turn with it.
# - **Smeared.** The turn is done by a routine that interpolates. Turned copies are then a little
#   blurred in the plane of the turn, and the copy that was not turned is sharp. A network notices
#   at once; a person never does.


# %%
class Padded(ssl3d.tasks.Rotation):
    """Of each cube six voxels at top and bottom are black."""

    def make_views(self, volumes, params):
        z = torch.arange(volumes.shape[-1]) - params["corner"][:, 0, 2:]  # within the cube
        inside = ((z >= 6) & (z < self.settings.crop_size - 6))[:, None, None, None]
        flat = volumes.where(inside.to(volumes.device), volumes.amin())
        return super().make_views(flat, params)


class Smeared(ssl3d.tasks.Rotation):
    """What is turned is resampled half a voxel off, as an interpolating routine may do."""

    def make_views(self, volumes, params):
        batch = super().make_views(volumes, params)
        for number, (plane, _) in enumerate(self.turns[1:], start=1):
            chosen = params["rotation"] == number
            for axis in plane:
                views = batch.views[chosen]
                batch.views[chosen] = (views + views.roll(1, 2 + axis)) / 2
        return batch


def make(kind, seed=0, **settings):
    """A task of a class of our own, its head drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(kind.Settings(**settings), shape)


kinds = {"honest": ssl3d.tasks.Rotation, "padded": Padded, "smeared": Smeared}
figure = Figure(figsize=(7.2, 2.7), layout="constrained")
for axes, (name, kind) in zip(figure.subplots(1, 3), kinds.items(), strict=True):
    task = make(kind, crop_size=24)
    params = task.sample_params(scans[:1], torch.Generator().manual_seed(0))
    params["rotation"] = torch.tensor([[0, 1]])  # not turned, and 90 degrees around the first axis
    cube = task.make_views(scans[:1], params).views[0, 1, 0]
    ssl3d.show.draw_plane(axes, cube.numpy(), 0)  # the plane of the turn
    axes.set_title(f"{name}, turned", fontsize=9)
figure

# %% [markdown]
# *What to look at:* the same cube after the same quarter turn. Padded, its black sides say that it
# was turned. Smeared, it is a little blurred, as a turn of whole quarters should never be.
#
# **Predict before you run.** There are ten turns: none, and 90, 180 and 270 degrees around each of
# three axes. How often is someone right who sees nothing but the black sides? And someone who sees
# nothing but the axes along which it is blurred?
#
# <details><summary>Answer</summary>
#
# The black sides sort the ten turns into three groups: six leave them at top and bottom, two bring
# them to each of the other axes. One turn in each group can be right, so 3 of 10: 30 %. Blur sorts
# them into four groups (none, and one for each axis): 40 %. Chance is 10 %.
#
# </details>


# %%
def sides_and_sharpness(batch):
    """Nine numbers a view: contrast on each of its six sides, sharpness along its three axes."""
    views, numbers = batch.views.flatten(0, 1)[:, 0], []
    for axis in (1, 2, 3):
        numbers += [views.select(axis, side).flatten(1).std(1) for side in (0, -1)]
        numbers.append(views.diff(dim=axis).flatten(1).std(1))
    return torch.stack(numbers, 1).numpy()


rows = [
    (
        kind.__name__,
        *(solve(make(kind, crop_size=24), v, sides_and_sharpness) for v in (noise, scans)),
        0.1,
    )
    for kind in (ssl3d.tasks.Rotation, Padded, Smeared)
]
table(("task", "solved on noise", "solved on scans", "chance"), rows)

# %% [markdown]
# *What to look at:* the column "on noise". On scans even the honest task may lie above chance.
# Brains are brighter on one side than on the other, and scans are sharper along one axis. So the
# noise test is the one by which to judge the *task*, and the column "on scans" the one to subtract
# from a network's *score*.
#
# ### A rim that you did not know of
#
# You may think that nothing is padded here. But crops of the hippocampus differ in size, and the
# recipe brings them to one shape by repeating the outermost voxels. Where a voxel equals its
# neighbour exactly, there was no scan. Do repeated planes give a turn away?


# %%
def rim(batch):
    """For each of a view's six sides, how many planes repeat the one next to them."""
    views, widths = batch.views.flatten(0, 1)[:, 0], []
    for axis in (1, 2, 3):
        across = [a for a in (1, 2, 3) if a != axis]
        same = views.diff(dim=axis).abs().amax(across) == 0
        widths += [s.long().cumprod(1).sum(1) for s in (same, same.flip(1))]
    return torch.stack(widths, 1).float().numpy()


edges = (16, 24, 32, min(cohort.shape))
table(
    ("edge of the cube", "solved by the rim alone", "chance"),
    [(edge, solve(make(ssl3d.tasks.Rotation, crop_size=edge), scans, rim), 0.1) for edge in edges],
)

# %%
image = scans[split.train[0], 0].numpy()
repeated = (np.diff(image, axis=0, prepend=np.nan) == 0) | (
    np.diff(image, axis=2, prepend=np.nan) == 0
)
figure = Figure(figsize=(5, 2.6), layout="constrained")
left, right = figure.subplots(1, 2)
for axes, title in ((left, "a scan"), (right, "voxels that repeat a neighbour")):
    ssl3d.show.draw_plane(axes, image, 1)
    axes.set_title(title, fontsize=9)
ssl3d.show.overlay_classes(right, repeated.astype(np.uint8), 1, image.shape[1] // 2)
figure

# %% [markdown]
# *What to look at:* on the right, in colour, voxels that repeat a neighbour: the rim.
#
# <details><summary>What we saw</summary>
#
# On noise nine numbers solved 12.5 % of honest rotations, 26.4 % of padded and 38.9 % of smeared
# ones. So they came near to what the answer above computes, and honest rotation stayed near chance:
# these are 144 questions, so 12.5 % is no sign of a shortcut.
#
# On scans the same nine numbers solved 45.1 %, 40.3 % and 68.1 %. A score of a network on smeared
# rotation says something only above 68.1 %, and on honest rotation only above 45.1 %. Keep the last
# number in mind: section 5 trains networks on honest rotation.
#
# The rim alone gave away 12.5 % in cubes of 16 voxels, and 37.5 % in cubes of 40, which reach the
# border of the scan. Cut cubes small enough to lie within the scan.
#
# </details>
#
# ## 5. A shortcut that raises the score
#
# Now train networks. The shortcut is the technician's mark of the introduction: a bright L, with
# one long and one short arm, in one corner of every cube. The mark turns with the scan, and there
# is no anatomy in it.


# %%
class Marked(ssl3d.tasks.Rotation):
    """A mark is burnt into the scans: a bright L of two arms, near a corner of the cube."""

    def make_views(self, volumes, params):
        marked, bright = volumes.clone(), volumes.amax()
        for scan, corner in enumerate(params["corner"][:, 0].tolist()):
            x, y, z = corner
            marked[scan, :, x : x + 14, y : y + 3, z : z + 3] = bright
            marked[scan, :, x : x + 3, y : y + 8, z : z + 3] = bright
        return super().make_views(marked, params)


marked = make(Marked, crop_size=24)
params = marked.sample_params(scans[:1], torch.Generator().manual_seed(0))
params["rotation"] = torch.tensor([[0, 1, 4]])  # set by hand: none, 90 degrees around two axes
cubes = marked.make_views(scans[:1], params)
turned = cubes.views[0, :, 0]
print("a turn by hand:", torch.equal(turned[1], turned[0].rot90(1, marked.turns[1][0])))

figure = Figure(figsize=(6.4, 2.6), layout="constrained")
for cube, axes, name in zip(turned, figure.subplots(1, 3), params["rotation"][0], strict=True):
    axes.imshow(cube.amax(2).T, cmap="gray", origin="lower")  # the brightest along each line
    axes.set_title(marked.answers[name], fontsize=9)
    axes.set(xticks=(), yticks=())  # the frame stays: the mark is white
figure

# %% [markdown]
# *What to look at:* one cube in three turns, seen through from above. Around the mark there is
# anatomy, which a network may now ignore. The same cube as a volume, the mark as a label:

# %%
ssl3d.show.Volume3D(
    turned[1],
    (turned[1] == turned[1].max()).int(),
    label_names=("", "mark"),
    title=f"A marked cube after {marked.answers[1]}",
)

# %% [markdown]
# **Predict before you run.** Two tasks, the same number of steps: honest rotation, and rotation
# with the mark. Which has the better score? Which has the better features? And what will each
# score on noise?


# %%
def on_noise(cohort):
    """The same cohort with smooth noise in the place of every scan."""
    fields = {name: getattr(cohort, name) for name in cohort.__dataclass_fields__}
    noisy, labels = noise.to(cohort.images([0]).device), cohort.labels(range(len(cohort)))
    return type(cohort)(**fields | {"resident": (noisy, labels)})


def train(kind, here, seed=0):
    """Pretrain, and score on validation cases."""
    task, encoder = make(kind, seed, crop_size=24), ssl3d.make_encoder(shape, seed)
    ssl3d.pretrain(task, encoder, here, steps=size["steps"], batch=4, learning_rate=2e-3, seed=seed)
    scores = [
        ssl3d.evaluation.proxy_score(task, encoder, here, split.validation, batch=4, seed=s)
        for s in range(10)
    ]
    return encoder, float(np.mean([score["accuracy"] for score in scores]))


honest, broken = "rotation, honest", "rotation, marked"
kinds = {honest: ssl3d.tasks.Rotation, broken: Marked}
trained = {
    name: [train(kind, cohort, seed) for seed in range(size["seeds"])]
    for name, kind in kinds.items()
}
noisy = on_noise(cohort)
on_noise_too = {name: train(kind, noisy) for name, kind in kinds.items()}
rows = []
for name in kinds:
    scores = [score for _, score in trained[name]][:3]
    rows.append((name, "scans", *scores, 0.1))
    rows.append((name, "noise", on_noise_too[name][1], *["–"] * (len(scores) - 1), 0.1))
seeds = [f"seed {seed}" for seed in range(min(3, size["seeds"]))]
table(("task", "trained on", *seeds, "chance"), rows)

# %% [markdown]
# Those are the scores of the puzzle on validation patients. Now the features, by a
# [linear probe](../docs/glossary.md#linear-probe) with two labelled scans, next to random encoders
# and [place alone](../docs/glossary.md#place-alone).

# %%
labelled = [cohort.subset(split.train, 2, draw) for draw in range(4)]
device = cohort.images([0]).device
arms = {name: [encoder for encoder, _ in runs] for name, runs in trained.items()}
arms["marked, on noise"] = [on_noise_too[broken][0]]  # it has never seen a scan
for norm in ("instance", "none"):
    starts = [ssl3d.make_encoder(shape, seed, norm=norm) for seed in range(size["seeds"])]
    arms[f"random, norm: {norm}"] = [start.to(device) for start in starts]
probes = {  # arm → for each encoder, the Dice of each draw of two labelled scans
    arm: [
        [r.score for r in ssl3d.evaluation.linear_probes(each, cohort, labelled, split.test)]
        for each in encoders
    ]
    for arm, encoders in arms.items()
}
probes["place alone"] = [
    [ssl3d.evaluation.evaluate_place(cohort, draw, split.test).score for draw in labelled]
]
for arm, runs in probes.items():
    print(
        f"{arm:22} {np.mean(runs):.3f}   by seed", [round(float(np.mean(run)), 3) for run in runs]
    )
gain = [np.mean(b) - np.mean(a) for a, b in zip(probes[honest], probes[broken], strict=True)]
print(f"marked minus honest: {np.mean(gain):+.3f}   by seed", [f"{each:+.3f}" for each in gain])

# %%
figure = Figure(figsize=(7.6, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(2, 5))
for number, name in enumerate(kinds):
    scores = [score for _, score in trained[name]]
    left.plot([number] * len(scores), scores, "o", color=ssl3d.show.COLOURS[number])
left.axhline(0.1, color="black", linestyle="--", linewidth=1)
left.set(ylabel="score of the puzzle (dashed: chance)", ylim=(0, 1.05), xlim=(-0.5, 1.5))
left.set_xticks(range(2), ["honest", "marked"])
for number, runs in enumerate(probes.values()):
    for shift, run in enumerate(runs):
        at = number + 0.2 * shift
        right.plot([at] * len(run), run, ".", color=ssl3d.show.COLOURS[number], alpha=0.5)
        right.plot(at, np.mean(run), "_", color=ssl3d.show.COLOURS[number], markersize=16)
right.set_xticks(range(len(probes)), [arm.replace(", ", "\n") for arm in probes], fontsize=7)
right.set_ylabel("mean Dice of the probe")
ssl3d.show.tidy(left, right)
figure

# %% [markdown]
# *What to look at:* left the score of the puzzle, a dot a seed. Right the worth of the features: a
# dot is a draw of two labelled scans, a bar the mean of one encoder. Is the order on the left the
# order on the right? And look at the arm that has seen noise alone.
#
# <details><summary>What we saw</summary>
#
# The mark lifted the score of the puzzle from 55.8 % to 95.4 % (seed 0), and to 100.0 % with the
# other seeds. The probe of its features had 0.321, that of honest rotation 0.432, and untrained
# weights without a norm 0.385. So the order on the right is not the order on the left: with the
# higher score came the worse features, in each of the three seeds.
#
# The noise test gives it away. Trained on noise, the marked task had 100.0 % right, the honest one
# 12.1 %. The first of these networks has never seen a scan, so all of its score is the shortcut.
# Its features had 0.336, no more than random weights have.
#
# And the honest score? It is 42.9 % to 55.8 %, and nine crude numbers had 45.1 % in section 4. No
# shortcut was built in, and still this score is no evidence that the network knows anatomy. Its
# probe is a better witness, and the controls next to it.
#
# What a shortcut ruins for certain is the *score as evidence*. That it ruins the *features* is no
# law: a network may learn the mark, and some anatomy too. Three seeds are too few for a verdict on
# the difference of the probes.
#
# </details>
#
# ## 6. CPC: the answer must not lie in the question
#
# In [CPC](06_cpc.ipynb) patches overlap by half, so the next row *contains* half of the current
# one. The solver takes the last voxel planes of a patch, and looks for the patch of the batch that
# begins with the same ones. **Predict before you run:** how well will that do one row ahead, two,
# three?


# %%
def match_overlap(volumes, ahead, patch=16, stride=8):
    """CPC without a network: the patch whose first planes are most like the last ones of this."""
    task = ssl3d.make_task("cpc", shape, patch=patch, stride=stride, prediction_steps=(ahead,))
    generator, right = torch.Generator().manual_seed(0), []
    for pair in volumes[list(split.validation)].split(2):
        batch = task.make_views(pair, task.sample_params(pair, generator))
        views, width = batch.views[:, :, 0], max(1, patch - stride * ahead)
        ends, starts = (
            torch.nn.functional.normalize(part - part.mean(-1, keepdim=True), dim=-1)
            for part in (views[..., -width:, :].flatten(2), views[..., :width, :].flatten(2))
        )
        rows = ends.unflatten(1, batch.placement.grid)[:, :, :-ahead].transpose(1, 2)
        answers = (rows.flatten(0, 3) @ starts.flatten(0, 1).T).argmax(1)
        right.append((answers == batch.target).float().mean())
    return float(torch.stack(right).mean()), 1 / starts.flatten(0, 1).shape[0]


rows = []
for ahead in (1, 2, 3, 4):
    (by_noise, chance), (by_scans, _) = (match_overlap(v, ahead) for v in (noise, scans))
    rows.append((f"{ahead} ahead", f"{max(0, 16 - 8 * ahead)} planes", by_noise, by_scans, chance))
table(("predict", "shared with the target", "on noise", "on scans", "chance"), rows)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# One row ahead is copying: 100.0 %. Two rows ahead no voxel is shared, yet the patches *touch*, and
# lines run on as in the jigsaw: 100.0 % on scans. Three rows ahead there is a gap, and the rule is
# right in 0.0 %, below the chance of 1.1 %. That is no mystery: the rule always points at the patch
# that touches, which is now a wrong one.
#
# So the library predicts three and four rows ahead. A network that reads the mean of the deepest
# features of a patch can hardly compare borders. But a door that is hard to use is still a door:
# when in doubt, train on noise.
#
# </details>
#
# ## Before you believe the score of a puzzle
#
# | suspect | check | in the library |
# |---|---|---|
# | borders that fit | match borders without a network | `jitter`, `gap`; CPC's `prediction_steps` |
# | brightness, coil | regression on means and slopes | `normalise`; correct the field first |
# | blur, padding, marks | solve the task on noise | exact turns, cubes within the scan |
# | a context that sees ahead | a derivative of 0: [06](06_cpc.ipynb) | masked convolutions |
# | one point for all scans | the spread of embeddings: [05](05_exemplar.ipynb) | `check_health` |
# | blocks left visible | hand in the input: [07](07_masked_reconstruction.ipynb) | `Masked` |
# | place alone | move the crop: [10](10_what_did_it_learn.ipynb) | `equivariance_under_shift` |
# | controls too weak | random encoders of several kinds, place alone | every study has them |
#
# **Exercise.** A colleague pads with black at the *bottom* only, twelve voxels. How often will
# someone be right who sees only the padding? Write the class, and let `solve` say whether you are
# right.
#
# <details><summary>Hint</summary>
#
# Copy `Padded` and change which `z` are inside. On paper: to which of the six sides of the cube can
# the black one come, and by which turns?
#
# </details>
# <details><summary>Answer</summary>
#
# One black side can come to lie on any of six sides. *Bottom*: no turn, and the three turns around
# the vertical axis. *Top*: the half turns around the two others. The remaining four turns bring it
# to a side each. In each of six groups one turn can be right, and there are ten turns: 60 %.
#
# ```python
# class Bottom(ssl3d.tasks.Rotation):
#     def make_views(self, volumes, params):
#         z = torch.arange(volumes.shape[-1]) - params["corner"][:, 0, 2:]
#         inside = (z >= 12)[:, None, None, None]
#         return super().make_views(volumes.where(inside, volumes.amin()), params)
#
#
# print(solve(make(Bottom, crop_size=24), noise, sides_and_sharpness))
# ```
#
# The regression comes near 60 %, and by luck a little above or below it.
#
# </details>
#
# ## Where this comes from, and where it leads
#
# - Doersch et al. found that their network knew the place of patches by *chromatic aberration* of
#   the lens. They left gaps and jitter for the reasons that you have seen.
# - Noroozi and Favaro list the shortcuts of the jigsaw (edges, brightness, aberration) and their
#   remedies.
# - Geirhos et al. gathered shortcuts across deep learning. Their advice: test on *other* data than
#   those trained on.
#
# The puzzles are in [jigsaw.py](../ssl3d_lite/tasks/jigsaw.py),
# [relative_location.py](../ssl3d_lite/tasks/relative_location.py),
# [rotation.py](../ssl3d_lite/tasks/rotation.py) and [cpc.py](../ssl3d_lite/tasks/cpc.py).
#
# **Next:** [09, 2D to 3D](09_2d_to_3d.ipynb). The other family of mistakes, those that make the
# *test* too easy, is in [13, leakage](13_leakage.ipynb).
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Doersch et al., [Unsupervised Visual
# Representation Learning by Context Prediction](https://arxiv.org/abs/1505.05192), ICCV 2015.
# Noroozi and Favaro, [Unsupervised Learning of Visual Representations by Solving Jigsaw
# Puzzles](https://arxiv.org/abs/1603.09246), ECCV 2016. Geirhos et al., [Shortcut Learning in Deep
# Neural Networks](https://arxiv.org/abs/2004.07780), Nature Machine Intelligence 2020. Zech et
# al., [Variable generalization performance of a deep learning model to detect pneumonia in chest
# radiographs](https://doi.org/10.1371/journal.pmed.1002683), PLOS Medicine 2018. Tustison et al.,
# [N4ITK: Improved N3 Bias Correction](https://doi.org/10.1109/TMI.2010.2046908), IEEE Transactions
# on Medical Imaging 2010.

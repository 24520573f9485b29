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
# # Shortcuts and leakage: break each task on purpose, and catch it
#
# **You will be able to:** build the classic mistakes of self-supervised learning yourself, see
# what each does to the numbers, and name the check that catches it before a reviewer does.
#
# **Time:** about three minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under
# one at `SSL3D_SCALE=smoke`. At smoke scale every step runs, but the numbers mean little.
#
# There are two families of mistakes.
#
# - A **shortcut** makes the *puzzle* too easy: the network can find the answer without looking at
#   the anatomy. Then a splendid proxy score says nothing about the features.
# - A **leak** makes the *test* too easy: something about the test cases was known before. The
#   final score is splendid, and does not come back on new patients.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "collapse": 60}
    | {"seeds": 1, "draws": 2, "rounds": 2},
    "class": {"cases": 100, "filters": (16, 32, 64), "steps": 150, "collapse": 60}
    | {"seeds": 2, "draws": 8, "rounds": 8},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1000, "collapse": 200}
    | {"seeds": 5, "draws": 20, "rounds": 10},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
scans = cohort.images(range(len(cohort))).cpu()
shape = ssl3d.EncoderSettings(in_channels=len(cohort.channels), filters=size["filters"])


def table(head, rows):
    """Print a small table; numbers below 1 in per cent."""
    cells = [[f"{c:.1%}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for line in (head, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def altered(thing, **changes):
    """A copy of a cohort, a case or a split in which some fields are others."""
    fields = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
    return type(thing)(**fields | changes)


# %% [markdown]
# ## 1. Two checks that need no training
#
# Let $x$ be a scan, $y$ the answer to a puzzle made from it. An honest puzzle can only be answered
# through the anatomy. That gives two tests.
#
# - **The noise test.** Put noise $\varepsilon$ in the scan's place. There is no anatomy in it, so
#   no one can do better than guess: $p(y \mid \varepsilon) = 1/K$ for $K$ answers. Whatever does
#   better on noise has found a shortcut.
# - **The solver without a network.** Give a handful of crude numbers (the brightness of a patch,
#   the voxels of its border) to a logistic regression, or to a rule of one line. What that solves,
#   a network solves too, and will not bother to learn more.
#
# Our noise is smooth, as scans are: neighbouring voxels are alike.


# %%
def with_noise(cohort, seed=0):
    """The same cohort with smooth noise in the place of every scan."""
    images = cohort.images(range(len(cohort)))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    for axis in (2, 3, 4, 2, 3, 4):  # twice each: nearly a Gaussian filter, sigma 1 voxel
        noise = (noise.roll(-1, axis) + 2 * noise + noise.roll(1, axis)) / 4
    noise = (noise / noise.std()).to(images.device)
    return altered(cohort, resident=(noise, cohort.labels(range(len(cohort)))))


noise_cohort = with_noise(cohort)
noise = noise_cohort.images(range(len(cohort))).cpu()
figure = Figure(figsize=(5, 2.6), layout="constrained")
for axes, volume, title in zip(figure.subplots(1, 2), (scans, noise), ("scan", "noise")):
    ssl3d.show.draw_plane(axes, volume[0, 0].numpy(), 1)
    axes.set_title(title)
figure

# %% [markdown]
# *What to look at:* left a coronal plane of a scan, right what stands in its place. Whoever says
# which way the right one was turned is cheating.


# %%
def solve(task, volumes, describe):
    """Accuracy on validation scans of a logistic regression that sees what `describe` says."""
    generator = torch.Generator().manual_seed(0)

    def puzzles(cases, rounds):
        chosen = volumes[list(cases)]
        batches = [
            task.make_views(chosen, task.sample_params(chosen, generator)) for _ in range(rounds)
        ]
        crude = np.concatenate([describe(batch) for batch in batches])
        return crude, np.concatenate([batch.target.flatten() for batch in batches])

    crude, answers = puzzles(split.pretrain, size["rounds"])
    mean, deviation = crude.mean(0), crude.std(0) + 1e-9
    model = LogisticRegression(max_iter=1000).fit((crude - mean) / deviation, answers)
    crude, answers = puzzles(split.validation, size["rounds"])
    return float(model.score((crude - mean) / deviation, answers))


# %% [markdown]
# ## 2. Rotation: the shape betrays the turn
#
# The paper turns whole volumes, resized to cubes. Suppose instead that a scan is flat, and is
# padded with black to make it a cube. Then the black sides turn with it.
#
# A second trap: turn by a routine that interpolates. Turned copies are a little blurred in the
# plane of the turn, the unturned one is not. A network sees that at once; a person never does.


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


# %%
def make(kind, seed=0, **settings):
    """A task of a class of our own, its head drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(kind.Settings(**settings), shape)


padded = make(Padded, crop_size=24)
params = padded.sample_params(scans[:1], torch.Generator().manual_seed(0))
params["rotation"] = torch.tensor([[0, 1, 4]])  # set by hand: none, then 90 degrees about two axes
ssl3d.show.turns(scans[:1], padded.make_views(scans[:1], params))

# %% [markdown]
# *What to look at:* one cube, turned in three ways. The black stripes stand or lie, whatever the
# brain between them shows. Below the same in three planes: scroll with the mouse wheel.

# %%
ssl3d.show.puzzle_slices(scans[:1], padded.make_views(scans[:1], params))

# %% [markdown]
# **Predict before you run.** There are ten turns: none, and 90, 180 and 270 degrees about each of
# three axes. The stripes say only along which axis the scan is flat. How often is someone right
# who sees nothing but the stripes? And someone who sees nothing but along which axes it is
# blurred?
#
# <details><summary>Answer</summary>
#
# The stripes sort the ten turns into three groups (six leave them at top and bottom, two bring
# them to each of the other axes). Guessing within a group is right for one turn of it, so for 3 of
# 10: 30 %. Blur sorts them into four groups (none, and one for each axis): 40 %. Chance is 10 %.
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


rows = []
for kind in (ssl3d.tasks.Rotation, Padded, Smeared):
    task = make(kind, crop_size=24)
    rows.append(
        (kind.__name__, *(solve(task, v, sides_and_sharpness) for v in (noise, scans)), 0.1)
    )
table(("task", "solver on noise", "solver on scans", "chance"), rows)

# %% [markdown]
# *What to look at:* the column "on noise". Who stands at chance there, give or take two or three
# per cent of luck, and who does not? On scans even the honest task may lie above chance: brains
# are brighter on one side than on the other, and that *is* anatomy, if a poor kind. So the noise
# test is the one to trust.
#
# ### A rim you did not know about
#
# You may think you pad nothing. But crops of the hippocampus differ in size, and the recipe brings
# them to one shape by repeating the outermost voxels. Where a voxel equals its neighbour exactly,
# there was no scan. Do repeated planes betray a turn?


# %%
def rim(batch):
    """For each of a view's six sides, how many planes repeat the one beside them."""
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
for axes in (left, right):
    ssl3d.show.draw_plane(axes, image, 1)
ssl3d.show.overlay_classes(right, repeated.astype(np.uint8), 1, image.shape[1] // 2)
figure

# %% [markdown]
# *What to look at:* on the right, in blue, voxels that repeat a neighbour: the rim. The larger the
# cube, the more of it is seen. Cut cubes small enough to lie within the scan, or prepare scans
# larger than the box that the task takes.
#
# ## 3. Does a shortcut spoil the features?
#
# Now train: the honest task and the padded one, each on scans and on noise, with equal budgets.
# The view shows the honest one, on scans, while it learns.


# %%
def train(kind, here, seed=0, watched=None):
    """Pretrain, and score on validation cases. `watched`: a task, an encoder, and who watches."""
    new = make(kind, seed, crop_size=24), ssl3d.make_encoder(shape, seed), None
    task, encoder, callback = watched or new
    ssl3d.pretrain(
        task,
        encoder,
        here,
        steps=size["steps"],
        batch=4,
        learning_rate=2e-3,
        seed=seed,
        callback=callback,
    )
    scores = [
        ssl3d.evaluation.proxy_score(task, encoder, here, split.validation, seed=s)
        for s in range(20)
    ]
    return encoder, float(np.mean([score["accuracy"] for score in scores]))


task, encoder = make(ssl3d.tasks.Rotation, crop_size=24), ssl3d.make_encoder(shape, seed=0)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
trained = {
    ("Rotation", "scans"): train(ssl3d.tasks.Rotation, cohort, watched=(task, encoder, view.watch))
}

# %%
for kind, name in ((Padded, "scans"), (ssl3d.tasks.Rotation, "noise"), (Padded, "noise")):
    trained[kind.__name__, name] = train(kind, cohort if name == "scans" else noise_cohort)
rows = [(*names, accuracy, 0.1) for names, (_, accuracy) in trained.items()]
table(("task", "trained on", "accuracy on validation cases", "chance"), rows)

# %% [markdown]
# *What to look at:* first the rows of noise. How far does the padded task get there, how far the
# honest one? Then the rows of scans: would you have known from them alone which one is broken?
#
# **Predict before you run:** whose features are better, and is either better than a random
# encoder's?

# %%
arms = {}
for name, kind in {
    "rotation, honest": ssl3d.tasks.Rotation,
    "rotation, padded": Padded,
}.items():
    others = [train(kind, cohort, seed)[0] for seed in range(1, size["seeds"])]
    arms[name] = [trained[kind.__name__, "scans"][0], *others]
for norm in ("instance", "batch", "none"):
    starts = [ssl3d.make_encoder(shape, seed, norm=norm) for seed in (100, 101)]
    arms[f"random, norm: {norm}"] = [start.to(cohort.images([0]).device) for start in starts]
labelled = [cohort.subset(split.train, 2, seed) for seed in range(size["draws"])]
probes = {}  # arm → for each encoder, for each draw of two labelled scans, its evaluation
for arm, candidates in arms.items():
    ready = [
        ssl3d.evaluation.recalibrated(each, cohort, split.pretrain[:16]) for each in candidates
    ]
    probes[arm] = [
        ssl3d.evaluation.linear_probes(each, cohort, labelled, split.test) for each in ready
    ]
probes["place alone"] = [  # no encoder: the mean label map of the same labelled scans
    [ssl3d.evaluation.evaluate_place(cohort, draw, split.test) for draw in labelled]
]


# %%
def draw_scores(figure):
    axes = figure.subplots()
    for place, several in enumerate(probes.values()):
        colour = ssl3d.show.COLOURS[place]
        for shift, results in enumerate(several):
            dice = [result.mean_dice for result in results]
            axes.plot([place + 0.2 * shift] * len(dice), dice, ".", color=colour, alpha=0.5)
            axes.plot(place + 0.2 * shift, np.mean(dice), "_", color=colour, markersize=22)
    axes.set_xticks(range(len(probes)), [arm.replace(", ", "\n") for arm in probes], fontsize=9)
    axes.set_ylabel("mean Dice of the linear probe")
    ssl3d.show.tidy(axes)
    return figure


draw_scores(Figure(figsize=(6.4, 3.2), layout="constrained"))

# %% [markdown]
# *What to look at:* each dot is a draw of two labelled scans, each bar an encoder's mean, and the
# bars of one colour are starts from other seeds. Compare with place alone and the best random
# encoder, not with zero, and ask whether arms differ by more than starts do.
#
# Do not expect a shortcut to ruin the features for certain. Stripes sort the turns into groups,
# and within a group the anatomy still has to decide. What it ruins for certain is the *score as
# evidence*: three answers in ten are there for nothing.
#
# ## 4. Jigsaw and relative location: edges run on
#
# If the pieces touch, the last plane of one continues in the first plane of the next. Then a
# jigsaw is a matter of borders. The library leaves gaps and moves each piece by up to three
# voxels. Take both away, and write the solver: for each of the $P$ permutations, lay the pieces
# out by it and add up how well borders match. The best match is the answer. Nothing is learnt.


# %%
def match_borders(task, volumes):
    """Jigsaw without a network: the permutation by which borders of neighbours correlate most."""
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    views, cells = batch.views[:, :, 0], torch.arange(27).view(3, 3, 3)
    shown_at = task.permutations.argsort(1)  # permutation, cell → the place it is shown at
    total = torch.zeros(len(views), len(shown_at))
    for axis in range(3):
        last, first = (plane_of(views, axis, side) for side in (-1, 0))
        match = last @ first.mT  # (scan, piece, piece that would follow it along this axis)
        before, behind = (cells.narrow(axis, start, 2).flatten() for start in (0, 1))
        total += match[:, shown_at[:, before], shown_at[:, behind]].sum(-1)
    return float((total.argmax(1) == batch.target[:, 0]).float().mean())


def plane_of(views, axis, side):
    """A border plane of each piece, as a vector of mean 0 and length 1: (scan, piece, voxel)."""
    plane = views.select(2 + axis, side).flatten(2)
    return torch.nn.functional.normalize(plane - plane.mean(-1, keepdim=True), dim=-1)


# %%
touching = ssl3d.make_task(
    "jigsaw", shape, patch=13, jitter=0
)  # 3 · 13 = 39 voxels: no gap is left
kinds = {
    "pieces touch": (touching, (slice(0, 39), slice(8, 47), slice(0, 39))),
    "gaps, no jitter": (ssl3d.make_task("jigsaw", shape, jitter=0), (slice(None),) * 3),
    "gaps and jitter": (ssl3d.make_task("jigsaw", shape), (slice(None),) * 3),
}
rows = []
for name, (task, box) in kinds.items():
    solved = [match_borders(task, volumes[:, :, *box]) for volumes in (noise, scans)]
    rows.append((name, *solved, 1 / task.settings.permutations))
table(("puzzle", "solved on noise", "solved on scans", "chance"), rows)

# %% [markdown]
# *What to look at:* the first row. No network, no training, no anatomy. Then the other two: a gap
# of a few voxels, and on noise the borders say nothing any more. On scans they may still say a
# little, as brains are smooth over more voxels than our noise. In the view below, put the touching
# pieces together yourself and see why the first row is so easy.

# %%
volumes = scans[:1, :, :39, 8:47, :39]
puzzle = touching.make_views(
    volumes, touching.sample_params(volumes, torch.Generator().manual_seed(1))
)
ssl3d.show.Puzzle3D(volumes, puzzle)

# %%
ssl3d.show.shuffled_pieces(volumes, puzzle)

# %% [markdown]
# *What to look at:* in the restored puzzle every line runs on across the borders of the pieces.
#
# ## 5. Relative location: brightness tells the place
#
# A receiver coil makes what is near it brighter. So brightness alone tells where a patch lies. The
# library gives each patch mean 0 and variance 1 (`normalise=True`). The solver gets two numbers a
# patch, mean and standard deviation, rounded to one hundredth. Then, to be sceptical, three
# others: how brightness rises along each axis *within* the patch.

# %%
places = np.meshgrid(*[np.linspace(-1, 1, n) for n in cohort.shape], indexing="ij")
coil = np.exp(-sum((p - at) ** 2 for p, at in zip(places, (0.8, -0.7, 0.5), strict=True)) / 4)
coil = torch.tensor(coil, dtype=torch.float32)


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
    """(scan, patch, number) → beside each query's numbers those of its centre."""
    centre = numbers[:, :1].expand_as(numbers[:, 1:])
    return torch.cat([centre, numbers[:, 1:]], -1).flatten(0, 1).numpy().round(2)


# %%
rows = []
kinds = {
    "noise": noise,
    "noise in a coil": (noise + 3) * coil,
    "scans in a coil": (scans + 3) * coil,
}
for name, volumes in kinds.items():
    for normalise in (False, True):
        task = ssl3d.make_task("rpl", shape, queries_per_scan=26, normalise=normalise)
        solved = [solve(task, volumes, describe) for describe in (brightness, slope)]
        rows.append((name, "yes" if normalise else "no", *solved, 1 / 26))
table(("volumes", "normalised", "solved by brightness", "by slope", "chance"), rows)

# %%
cells = torch.nn.functional.avg_pool3d(((noise + 3) * coil).mean(0, keepdim=True), (13, 18, 13))[
    0, 0
]
figure = Figure(figsize=(7.5, 2.6), layout="constrained")
left, *others = figure.subplots(1, 4)
ssl3d.show.draw_plane(left, ((noise[0, 0] + 3) * coil).numpy(), 2)
left.set_title("noise in a coil", fontsize=9)
for layer, axes in enumerate(others):
    axes.imshow(cells[..., layer].T, cmap="gray", origin="lower", vmin=0, vmax=float(cells.max()))
    axes.set_title(f"brightness of the cells,\nlayer {layer}", fontsize=9)
    axes.set_axis_off()
figure

# %% [markdown]
# *What to look at:* each of the 27 cells has its own grey, so grey is an address. In the table,
# "normalised" shuts that door. Does it shut the other one too? What is left of the coil within a
# patch is its slope. Correct the bias field when you *prepare* scans (N4, Tustison et al. 2010),
# for no normalisation of patches does.
#
# ## 6. Exemplar: the loss falls, and nothing is learnt
#
# The paper's triplet loss is $\max\{0,\; D(x, x^+) - D(x, x^-) + \alpha\}$. It keeps a scan's
# distorted copy $x^+$ near and another scan $x^-$ away. Leave out the second part, and one point
# for all scans is a perfect answer. The library has this as a control: the task `collapsed`.

# %%
histories = {}
for name in ("exemplar", "collapsed"):
    encoder = ssl3d.make_encoder(shape, seed=0)
    task = ssl3d.make_task(name, encoder, crop_size=24)
    histories[name] = ssl3d.pretrain(task, encoder, cohort, steps=size["collapse"], batch=8)
figure = Figure(figsize=(8, 2.8), layout="constrained")
for axes, what in zip(figure.subplots(1, 2), ("loss", "embedding_std"), strict=True):
    for colour, (name, history) in zip(ssl3d.show.COLOURS, histories.items(), strict=False):
        axes.semilogy(
            [r["step"] for r in history], [r[what] for r in history], color=colour, label=name
        )
    axes.set(xlabel="step", ylabel=what)
    axes.legend(frameon=False)
    ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* by its loss the collapsed run looks the better one. The *standard
# deviation* of the embeddings, $\sqrt{1 - \lVert \frac{1}{n}\sum_i z_i \rVert^2}$ for points $z_i$
# on the unit sphere, tells the truth: 0 means one point for all. `Exemplar.check_health` reads it
# while training runs, and stops the run. Shown the collapsed history, it says:

# %%
print(ssl3d.make_task("exemplar", shape).check_health(histories["collapsed"]))

# %% [markdown]
# ## 7. CPC: the answer must not be in the question
#
# CPC's context $c$ may see the current row of patches and those before, never the rows it
# predicts. That is what the mask of its convolutions is for. A mask is easily lost, and then the
# score is wonderful. The check needs no training: what the context gives in row $r$ must not
# change with the latents of any later row, so the derivative is exactly 0, $\partial c_r /
# \partial z_{r'} = 0 \text{ for } r' > r.$


# %%
class Unmasked(torch.nn.Module):
    """A context layer that sees one row to either side: also the one that comes next."""

    def __init__(self, code):
        super().__init__()
        self.conv = torch.nn.Conv3d(code, code, 3, padding=1)

    def forward(self, field):
        return field + torch.nn.functional.relu(self.conv(field))


def influence(context, code=64, rows=5):
    """How strongly each row's context (down) depends on each row's latents (across)."""
    field = torch.randn(1, code, rows, 3, 3, requires_grad=True)
    answer = context(field)
    slopes = [
        torch.autograd.grad(answer[:, :, row].sum(), field, retain_graph=True)[0]
        for row in range(rows)
    ]
    return torch.stack([slope.abs().sum((0, 1, 3, 4)) for slope in slopes])


# %%
honest = ssl3d.make_task("cpc", shape)
broken = torch.nn.Sequential(Unmasked(64), Unmasked(64))
figure = Figure(figsize=(6, 2.9), layout="constrained")
contexts = {"masked": honest.context, "without a mask": broken}
for axes, (name, context) in zip(figure.subplots(1, 2), contexts.items(), strict=True):
    matrix = influence(context)
    ahead = float(matrix.triu(1).sum() / matrix.sum())
    axes.imshow(matrix > 0, cmap="Greys", vmin=0, vmax=2)
    axes.set_title(f"{name}\n{ahead:.0%} from rows to come", fontsize=10)
    axes.set(xlabel="latents of row", ylabel="context of row")
figure

# %% [markdown]
# *What to look at:* grey means that the context depends on that row. Above the diagonal lies the
# future; there it must be white.
#
# Even with a mask the answer can be copied. Patches overlap by half, so the next row *contains*
# half of the current one. The solver: take the last voxel planes of a patch and look for the patch
# of the batch that begins with the same ones. **Predict before you run:** how well will that do
# one row ahead, two, three?


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
    (on_noise, chance), (on_scans, _) = (match_overlap(v, ahead) for v in (noise, scans))
    rows.append((f"{ahead} ahead", f"{max(0, 16 - 8 * ahead)} planes", on_noise, on_scans, chance))
table(("predict", "shared with the target", "on noise", "on scans", "chance"), rows)

# %% [markdown]
# *What to look at:* one row ahead is copying. Two rows ahead no voxel is shared, yet the patches
# *touch*, and edges run on as in the jigsaw. Three rows ahead there is a gap, so the
# library predicts three and four rows ahead. A network that reads of each patch the mean of its
# deepest features can hardly compare borders; but a door that is hard to use is still a door. When
# in doubt, train on noise: an accuracy above chance there means that the network has found it.
#
# ## 8. Masked reconstruction: hide what is asked
#
# Forget to hide the blocks, and the task is to copy. The check: hand in the input as the answer.


# %%
class Unhidden(ssl3d.tasks.Masked):
    """Shows the blocks that are to be rebuilt."""

    def make_views(self, volumes, params):
        batch = super().make_views(volumes, params)
        views = batch.target.where(~batch.target.isnan(), batch.views)
        return ssl3d.tasks.ProxyBatch(views, batch.target, batch.placement)


rows = []
for kind in (ssl3d.tasks.Masked, Unhidden):
    task = make(kind)
    batch = task.make_views(
        scans[:4], task.sample_params(scans[:4], torch.Generator().manual_seed(0))
    )
    explained = task.score(batch.views, batch)["r2"]
    rows.append((kind.__name__, float(explained), 0.0))
table(("task", "variance explained by handing in the input", "by guessing the mean"), rows)
ssl3d.show.puzzle(scans[:4], batch)

# %% [markdown]
# *What to look at:* the view is the whole scan, with nothing hidden. Copying explains all of it.
#
# ---
# Now the leaks. They spoil no puzzle, but every number that follows.
#
# ## 9. A patient on two sides
#
# Folds are dealt to *patients*. Two things go wrong all the same: a patient's second visit bears
# another name, or one scan is in the data twice. Build both and let the library find them.

# %%
test, train = split.test[0], split.train[0]
victim, twin = cohort.cases[test], cohort.cases[train]
visit = altered(victim, patient=twin.patient)  # the same patient, another scan
double = altered(victim, sha256=twin.sha256)  # the same picture, another name
for name, case in {"a second visit": visit, "a scan twice": double}.items():
    cases = tuple(case if i == test else each for i, each in enumerate(cohort.cases))
    try:
        ssl3d.study.leakage.check_leakage(altered(cohort, cases=cases), split)
    except ssl3d.InputError as reason:
        print(f"{name}: {reason}\n")
ssl3d.study.leakage.check_leakage(cohort, split)
print("as it was: no leak")

# %% [markdown]
# Pretraining on test scans, even without their labels, is a leak too: the features have seen them.

# %%
greedy = altered(split, pretrain=(*split.pretrain, *split.test))
try:
    ssl3d.study.leakage.check_leakage(cohort, greedy)
except ssl3d.InputError as reason:
    print(reason)

# %% [markdown]
# How much does a leak flatter? Score a probe on two test scans: once fitted on these very scans,
# and once on two training scans, for each draw from above.

# %%
ready = ssl3d.evaluation.recalibrated(trained["Rotation", "scans"][0], cohort, split.pretrain[:16])
pair = split.test[:2]
leaked, *clean = (
    r.mean_dice for r in ssl3d.evaluation.linear_probes(ready, cohort, [pair, *labelled], pair)
)
print(f"mean Dice: fitted on the same two scans {leaked:.3f}, on others {np.mean(clean):.3f}")

# %% [markdown]
# ## 10. Preparing with test statistics
#
# **Rule:** what is done to a training scan must not depend on any test scan. **Check:** swap the
# test scans for others and prepare again; training scans must stay as they were, bit for bit. Here
# is z-scoring by the mean and deviation of all scans together, beside scaling each scan by itself,
# as the recipes do. Test scans come from a new scanner: they are brighter.


# %%
def changed(scale_all):
    """Largest change of a training voxel when the test scans are swapped for brighter ones."""
    brighter = scans.clone()
    brighter[list(split.test)] = 2 * scans[list(split.test)] + 1
    before, after = scale_all(scans), scale_all(brighter)
    return float((after - before)[list(split.train)].abs().max())


def together(volumes):
    return (volumes - volumes.mean()) / volumes.std()


def each_alone(volumes):
    return torch.stack([(v - v.mean()) / v.std() for v in volumes])


for how in (together, each_alone):
    print(f"{how.__name__:10} a training voxel changes by up to {changed(how):.3f}")

# %% [markdown]
# Statistics of unlabelled scans rarely matter much. They matter enormously when *labels* take
# part: choosing features by their correlation with the answer, on all cases, before the split
# (Ambroise and McLachlan 2002). Try it where there is nothing to find: random features, random
# labels.

# %%
generator = np.random.default_rng(0)


def by_chance(inside, patients=40, features=2000, best=20):
    """Leave-half-out accuracy on random data; features are chosen inside the split, or before."""
    x, y = generator.standard_normal((patients, features)), np.arange(patients) % 2
    half = generator.permutation(patients)[: patients // 2]
    rest = np.setdiff1d(np.arange(patients), half)
    seen = half if inside else np.arange(patients)
    apart = np.abs(x[seen][y[seen] == 1].mean(0) - x[seen][y[seen] == 0].mean(0))
    chosen = np.argsort(apart)[-best:]
    model = LogisticRegression(max_iter=1000).fit(x[half][:, chosen], y[half])
    return model.score(x[rest][:, chosen], y[rest])


runs = {inside: np.mean([by_chance(inside) for _ in range(30)]) for inside in (False, True)}
print(f"chosen on all patients {runs[False]:.0%} right, on training patients {runs[True]:.0%}")

# %% [markdown]
# ## 11. Choosing on test cases
#
# You have $k$ networks: checkpoints, seeds, settings. All are equally good, and you report the one
# that is best on the $n$ test cases. If two of them differ on a case by a standard deviation
# $\sigma_d$, the mean of each is off by luck, and the best of $k$ lies above the truth by about
# $\frac{\sigma_d}{\sqrt{2n}}\;\mathbb{E}\max(g_1,\dots,g_k)$ with standard normal $g_i$. Take
# $\sigma_d$ from the probes above: two random encoders, with the same labelled scans.

# %%
one, two = (
    np.stack([result.dice.mean(1) for result in results])
    for results in probes["random, norm: batch"]
)  # (draw, case)
differences = one - two
sigma = float((differences - differences.mean(1, keepdims=True)).std())
print(f"from case to case, two equally good encoders differ by {sigma:.3f} in Dice")
cases, many = 20, (1, 2, 5, 10, 20, 50)
luck = generator.standard_normal((2000, max(many))) * sigma / np.sqrt(2 * cases)
flattery = {k: luck[:, :k].max(1) for k in many}
other = generator.standard_normal((2000, max(many))) * sigma / np.sqrt(2 * cases)
honest_choice = {k: other[np.arange(2000), luck[:, :k].argmax(1)] for k in many}
table(
    ("best of", "flattered by, in Dice", "chosen on other cases"),
    [(k, f"{flattery[k].mean():+.4f}", f"{honest_choice[k].mean():+.4f}") for k in many],
)

# %%
figure = Figure(figsize=(5.6, 3), layout="constrained")
axes = figure.subplots()
chosen = {"on the test cases": flattery, "on validation cases": honest_choice}
for colour, (name, gains) in zip(ssl3d.show.COLOURS, chosen.items(), strict=False):
    low, middle, high = np.percentile([gains[k] for k in many], (10, 50, 90), axis=1)
    axes.fill_between(many, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(many, middle, "o-", color=colour, label=f"chosen {name}")
axes.axhline(0, color="black", linewidth=1)
axes.set(xlabel="networks to choose from", ylabel="reported minus true Dice", xscale="log")
axes.set_xticks(many, [str(k) for k in many])
axes.minorticks_off()
axes.legend(frameon=False)
ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* lines are medians, bands hold 80 % of 2000 simulated studies. Every checkpoint
# here is equally good, so whatever lies above 0 is flattery. Compare it with the gains that papers
# report. `finetune()` chooses by `split.validation` alone.
#
# ## 12. The background in Dice
#
# Dice $= 2|A \cap B| / (|A| + |B|)$ of the background is near 1 for *any* answer. Average it in,
# and an answer that finds nothing looks half decent. Below: an answer that is background
# everywhere.

# %%
truth = cohort.labels(split.test).cpu()
nothing = torch.zeros_like(truth)


def dice_of(value):
    found, there = nothing == value, truth == value
    both = (found & there).flatten(1).sum(1)
    return float((2 * both / (found.flatten(1).sum(1) + there.flatten(1).sum(1))).mean())


classes = [dice_of(value) for value in range(len(cohort.label_names))]
print({name: round(d, 3) for name, d in zip(cohort.label_names, classes, strict=True)})
print(f"with the background {np.mean(classes):.3f}, without {np.mean(classes[1:]):.3f}")

# %% [markdown]
# `evaluate()` scores regions alone, case by case.
#
# ## 13. Unpaired seeds
#
# Which two scans have labels matters more than most methods do. Give both arms the *same* draw,
# and that luck cancels: $\operatorname{var}(a - b) = \operatorname{var}a + \operatorname{var}b -
# 2\operatorname{cov}(a, b)$. Take the honest encoder and a random one from above.

# %%
a = np.array([r.mean_dice for r in probes["rotation, honest"][0]])
b = np.array([r.mean_dice for r in probes["random, norm: none"][0]])
every = [(x, y) for i, x in enumerate(a) for j, y in enumerate(b) if i != j]
unpaired = np.array([x - y for x, y in every])
print(f"mean difference {np.mean(a - b):+.3f}")
print(f"its spread from draw to draw: paired {np.std(a - b):.3f}, unpaired {unpaired.std():.3f}")

# %%
figure = Figure(figsize=(6.4, 2.8), layout="constrained")
left, right = figure.subplots(1, 2)
for x, y in zip(a, b, strict=True):
    left.plot([0, 1], [y, x], "o-", color=ssl3d.show.COLOURS[0], alpha=0.6)
left.set_xticks([0, 1], ["random", "rotation"])
left.set_ylabel("mean Dice")
for place, differences in enumerate((a - b, unpaired)):
    jitter = np.linspace(-0.15, 0.15, len(differences))
    right.plot(place + jitter, differences, ".", color=ssl3d.show.COLOURS[place])
right.axhline(0, color="black", linewidth=1)
right.set_xticks([0, 1], ["paired", "unpaired"])
right.set_ylabel("difference")
ssl3d.show.tidy(left, right)
figure

# %% [markdown]
# *What to look at:* left, a line for each draw of labels: do they run side by side? Right, every
# difference that a study of one seed could have reported. Those on the wrong side of 0 would have
# told the opposite story. A study (`ssl3d study`) pairs everything by its seed.
#
# ## Before you believe a score
#
# | suspect | check | in the library |
# |---|---|---|
# | padding, interpolation, rims | solve the task on noise | exact `geometry.turn`; cubes |
# | borders that fit | match borders without a network | `jitter`, gaps; CPC's `prediction_steps` |
# | brightness, bias field | regression on means and slopes | `normalise`; correct the field first |
# | collapse | `embedding_std`, not the loss | `Exemplar.check_health`, the control `collapsed` |
# | a context that looks ahead | derivative above the diagonal | `PyramidConv.mask` |
# | blocks that are shown | hand in the input as the answer | `Masked.make_views` |
# | a patient on two sides | patients, pictures, raw files | `check_leakage`, `ssl3d verify` |
# | statistics of test scans | swap the test scans | every scan is scaled by itself |
# | choosing on the test set | who chose, and on what? | `split.validation` |
# | background in Dice | score an empty answer | `evaluate` scores regions alone |
# | unpaired seeds | plot the pairs | one seed sets all draws of every arm |
# | weak controls | random encoders of each norm, and of none | `random@batch`, `random@none` |
# | place alone | the mean label map, no scan looked at | the row `place` of every study |
#
# **Exercise.** A colleague pads with black at the *bottom* only, twelve voxels. How often will
# someone be right who sees only the padding? Write the class, and let `solve` say whether you are
# right.
#
# <details><summary>Hint and solution</summary>
#
# One black side can come to lie on any of six sides. *Bottom*: no turn, and the three turns about
# the vertical axis. *Top*: the half turns about the two others. The remaining four turns bring it
# to a side each. Six groups of ten turns: 60 %.
#
# ```python
# class Bottom(ssl3d.tasks.Rotation):
#     def make_views(self, volumes, params):
#         z = torch.arange(volumes.shape[-1]) - params["corner"][:, 0, 2:]
#         inside = (z >= 12)[:, None, None, None]
#         return super().make_views(volumes.where(inside, volumes.amin()), params)
#
# print(solve(make(Bottom, crop_size=24), noise, sides_and_sharpness))
# ```
#
# </details>
#
# **What the literature did next.**
#
# - Doersch et al. already found that their network located patches by *chromatic aberration* of
#   the lens, and left gaps and jitter for the same reasons as here.
# - Noroozi and Favaro list the jigsaw's shortcuts (edges, brightness, aberration) and their
#   remedies.
# - Geirhos et al. gathered shortcuts across deep learning, and ask for tests on *other* data than
#   those trained on.
# - Kapoor and Narayanan found leakage in hundreds of papers of 17 fields, and propose an info
#   sheet.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Doersch, Gupta and Efros, *Unsupervised Visual Representation Learning by Context Prediction*,
# ICCV
# 2015. Noroozi and Favaro, *Unsupervised Learning of Visual Representations by Solving Jigsaw
#       Puzzles*, ECCV 2016. Geirhos et al., *Shortcut Learning in Deep Neural Networks*, Nature
#       Machine Intelligence 2020. Ambroise and McLachlan, *Selection bias in gene extraction on
#       the basis of microarray gene-expression data*, PNAS 2002. Tustison et al., *N4ITK: Improved
#       N3 Bias Correction*, IEEE Transactions on Medical Imaging 2010. Kapoor and Narayanan,
#       *Leakage and the Reproducibility Crisis in Machine-Learning-Based Science*, Patterns 2023.

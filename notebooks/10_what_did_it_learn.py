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
# # What did it learn? An encoder under the microscope
#
# **You will be able to:** see the features of an encoder in colours, and compute these colours
# yourself; carry a label from one patient to the next without any training; and find out whether
# features follow the *anatomy*, or only the *place* in the picture.
#
# **Time:** 2 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [06, CPC](06_cpc.ipynb) says how the encoder is trained, and has the linear
# probe.
#
# Show a radiologist one point in the brain of patient A, and ask for the same point in patient B.
# The radiologist looks at the shapes around it and finds it, even if the second picture was cut
# differently. A loss, or an accuracy, does not say whether an encoder could do that. So look at
# what it learnt: predict, click, and judge.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch

SIZES = {
    "smoke": {"cases": 20, "pretrain": 10, "oracle": 3, "tested": 2, "known": 1000},
    "class": {"cases": 60, "pretrain": 600, "oracle": 80, "tested": 8, "known": 4000},
    "full": {"cases": 200, "pretrain": 2000, "oracle": 400, "tested": 20, "known": 8000},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
device = cohort.images([0]).device
tested = split.test[: size["tested"]]  # patients that no encoder here was trained on
known = split.train[0]  # the one patient whose label may be used

# %% [markdown]
# ## 1. The things under the microscope
#
# The scans are boxes around the hippocampus. It has two parts with labels, the front (*anterior*)
# and the back (*posterior*) one. Here is the patient whose label will be carried to others, in
# planes and in 3D.

# %%
image, label = cohort[known]
ssl3d.show.Volume3D(
    image, label, label_names=cohort.label_names, spacing=cohort.spacing, title="The known patient"
)

# %% [markdown]
# *What to look at:* the seahorse's head and tail, and how the border between them cuts across. At
# the edges of some scans there are stripes: there the recipe repeats the last voxels, as the crop
# reached the end of the raw scan.
#
# Three encoders of one shape will be compared, and one "encoder" that sees nothing:
#
# | name | what it is |
# |---|---|
# | random | never trained; a second one, without a norm, is often better |
# | CPC | pretrained without any label, from the same start |
# | oracle | trained with *all* training labels: no competitor, it shows what there is to gain |
# | place | no network: a voxel's features are its three coordinates |
#
# The glossary has more of [random encoders](../docs/glossary.md#random-encoder), the
# [oracle](../docs/glossary.md#oracle) and [place alone](../docs/glossary.md#place-alone).
#
# While CPC learns, a film keeps its features of one validation scan.

# %%
encoders = {"random": ssl3d.make_encoder(cohort, seed=0)}
encoders["random, no norm"] = ssl3d.make_encoder(cohort, seed=0, norm="none")
encoders["CPC"] = deepcopy(encoders["random"])

task = ssl3d.make_task("cpc", encoders["CPC"], seed=0)
film = ssl3d.show.Film(encoders["CPC"], cohort.images(split.validation[:1])[0], task=task)
history = ssl3d.pretrain(
    task,
    encoders["CPC"],
    cohort,
    steps=size["pretrain"],
    learning_rate=2e-3,
    callback=film.watch,
)
film.finish(history)
solved = ssl3d.evaluation.proxy_score(task, encoders["CPC"], cohort, split.validation)
print(f"puzzle: {solved['accuracy']:.1%} right, chance {solved['chance']:.1%}")
ssl3d.show.film_strip(film)

# %%
network = ssl3d.make_network(deepcopy(encoders["random"]), cohort, seed=0)
ssl3d.finetune(network, cohort, split.train, steps=size["oracle"])
encoders["oracle"] = network.encoder
encoders = {name: encoder.to(device).eval() for name, encoder in encoders.items()}

# %% [markdown]
# *What to look at:* one plane of one scan in the strip, each colour a kind of feature. When do
# structures begin to have a colour of their own?
#
# <details><summary>What we saw</summary>
#
# CPC had 33.6 % of its questions right at the end, where the grid alone, without a look at the
# scan, gives 3.7 %. Before training (step 0) the colours are speckles. After 10 steps they are
# large areas, with bands along the upper and the lower edge of the picture: the encoder soon learns
# where the border is. From step 40 on areas bend with the structures. At step 320, when the loss
# has fallen a second time, the bands at the edges are nearly gone. All stays blurred: one cell of
# the deepest level stands for a block of voxels.
#
# </details>
#
# ## 2. Colours for features: principal components by hand
#
# An encoder has 112 numbers for each voxel, and a screen has three: red, green and blue.
# **Principal component analysis (PCA)** finds the three directions, among the 112, along which
# voxels differ most. In short: let $F$ be the table of features, a row for each voxel, each column
# less its mean and divided by its deviation. The *singular value decomposition* writes it as
#
# $$F = U\,\mathrm{diag}(s)\,V^\top .$$
#
# The rows of $V^\top$ are the directions, and $s_i^2/n$ is the variance of $n$ voxels along
# direction $i$.
#
# `ssl3d.features` does this for several patients at once. Here it is done by hand from the same
# table, with `torch.linalg.svd`.

# %%
shown = tested[:3]
maps = {
    name: ssl3d.features(encoder, cohort, shown, fit=tested[:4])
    for name, encoder in encoders.items()
}
whole = ssl3d.features(encoders["CPC"], cohort, tested[:4])  # those that colours are fitted over
print(whole)

table = np.concatenate([features.reshape(len(features), -1).T for features in whole.maps])
table = torch.from_numpy((table - table.mean(0)) / table.std(0))  # (cell, feature)
_, lengths, directions = torch.linalg.svd(table, full_matrices=False)
variances = lengths**2 / len(table)
print(f"three colours hold {float(variances[:3].sum() / variances.sum()):.1%} of the variance")

# %% [markdown]
# A direction and its opposite explain equally much. So the sign of each component is free, and the
# library fixes it by a rule: the largest weight is positive.

# %%
largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
axes = directions * largest.sign()
print(
    "directions as the library's:",
    torch.allclose(axes[:3], torch.from_numpy(whole.space.axes[:3].copy()), atol=1e-6),
    "· variances:",
    torch.allclose(variances, torch.from_numpy(whole.space.variances.copy()), atol=1e-6),
)

scores = table @ axes[:3].T  # three numbers a cell
byte = 255 * (scores / (2.5 * variances[:3].sqrt()) + 1) / 2  # 2.5 deviations reach 0 and 255
first = byte[: whole.colours(0).size // 3].clamp(0, 255).round().view(whole.colours(0).shape)
print("colours as the library's:", np.array_equal(first.numpy(), whole.colours(0)))

# %% [markdown]
# **Predict before you look:** the colours are fitted over four patients together. Will the
# hippocampus have the same colour in all patients with CPC? With random weights?

# %%
ssl3d.show.feature_colours(maps, cohort, shown)

# %% [markdown]
# *What to look at:* go along a row, from patient to patient. Does the same structure keep its
# colour? Across rows a colour means nothing: each encoder has directions of its own.
#
# <details><summary>What we saw</summary>
#
# Three colours held 34.1 % of the variance of CPC's features, so most of what it knows is not in
# the picture. With CPC the same structures have much the same colours in all three patients: a thin
# olive band below the hippocampus, green at the back, white and blue around its head. But random
# weights without a norm give stable colours too. They are a filtered copy of the scan, and bright
# tissue is bright in every patient. The oracle paints the hippocampus in one colour, and so blurred
# that place alone could have done much of it.
#
# A pretty picture is no proof. It needs a question that can be failed.
#
# </details>
#
# ## 3. Carry a label: the nearest neighbour by hand
#
# One patient has a label, the others have none. Give each voxel of a new patient the label of the
# voxel in the known patient whose features are nearest. Nothing is trained, so nothing can make up
# for poor features. The field calls it 1-NN, the glossary
# [label transfer](../docs/glossary.md#label-transfer).
#
# First, read all levels of the encoder at every voxel. Coarse levels are interpolated.


# %%
def read_by(encoder):
    """A function: a scan (1, channel, x, y, z) → the features of its voxels (voxel, feature)."""

    def read(image):
        with torch.inference_mode():
            levels = [
                torch.nn.functional.interpolate(level, image.shape[2:], mode="trilinear")
                for level in encoder(image)
            ]
        return torch.cat(levels, 1)[0].flatten(1).T.cpu()

    return read


def place(image):
    """Place alone: the features of a voxel are its three coordinates, counted from the corner."""
    axes = [torch.arange(edge, dtype=torch.float32) for edge in image.shape[2:]]
    return torch.cartesian_prod(*axes)


def carry(read, known_image, known_label, image, every=2, count=size["known"], seed=known):
    """The label map of a scan, at every n-th voxel, by nearest neighbours in one labelled scan."""
    features, labels = read(known_image), known_label.flatten().cpu()
    chosen = np.random.default_rng(seed).choice(len(features), count, replace=False)
    features, labels = features[chosen], labels[chosen]
    mean, unit = features.mean(0), features.std(0, correction=0)
    unit[unit == 0] = torch.inf  # a feature that never varies says nothing
    asked = read(image).view(*image.shape[2:], -1)[::every, ::every, ::every]
    asked = (asked - mean) / unit
    nearest = [
        torch.cdist(part, (features - mean) / unit).argmin(1)
        for part in asked.flatten(0, 2).split(2048)
    ]
    return labels[torch.cat(nearest)].view(asked.shape[:3])


def dice(found, truth):
    """Mean over the two parts: twice the voxels in common, divided by the sum of the sizes."""
    parts = [(found == part, truth == part) for part in range(1, len(cohort.label_names))]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1) for a, b in parts]))


# %%
known_image, known_label = cohort.images([known]), cohort.labels([known])[0]
by_hand = []
for case in tested:
    found = carry(read_by(encoders["CPC"]), known_image, known_label, cohort.images([case]))
    by_hand.append(dice(found, cohort.labels([case])[0].cpu()[::2, ::2, ::2]))
library = ssl3d.evaluation.label_transfer(
    encoders["CPC"], cohort, [[known]], tested, voxels=size["known"], hausdorff=False
)[0].dice.mean(1)
print("by hand ", np.round(by_hand, 3))
print("library ", np.round(library, 3))
print("the same:", np.allclose(by_hand, library, atol=2e-3))

# %% [markdown]
# The label that CPC's features carry to a new patient, in 3D. No network was trained to segment
# anything.

# %%
case = tested[0]
image, label = cohort[case]
found = carry(read_by(encoders["CPC"]), known_image, known_label, cohort.images([case]), every=1)
print(f"Dice at every voxel: {dice(found, torch.from_numpy(np.array(label))):.3f}")
ssl3d.show.Volume3D(
    image,
    found.numpy(),
    label_names=cohort.label_names,
    spacing=cohort.spacing,
    title="A label carried to a new patient by CPC's features",
)

# %%
pictures = {"truth": np.array(label), "by CPC": found.numpy()}
for name, read in {"by random": read_by(encoders["random"]), "by place": place}.items():
    pictures[name] = carry(read, known_image, known_label, cohort.images([case]), every=1).numpy()
ssl3d.show.segmentations(
    np.asarray(image[0], np.float32), pictures, cohort.label_names, spacing=cohort.spacing
)

# %% [markdown]
# *What to look at:* crumbs. Features of anatomy give one connected piece, at the right structure.
# Place gives the shape of the *known* patient, whatever the scan shows.
#
# <details><summary>What we saw</summary>
#
# On eight patients CPC's features carried the label with Dice 0.612 to 0.781, and nobody trained a
# network to segment. In the patient shown (0.734 at every voxel) both parts are whole, and they lie
# on the hippocampus. What goes wrong is the border between the parts: in the middle row, a cut
# across the hippocampus, CPC finds some of the front where all is back. Random weights do this
# more, and scatter crumbs over other tissue. Place alone has few crumbs too: it is nearly the known
# patient's label, with holes since only some of its voxels are asked.
#
# </details>
#
# ## 4. Anatomy, or only the place?
#
# Here is the trap. All these boxes are centred on the hippocampus. So a voxel in the middle of the
# box is likely hippocampus in every patient, and features that only say *where in the box* a voxel
# lies carry a label well. A network can learn its position from the zeros that convolutions pad the
# borders with.
#
# **A test that place cannot pass: move the crop.** Take the known patient without its last voxels
# along each axis, and the new patient without its first ones. Then the same anatomy lies at another
# position. Features of anatomy do not care. Features of place are wrong by exactly the step.

# %%
step = [edge // 6 for edge in cohort.shape]  # voxels along each axis


def cut(volume, moved):
    """A crop of a scan or a label: without its last voxels, or moved, without its first ones."""
    sides = [slice(by, None) if moved else slice(None, -by) for by in step]
    return volume[(..., *sides)]


readers = {"place": place} | {name: read_by(encoder) for name, encoder in encoders.items()}
carried = {}
for where, moved in {"same crop": False, "moved crop": True}.items():
    for name, read in readers.items():
        results = []
        for case in tested:
            found = carry(
                read,
                cut(known_image, False),
                cut(known_label, False),
                cut(cohort.images([case]), moved),
            )
            truth = cut(cohort.labels([case])[0].cpu(), moved)[::2, ::2, ::2]
            results.append(dice(found, truth))
        carried[where, name] = float(np.mean(results))
millimetres = float(np.linalg.norm(np.multiply(step, cohort.spacing)))
print(f"moved by {step} voxels, {millimetres:.1f} mm in all")

# %% [markdown]
# **Predict before you look at the table below:** place loses nearly everything in the moved crop.
# Who keeps most? And is there an encoder that loses as much as place?
#
# The second way to ask is within one scan. Cut it twice. Compare a voxel's features in the first
# crop with those at the *same anatomy* in the second (mean squared distance $A$), and with those
# at the *same position* in the second (distance $P$). The score is $P/(P+A)$: 1 for anatomy alone,
# 0 for place alone, and 0.5 for noise. By hand, and by `equivariance_under_shift`:

# %%
case = tested[0]
volume, read = cohort.images([case]), readers["CPC"]
first, second = cut(volume, False), cut(volume, True)
rooms = [edge - 2 * by for edge, by in zip(cohort.shape, step, strict=True)]
drawn = np.random.default_rng(case).choice(int(np.prod(rooms)), 1000, replace=False)
voxels = np.stack(np.unravel_index(drawn, rooms), -1) + step  # positions, seen in both crops


def at(features, positions):
    """The rows of a crop's features at positions (voxel, axis)."""
    return features[np.ravel_multi_index(positions.T, first.shape[2:])]


before = at(read(first), voxels)
same_anatomy = at(read(second), voxels - step)  # in the second crop all has moved down by a step
same_position = at(read(second), voxels)
unit = before.std(0, correction=0)
unit[unit == 0] = torch.inf
a = float(((before - same_anatomy) / unit).square().mean())
p = float(((before - same_position) / unit).square().mean())
library = ssl3d.evaluation.equivariance_under_shift(encoders["CPC"], cohort, [case])
print(f"A = {a:.3f}, P = {p:.3f}, score {p / (p + a):.4f}; library {library.score:.4f}")
print("the same:", np.allclose(p / (p + a), library.score, atol=1e-3))

# %% [markdown]
# And a third: the [linear probe](../docs/glossary.md#linear-probe) with two labelled scans, once on
# the features, and once on the features *and* 34 smooth functions of the coordinates. If the place
# is given to everyone, no one can be ahead by knowing it.

# %%
labelled = [cohort.subset(split.train, 2, draw) for draw in range(3)]
rows = {name: {} for name in readers}
for name in readers:
    rows[name]["label carried"] = carried["same crop", name]
    rows[name]["crop moved"] = carried["moved crop", name]
for name, encoder in encoders.items():
    ready = ssl3d.evaluation.recalibrated(encoder, cohort, split.pretrain[:8])
    shift = ssl3d.evaluation.equivariance_under_shift(ready, cohort, tested)
    rows[name]["follows"] = shift.score
    rows[name]["off, mm"] = shift.distance
    for protocol, results in ssl3d.evaluation.probes_by_protocol(
        ready, cohort, labelled, tested
    ).items():
        rows[name][protocol] = float(np.mean([result.score for result in results]))
of_place = [ssl3d.evaluation.evaluate_place(cohort, draw, tested).score for draw in labelled]
rows["place"] |= {"probe": float(np.mean(of_place)), "follows": 0.0, "off, mm": millimetres}

heads = ("label carried", "crop moved", "follows", "off, mm", "probe", "probe+place")
print(f"{'':28}" + "".join(f"{name:>17}" for name in rows))
for head in heads:
    cells = [f"{row[head]:17.3f}" if head in row else f"{'–':>17}" for row in rows.values()]
    print(f"{head:28}" + "".join(cells))
print(f"a voxel drawn at random is {shift.chance_distance:.1f} mm off")

# %% [markdown]
# *How to read it.* *Label carried* and *crop moved* are Dice with one labelled scan. *Follows* is
# the equivariance: 0 place, 0.5 neither, 1 anatomy. *Off* is how far the best match in the moved
# crop lies from the right spot; matching by place is off by the whole step. *Probe* is Dice with
# two labelled scans; in the column of place it is the mean label map.
#
# <details><summary>What we saw</summary>
#
# In the same crop place alone carried a label with Dice 0.507, CPC with 0.687, the better random
# encoder with 0.501. Without the column of place, 0.501 looks like knowledge. When the crop moved,
# place fell to 0.024 and CPC kept 0.593. So CPC's features follow the anatomy in good part; they
# are not only a map of the box. The oracle kept most, 0.677. No encoder lost as much as place. But
# the random encoder that had been as good as place fell to 0.302, below the other random one
# (0.323): a part of what it knew was place.
#
# The score of following says the same: CPC 0.724, the oracle 0.719, random weights 0.539 and 0.572,
# little more than the 0.5 of noise. None was at 1: all levels count, and a voxel in the moved crop
# has other neighbours and another distance to the padded border. The best match of CPC was 6.8 mm
# off on average, that of random weights 12.2 and 12.4 mm, as much as place.
#
# *Probe:* CPC 0.580, the better random one 0.334. With the place given to all it is 0.605 against
# 0.551. The random encoder gains much by being told the place, and CPC gains little: it knew. So
# most of its lead in the first reading is gone in the second. What it is still ahead by, on one
# seed and a few patients, is a picture of what to ask, and no
# [verdict](../docs/glossary.md#verdict).
#
# One number may surprise you: place had 0.507 with one labelled scan, and 0.317 in the row *probe*,
# with two. Where two scans do not agree, the mean label map has no majority, and the library then
# says background. So of two scans only the overlap is left.
#
# </details>
#
# ## 5. Predict, click, judge
#
# Now use your own eyes. The view shows four patients that no encoder was trained on. Point at a
# voxel of patient A. In the others the voxels that are most like it light up, and a ring stands at
# the best match: by CPC, by random weights, and by place alone. The last picture in a row is A
# itself, in a crop that you can move.
#
# Do it like this, for five points:
#
# 1. **Predict.** Choose a point of A, such as the tip of the tail, the border between the parts, or
#    the dark fluid above. Say where it lies in B, and whether CPC will find it.
# 2. **Click.**
# 3. **Judge.** Is the ring at the same structure? Is it green (the label is right)? Now drag the
#    crop. Does the ring stay on the structure, or does it move with the frame?
#
# (Pointing needs a live notebook. If you only read, download such a page,
# [features.html](../docs/features.html), and open it in a browser.)

# %%
view = ssl3d.show.Features(
    encoders["CPC"],
    cohort,
    beside=encoders["random"],
    cases=split.test[:4],
    names=("trained by CPC", "random weights"),
)
view

# %% [markdown]
# *Without a live view:* the picture shows the first question, the middle of the larger part. A
# yellow ring is the question, white rings are the best matches, and the colours are those of
# section 2.
#
# <details><summary>What we saw</summary>
#
# CPC's rings lie in or near the front of the hippocampus in all three patients. Random weights are
# near it in two, and far behind and below it in the third. Place alone points at the same position
# in each picture. As all boxes are centred on the organ, that looks right here.
#
# </details>
#
# The next cell asks for a harder point, the tip of the tail, of all encoders at once. The ring in
# the left column is the question. Best matches come first, and the titles name the label that was
# hit.

# %%
asked = split.test[:4]
tail = np.argwhere(cohort.labels(asked[:1])[0].cpu().numpy() == len(cohort.label_names) - 1)
voxel = [int(edge) for edge in tail[tail[:, 1].argmin()]]  # the voxel furthest to the back
chosen = {
    name: ssl3d.features(encoders[name], cohort, asked) for name in ("random", "CPC", "oracle")
}
ssl3d.show.nearest_patches(chosen, cohort, asked, voxel)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# By the titles CPC found the tail in none of three patients, random weights in one, and even the
# oracle in none. Now look at the rings. In two patients CPC's ring and the oracle's stand at the
# end of the tail, just outside the label: the tip is the label's last voxel, so one voxel further
# on is background. In the third patient all three are wrong. Random weights are at the tail in one
# patient, and elsewhere in two.
#
# So at this point a count of right labels would have said that random weights are the best. One
# point of one patient is an anecdote, for a radiologist as for a network, and a point at a border
# is a bad question. The table of section 4 asks thousands of voxels.
#
# </details>
#
# ## 6. Which patients are alike, and why?
#
# The mean of a scan's features is one vector for the whole patient, and near vectors are "similar
# patients". Search engines for scans are built on this. But scans of one scanner have similar
# intensities, and then the nearest patient may only be one with the same scanner. The control: the
# nearest patients by the *histogram* of intensities, which knows no anatomy. A frame marks patients
# that both lists have.

# %%
many = split.test[:12]
everyone = ssl3d.features(encoders["CPC"], cohort, many, stride=4)
ssl3d.show.nearest_patients(everyone, cohort, many, count=4)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# One of the four nearest patients by CPC's features is also among the four nearest by histogram. If
# nearly all were framed, features would say nothing that a histogram does not say. So they say
# something else here. In the upper row the hippocampus has much the same slope and length in all
# five pictures; in the lower row it differs more. But virtual patients have no scanner and no
# disease, so whether such neighbours are of any use is a question for real scans.
#
# </details>
#
# ## What to remember
#
# - Colours are a projection to three of many dimensions. They raise questions and answer none.
# - Every score of frozen features needs random weights of several kinds and place next to it.
# - On crops that are centred on an organ, place is strong. Move the crop, or give the place to all.
# - An oracle says what there is to gain. It can also follow place, since labels lie in the middle.
#
# **Exercise.** Which level of the encoder knows the anatomy, and which the place? Level 0 is the
# finest. Predict, then ask each level alone for its Dice in the same and in the moved crop.
#
# <details><summary>Hint</summary>
#
# `read_by` concatenates `encoder(image)`, a list of levels. Write a reader that takes one of them,
# and give it to `carry`.
#
# </details>
# <details><summary>Answer</summary>
#
# ```python
# def level_of(encoder, number):
#     def only(image):
#         return [encoder(image)[number]]
#
#     return read_by(only)
#
#
# for number in range(3):
#     for moved in (False, True):
#         results = []
#         for case in tested:
#             found = carry(
#                 level_of(encoders["CPC"], number),
#                 cut(known_image, False),
#                 cut(known_label, False),
#                 cut(cohort.images([case]), moved),
#             )
#             results.append(dice(found, cut(cohort.labels([case])[0].cpu(), moved)[::2, ::2, ::2]))
#         print("level", number, "moved" if moved else "same ", round(float(np.mean(results)), 3))
# ```
#
# The finest level sees few voxels around each: it knows tissue, and carries a label poorly. The
# deepest one sees most of the box. That is where anatomy can be known, and also where the padded
# border is in sight, so compare *how much* each loses when the crop moves. Expect that no single
# level does as well as all of them together, and trust your run more than this sentence.
#
# </details>
#
# ## Where this comes from, and where it leads
#
# Nearest neighbours in frozen features are how Wu et al. and many after them read encoders without
# labels. Lei et al. find the same organ in another patient by features that are trained to know
# relative positions, and Zhai et al. make the position itself the task: place is no enemy, it only
# must not be taken for anatomy.
#
# The views are explained in [docs/views](../docs/views.md); the code is in
# [feature_maps.py](../ssl3d_lite/evaluation/feature_maps.py),
# [neighbours.py](../ssl3d_lite/evaluation/neighbours.py) and
# [equivariance.py](../ssl3d_lite/evaluation/equivariance.py).
#
# **Next:** [11, fine-tuning](11_finetuning.ipynb): what remains of all this when the whole network
# may learn.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Wu et al., [Unsupervised Feature
# Learning via Non-Parametric Instance Discrimination](https://arxiv.org/abs/1805.01978), CVPR
# 2018. Lei et al., [Contrastive Learning of Relative Position Regression for One-Shot Object
# Localization in 3D Medical Images](https://arxiv.org/abs/2012.07043), MICCAI 2021. Zhai et al.,
# [Position Prediction as an Effective Pretraining Strategy](https://arxiv.org/abs/2207.07611),
# ICML 2022.

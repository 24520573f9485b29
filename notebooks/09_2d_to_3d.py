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
# # From 2D to 3D: what changes, and what a slice cannot know
#
# **You will be able to:** cut a cohort into slices and keep each patient on one side; build a 2D
# network out of a 3D one; say what a slice cannot show; and compare 2D with 3D so that the
# comparison is fair.
#
# **Time:** 4 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [06, CPC](06_cpc.ipynb), which is trained here in 2D and in 3D.
#
# A pathologist sees sections, a surgeon sees the organ. Cut an orange far from its middle, and the
# slice is small and round. So is a slice through the middle of a plum. From one slice nobody can
# say which it was. Networks for photographs read scans like that, slice by slice. The paper claims
# that 3D is better. Is it the *network* in 3D that is better, or the *pretraining* in 3D? These are
# two questions, and the table of the paper can answer neither: a row is missing.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import time
import numpy as np
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 5, "seeds": 2, "labels": (2,)},
    "class": {"cases": 60, "filters": (16, 32, 64), "steps": 150, "seeds": 6, "labels": (2, 5)},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1000, "seeds": 6, "labels": (2, 5)},
}
size = SIZES[ssl3d.scale()]
RUNS = f"runs/09-{ssl3d.scale()}"
solid = ssl3d.open_cohort("hippocampus", cases=size["cases"])  # volumes
split = solid.split()
device = solid.images([0]).device

# %% [markdown]
# ## 1. One organ, as a volume and as slices
#
# The front (*anterior*) and the back (*posterior*) part of a hippocampus, in planes and in 3D.

# %%
case = split.train[0]
image, label = solid[case]
ssl3d.show.Volume3D(
    image, label, label_names=solid.label_names, spacing=solid.spacing, title="One hippocampus"
)

# %% [markdown]
# And what a network for coronal slices sees of it: one picture at a time. Cover the lower row.
# Which of these slices is anterior, which posterior?

# %%
label = np.array(label)
filled = np.flatnonzero((label > 0).any((0, 2)))  # coronal slices that show some of it
chosen = filled[np.linspace(1, len(filled) - 2, 6).round().astype(int)]
figure = Figure(figsize=(9, 3.2), layout="constrained")
for place, (above, below) in zip(chosen, figure.subplots(2, 6).T, strict=True):
    for axes in (above, below):
        ssl3d.show.draw_plane(axes, np.asarray(image[0], np.float32), 1, place)
    ssl3d.show.overlay_classes(below, label, 1, place, solid.label_names)
    above.set_title(f"slice {place}", fontsize=9)
figure

# %% [markdown]
# *What to look at:* blue is anterior, orange posterior, as in 3D. The streaks at the border are
# voxels repeated to fill the box, and no anatomy. The slices on the left are from the back, those
# on the right from the front. In slice 31 both parts are seen, one over the other. Would you have
# known, from slice 24 alone, that it is posterior?
#
# **Predict before you run:** of all slices that show any hippocampus, what share shows *both*
# parts, plane by plane? In a slice with one part alone, what could say which it is?

# %%
maps = solid.labels(split.train).cpu().numpy()  # (scan, x, y, z)
for axis, plane in enumerate(ssl3d.show.PLANE_NAMES):
    across = tuple(a for a in (1, 2, 3) if a != axis + 1)
    parts = np.stack([(maps == part).any(across) for part in range(1, len(solid.label_names))])
    some, all_parts = parts.any(0).sum(), parts.all(0).sum()
    empty = 1 - parts.any(0).mean()
    print(f"{plane:9} {all_parts / some:4.0%} show both; {empty:.0%} of all slices are empty")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Of the sagittal slices with any hippocampus 85 % show both parts, of the axial ones 38 %, of the
# coronal ones 7 %. The hippocampus runs from the back to the front, and downwards on its way.
# Sagittal planes contain this line. Axial planes contain its direction from back to front, but
# many pass above the front part or below the back part. A coronal slice is a cut across: there
# only the outline, and what is around it, can say which part it is. So whoever compares 2D with 3D
# must first choose planes, and choose them well: here sagittal ones. (The exercise takes others.)
#
# </details>
#
# ## 2. Cutting slices
#
# A recipe makes a 2D cohort of a 3D one. Each slice becomes a case, but keeps its scan's patient
# and **fold**: slices of one patient never stand on two sides. It takes all slices, and not those
# with labels alone: pretraining sees them too, and must not know where labels are.

# %%
folder = f"{RUNS}/sagittal-{solid.folder.name}"
ssl3d.data.make_cohort("slices", folder, cohort=solid.folder, axis=0)
flat = ssl3d.Cohort.open(folder).to(device)
flat_split = flat.split()
print(f"{len(solid)} volumes of {solid.shape} -> {len(flat)} slices of {flat.shape}")

by_hand = solid.images([0])[0].unbind(1)  # a volume (channel, x, y, z) is a stack of slices
library = flat.images(range(len(by_hand)))
print("slices as by hand:", torch.equal(torch.stack(by_hand), library))
sides = {"train": flat_split.train, "validation": flat_split.validation, "test": flat_split.test}
patients = {side: {flat.cases[n].patient for n in cases} for side, cases in sides.items()}
print({side: len(those) for side, those in patients.items()}, "patients")
print("on two sides:", patients["train"] & (patients["validation"] | patients["test"]) or "none")

# %% [markdown]
# ## 3. What changes: one number
#
# The library is written for $D$ space axes. An encoder says how many it has, and a task asks the
# encoder. There is no second implementation that could silently differ. (In the authors' code the
# 2D and the 3D version of CPC pad and skip rows differently.)
#
# A 2D network *is* a 3D network whose kernels are one voxel thick. By hand, for the first
# convolution of a 2D encoder:

# %%
SHAPES = {
    dims: ssl3d.EncoderSettings(1, spatial_dims=dims, filters=size["filters"], norm="instance")
    for dims in (2, 3)
}
encoder = ssl3d.make_encoder(SHAPES[2], seed=0).to(device)
kernel = next(layer for layer in encoder.modules() if isinstance(layer, torch.nn.Conv2d))
volume = solid.images(split.train[:1])  # (1, 1, x, y, z)

slice_by_slice = torch.stack([kernel(picture) for picture in volume.unbind(2)], 2)
at_once = torch.nn.functional.conv3d(
    volume,
    kernel.weight[:, :, None],  # one voxel thick along x
    kernel.bias,
    stride=(1, *kernel.stride),
    padding=(0, *kernel.padding),
)
print("kernel", tuple(kernel.weight.shape), "→", tuple(kernel.weight[:, :, None].shape))
print("the same:", torch.allclose(slice_by_slice, at_once, atol=1e-5))

# %% [markdown]
# **Predict before you run:** why has rotation 4 answers in 2D and 10 in 3D, and relative location 8
# and 26?

# %%
# CPC goes from back to front: axis 1 of a volume (x, y, z), axis 0 of a sagittal slice (y, z)
WAY = {2: {"directions": ("+0",)}, 3: {"directions": ("+1",)}}
sources = {2: flat.images(flat_split.train[:4]), 3: solid.images(split.train[:4])}
for name in ("rotation", "rpl", "jigsaw", "exemplar", "cpc"):
    for dims, volumes in sources.items():
        own = WAY[dims] if name == "cpc" else {}
        task = ssl3d.make_task(name, SHAPES[dims], seed=0, **own).to(device).eval()
        batch = task.make_views(
            volumes, task.sample_params(volumes, torch.Generator().manual_seed(0))
        )
        with torch.no_grad():
            prediction = task(ssl3d.make_encoder(SHAPES[dims], seed=0).to(device), batch)
        chance = task.score(prediction, batch)["chance"]
        print(f"{name:9} {dims}D  views {tuple(batch.views.shape)!s:26} chance {chance:.3f}")
for dims in (2, 3):
    turns, places = ssl3d.tasks.geometry.quarter_turns(dims), 3**dims - 1
    print(f"{dims}D: {len(turns)} turns, {places} places around a centre")

# %% [markdown]
# <details><summary>Answer</summary>
#
# In a plane there is one axis to turn around: no turn, and three quarter turns. In space there are
# three axes: no turn, and 3 × 3. A square has 3 × 3 − 1 = 8 neighbours, a cube 3 × 3 × 3 − 1 = 26.
#
# </details>
#
# The same question in both, on a whole brain, where a person can recognise the patches: from which
# place did the second patch come? First in 2D, as the network gets them. **Predict before you go
# on:** patch 0 is from the middle of an axial slice. Where does patch 1 lie, seen from it?

# %%
PLACE = 4  # 0 to 7; change it, and run the cells below again
heads = ssl3d.open_cohort("brats", cases=3, edge=60)
head = heads.images([0])[:, :1]
picture = head[..., head.shape[-1] // 2]
rpl = ssl3d.make_task("rpl", SHAPES[2], queries_per_scan=1, patch=16)
params = rpl.sample_params(picture, torch.Generator().manual_seed(0))
params["query"][:] = PLACE
batch = rpl.make_views(picture, params)
figure = Figure(figsize=(5, 2.6), layout="constrained")
for number, axes in enumerate(figure.subplots(1, 2)):
    axes.imshow(batch.views[0, number, 0].cpu().T, cmap="gray", origin="lower")
    axes.set_title(f"patch {number}", fontsize=10)
    axes.set_axis_off()
figure

# %% [markdown]
# The answer in 2D:

# %%
ssl3d.show.puzzle(picture, batch)

# %% [markdown]
# In 3D the place in the plane is the same. **Predict before you look** at the next picture: the
# patches lie one behind the other there, too. In which direction of the body?

# %%
rpl = ssl3d.make_task("rpl", SHAPES[3], queries_per_scan=1, patch=16)
params = rpl.sample_params(head, torch.Generator().manual_seed(0))
cell = 3 * (PLACE + (PLACE >= 4)) + 1  # the same row and column, in the middle layer of three
params["query"][:] = cell - (cell > 13)  # places leave the centre, cell 13, out
ssl3d.show.Puzzle3D(head, rpl.make_views(head, params))

# %% [markdown]
# <details><summary>Answer</summary>
#
# To the front of the head. "Above" in the picture of an axial slice is the front. In the last
# picture, put back, patch 1 lies from patch 0 in the direction of A (anterior): towards you, to the
# lower right. It is neither higher nor lower. But in 3D it might have been: above and below the
# slice there are 18 more places, which no slice can ask for.
#
# </details>
#
# ## 4. What is lost
#
# With $x \in \mathbb{R}^{X \times Y \times Z}$ a volume, a 2D network computes
#
# $$f_{2D}(x)_{\cdot,\cdot,k} = f(x_{\cdot,\cdot,k}) ,$$
#
# each slice $k$ by itself (written for axial slices; for the sagittal ones of section 2 it is the
# first index). So slices could be shuffled, and every answer would stay the same. What lies above
# and below a voxel cannot enter. Check it:

# %%
order = torch.randperm(len(sources[2]), generator=torch.Generator().manual_seed(1))
encoder = ssl3d.make_encoder(SHAPES[2], seed=0).to(device).eval()
with torch.no_grad():
    straight, shuffled = encoder(sources[2])[-1], encoder(sources[2][order])[-1]
print(
    "2D, slices shuffled, features the same:", torch.allclose(straight[order], shuffled, atol=1e-5)
)

stack = sources[3]
encoder = ssl3d.make_encoder(SHAPES[3], seed=0, stride=1)  # its finest level keeps every slice
encoder = encoder.to(device).eval()
with torch.no_grad():
    straight = encoder(stack)[0]
    mixed = torch.randperm(stack.shape[-1], generator=torch.Generator().manual_seed(1))
    shuffled = encoder(stack[..., mixed])[0]
print(
    "3D, slices shuffled, features the same:",
    torch.allclose(straight[..., mixed], shuffled, atol=1e-5),
)

# %% [markdown]
# And what is gained: a slice needs little memory, and networks pretrained on photographs can be
# used. Where slices lie five to seven pixels apart one might expect little to lose
# ([18, hearts](18_hearts.ipynb) has such scans, and looks). Which is better has to be measured.
#
# ## 5. A fair comparison
#
# Fair means: all that may differ is the thing compared. Here these are equal:
#
# - the scans seen in pretraining, and the scans with labels (counted in **scans**, not in slices);
# - the steps, and the **voxels of a step**: two volumes, or as many slices as two volumes have;
# - the filters of each level, the norm (instance), the learning rate, the optimiser;
# - the score: slices are stacked again, and Dice is that of the whole scan;
# - the controls: random encoders **of the same dimension**, and one floor for both, place alone in
#   3D.
#
# What cannot be equal at the same time:
#
# - the number of weights, the time of a step, and the number of questions in it. So they are
#   printed;
# - whom a step sees. The slices of a step are drawn from all patients, so a step in 2D has many
#   patients, and one in 3D has two;
# - the wrong answers of CPC. They are the other patches of the step: in 3D patches of the same two
#   scans, in 2D patches of slices from many patients.

# %%
RUN = {
    2: (
        flat,
        flat_split,
        ssl3d.TrainSettings(steps=size["steps"], batch=2 * solid.shape[0], learning_rate=2e-3),
    ),
    3: (solid, split, ssl3d.TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)),
}
encoders = {2: [], 3: []}
for dims, (cohort, parts, settings) in RUN.items():
    found, begin = [], time.process_time()
    for seed in range(size["seeds"]):
        encoder = ssl3d.make_encoder(SHAPES[dims], seed)
        task = ssl3d.make_task("cpc", encoder, seed, **WAY[dims])
        ssl3d.pretrain(task, encoder, cohort, settings=settings, seed=seed)
        encoders[dims].append(encoder)
        found.append(
            ssl3d.evaluation.proxy_score(task, encoder, cohort, parts.validation, settings.batch)
        )
    seconds = (time.process_time() - begin) / settings.steps / size["seeds"]
    weights = sum(weight.numel() for weight in encoder.parameters())
    low, high = (end(each["accuracy"] for each in found) for end in (min, max))
    print(f"{dims}D: {weights} weights, {settings.batch} a batch, {seconds:.2f} s of CPU a step")
    print(f"    puzzle {low:.1%} to {high:.1%} in {len(found)} seeds", end="; ")
    print(f"chance {found[0]['chance']:.2%}")

# %% [markdown]
# *What to look at:* the two accuracies cannot be compared with each other. The 2D puzzle has many
# more patches to choose from, and in this test most are from slices next to the right one.
# [Chance](../docs/glossary.md#chance) is what one and the same answer to every question would get,
# if it is a patch of the last row.
#
# <details><summary>What we saw</summary>
#
# In six seeds 0.6 % to 0.8 % of the questions were answered in 2D, where chance is 0.28 %; in 3D
# 9.6 % to 12.0 %, where chance is 3.70 %. So in both dimensions the network is right two to three
# times as often as one fixed answer would be. (In section 3 chance in 3D was 0.019, with four scans
# in a batch; here there are two.) The 2D encoder has a third of the weights, and yet its step took
# 0.12 s of CPU, that of 3D 0.07 s: with equal voxels a slice is not cheaper, and each answer is
# compared with 1200 patches instead of 90.
#
# </details>
#
# ## 6. What the features are good for
#
# The [linear probe](../docs/glossary.md#linear-probe), on the same labelled scans, scored scan by
# scan. Each seed has its own encoder and its own labelled scans, the same ones in 2D and 3D. Each
# probe is made twice: on the features alone, and with the *place* of each voxel among its inputs
# (`probe+place`). Why? Features may only say where a voxel lies, and
# [place alone](../docs/glossary.md#place-alone) is worth much here. Told to all, it is no advantage
# of anybody. (A voxel of a slice is told its place in the slice, and not the slice's number.)
#
# **Predict before you run:** put these four in order: CPC 2D, CPC 3D, random 2D, random 3D. And in
# which dimension does CPC *gain* more over random?

# %%
READINGS = ("probe", "probe+place")


def probe(candidates, cohort, parts):
    """Reading → number of labelled scans → Dice on test scans: each encoder with its own draw."""
    found = {reading: {n: [] for n in size["labels"]} for reading in READINGS}
    for seed, candidate in enumerate(candidates):
        draws = [cohort.subset(parts.train, n, seed) for n in size["labels"]]
        both = ssl3d.evaluation.probes_by_protocol(candidate.to(device), cohort, draws, parts.test)
        for reading, results in both.items():
            for n, result in zip(size["labels"], results, strict=True):
                found[reading][n].append(result.mean_dice)
    return found


scores, seeds = {}, range(size["seeds"])
for dims in (3, 2):
    cohort, parts, _ = RUN[dims]
    scores[f"CPC {dims}D"] = probe(encoders[dims], cohort, parts)
    for norm in ("instance", "none"):
        starts = [ssl3d.make_encoder(SHAPES[dims], 100 + seed, norm=norm) for seed in seeds]
        scores[f"random {dims}D, norm: {norm}"] = probe(starts, cohort, parts)
floor = {n: [] for n in size["labels"]}  # no encoder: the mean label map of the same labelled scans
for n, dice in floor.items():
    for seed in seeds:
        known = solid.subset(split.train, n, seed)
        dice.append(ssl3d.evaluation.evaluate_place(solid, known, split.test).score)
scores["place alone"] = dict.fromkeys(READINGS, floor)
titles = [f"{reading}, {n} scans" for reading in READINGS for n in size["labels"]]
print(f"{'':24}", *(f"{title:>20}" for title in titles))
for name, readings in scores.items():
    means = [np.mean(readings[reading][n]) for reading in READINGS for n in size["labels"]]
    print(f"{name:24}", *(f"{mean:20.3f}" for mean in means))

# %%
figure = Figure(figsize=(9, 3.4), layout="constrained")
marks = {"CPC": ("o", "-"), "instance": ("s", "--"), "none": ("D", "--"), "alone": ("x", ":")}
panels = figure.subplots(1, 2, sharey=True)
for axes, reading in zip(panels, READINGS, strict=True):
    for name, readings in scores.items():
        colour = {"3D": ssl3d.show.COLOURS[0], "2D": ssl3d.show.COLOURS[1]}.get(
            name.split(",")[0][-2:], "black"
        )
        mark, line = next(style for word, style in marks.items() if word in name)
        means = [np.mean(readings[reading][n]) for n in size["labels"]]
        axes.plot(range(len(means)), means, line, marker=mark, color=colour, label=name)
    axes.set_xticks(range(len(size["labels"])), [str(n) for n in size["labels"]])
    axes.set(title=reading, xlabel="labelled scans", xlim=(-0.2, len(size["labels"]) - 0.8))
    ssl3d.show.tidy(axes)
panels[0].set_ylabel("mean Dice of six seeds" if len(seeds) == 6 else "mean Dice")
panels[1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# *What to look at:* colour is the dimension. Plain lines are trained, dashed ones random, the
# dotted one is place. Now ask two questions, which are not the same: is 3D above 2D? And is the
# *gain* over the best control of the same dimension larger in 3D? The next cell takes both
# differences seed by seed, and prints their means with an interval over seeds: the first one also
# for the random encoders. It draws the second.

# %%
interval = ssl3d.study.statistics.interval  # 95 %, over seeds; notebook 11 makes one by hand


def said(differences):
    low, high = interval(differences)
    return f"{np.mean(differences):+.3f} ({low:+.3f} to {high:+.3f})"


panels = {reading: [] for reading in READINGS}
for reading, effects in panels.items():
    for n in size["labels"]:
        gains = {}
        for dims in (2, 3):
            dice = {name: found[reading][n] for name, found in scores.items() if f"{dims}D" in name}
            best = max((name for name in dice if "CPC" not in name), key=lambda k: np.mean(dice[k]))
            gains[dims] = np.subtract(dice[f"CPC {dims}D"], dice[best])
            print(f"{reading:11} {n} scans: CPC {dims}D gains {said(gains[dims])} over {best}")
        print(f"{reading:11} {n} scans: 3D minus 2D:")
        for arm in ("CPC {}D", "random {}D, norm: instance", "random {}D, norm: none"):
            apart = np.subtract(*(scores[arm.format(d)][reading][n] for d in (3, 2)))
            print(f"    {arm.replace(' {}D', ''):22} {said(apart)}")
        print(f"    gain by CPC            {said(gains[3] - gains[2])}")
        for what, each in {"2D": gains[2], "3D": gains[3], "3D − 2D": gains[3] - gains[2]}.items():
            reads = ssl3d.study.statistics.verdict(each, 0.02)
            effect = (f"{n} labels, {what}", each.mean(), interval(each), list(each), reads)
            effects.append(ssl3d.show.Effect(*effect))
panels = {f"gain by CPC, {reading}": effects for reading, effects in panels.items()}
ssl3d.show.forest(panels, 0.02, reach=0.25, readings=True)

# %% [markdown]
# *What to look at:* the large dot is the mean gain of the seeds, the line its interval, small dots
# are single seeds. Colour says where the interval lies; the dashed line is at a gain of 0.02. These
# are readings of single intervals, and no [verdicts](../docs/verdicts.md). What becomes of the blue
# lines when all are told the place?
#
# <details><summary>What we saw</summary>
#
# **Is 3D above 2D?** After CPC yes, with 5 labelled scans: by 0.078 (0.051 to 0.104) in the plain
# probe, and by 0.035 (0.012 to 0.057) with the place told. With 2 it was ahead by less, and both
# intervals reach below 0. But *among random encoders* no lead of 3D is seen: all their eight
# intervals include 0. For the better kind (norm: none) 3D minus 2D is −0.037 (−0.130 to +0.057) in
# the plain probe with 2 labelled scans, and −0.004 (−0.031 to +0.023) with 5. That does not rule
# out a small lead. But with 5 labelled scans it rules out leads as large as those after CPC: these
# were not there in untrained features. A network *trained from scratch* may still have one, and a
# frozen random encoder cannot say so. Section 7 looks at such networks.
#
# **Does pretraining gain more in 3D?** Yes, in both readings and with both numbers of labels: by
# 0.08 in the plain probe, and by 0.04 with the place told. All four intervals lie above 0.
# That is the direction of the paper's claim; the doubts below say how far it carries.
#
# **What does CPC gain?** In the plain probe it looks like much: 0.076 and 0.088 in 2D, 0.157 and
# 0.170 in 3D. But look at what the place does to the random encoders: with 5 labelled scans the
# better ones rise from 0.460 to 0.656 in 3D, and from 0.464 to 0.660 in 2D. So most of CPC's lead
# vanishes once all are told the place; it may have been knowing *where* a voxel lies. When all are
# told, CPC on slices has no gain that can be seen: −0.003 and +0.005, and the intervals include 0.
# CPC on volumes still gains 0.037 (0.010 to 0.064) and 0.045 (0.022 to 0.068). That is small, and
# no seed lies clearly below 0.
#
# Who reports the plain probe of the trained networks alone would have said: "CPC has learnt much,
# and 3D is better". But of CPC's gain three quarters (3D) or all (2D) goes once the place is told,
# and of what it gained *more* in 3D, half: 0.08 became 0.04.
#
# The doubts. This is a probe of one puzzle. The paper's claim is about fine-tuning, which was not
# done here (section 7 has studies of it). An interval here is over seeds; the twelve test scans are
# taken as given, and they are virtual, so this is no verdict. The better random kind was picked on
# these same scans, which is hard on CPC. A voxel of a slice is not told the number of its slice.
# All arms in 2D lack it, and that can lower 2D next to 3D. But an encoder that has learnt the
# slice's number would be credited for it, so the gains in 2D may be a little too large. The
# confounds of section 5 limit what "gains more in 3D" means: a step in 2D had many patients, other
# wrong answers and a third of the weights. So "more in 3D" is of these two recipes, and not of the
# dimension alone. And the planes were chosen well, by looking at labels (section 1): the exercise
# takes others.
#
# </details>
#
# ## 7. The paper's claim
#
# Taleb et al. fine-tune a network for brain tumours from each task in 2D and in 3D. From their
# Table 1 (Dice in %, published without seeds or error bars):

# %%
table, *_ = ssl3d.study.published.published_tables("brats")
code = ssl3d.study.published.paper_arms()
by_arm = {code[model]: values for model, values in table.rows.items() if model in code}
print(f"{'3D minus 2D':11}", *(f"{region:>6}" for region in table.columns))
for name in ("cpc", "rpl", "jigsaw", "rotation", "exemplar"):
    differences = np.subtract(by_arm[name], by_arm[f"2d-{name}"])
    print(f"{name:11}", *(f"{each:+6.2f}" for each in differences))
print("arms without pretraining:", [arm for arm in by_arm if "scratch" in arm])

# %% [markdown]
# **Ask yourself:** the table has a network from scratch in 3D. Is there one from scratch in 2D? If
# not, how would you know whether the difference comes from the pretraining or from the network?
#
# <details><summary>Answer</summary>
#
# There is none. The differences are nearly all above zero: 14 of 15, from less than 1 point to
# almost 6. So the table shows that "3D network with 3D pretraining" is ahead of "2D network with 2D
# pretraining", and cannot say why. What is missing is 2D *fine-tuned from scratch*. (Section 6 has
# its like for frozen features: random encoders of both dimensions.) And one run each, without an
# error bar, does not say what another seed would have given.
#
# </details>
#
# Two stored studies have the row itself. Both **fine-tune**, with six seeds, and each plan was
# written down before it ran: one on real hearts, whose slices lie 10 mm apart (ACDC;
# [notebook 18](18_hearts.ipynb) looks closer), one on virtual heads with tumours. A
# [verdict](../docs/verdicts.md) takes seeds and patients as samples, and counts pairs in which both
# networks did better than place alone. **Predict before you run:** is 3D ahead of slices after
# pretraining? And from scratch?

# %%
forests = {}
for title, folder in {"real hearts": "heart", "virtual heads": "virtual/brats"}.items():
    study = ssl3d.study.load_stored(folder)
    if study is None:
        continue
    claim = {each.name: each for each in ssl3d.study.claims.claims(study)}["3D beats 2D"]
    found = [finding.comparison for finding in claim.findings]
    control = [each for each in claim.controls if each.arm == "scratch"]  # never pretrained
    for each in (*found, *control):
        span = f"{each.low:+.3f} to {each.high:+.3f}" if each.interval else "one pair"
        print(f"{title:13} {each.arm:8} 3D minus 2D {each.mean:+.3f} ({span})", end="; ")
        print(f"failed: {each.failures.ours} and {each.failures.theirs} of 6", end="; ")
        print("no claim" if each in control else each.verdict)
    forests[title] = [
        ssl3d.show.Effect(each.arm, each.mean, each.interval, each.learnt, each.verdict)
        for each in (*found, *control)
    ]
forests and ssl3d.show.forest(forests, 0.02, controls=["scratch"], reach=0.3)

# %% [markdown]
# *What to look at:* all is 3D minus 2D. An arrow means that the interval goes on. The grey name is
# the control: the lead of 3D *without any pretraining*. Nothing was claimed of it, so it stays pale
# wherever its interval lies: not judged, whatever the legend calls this grey.
#
# <details><summary>What we saw</summary>
#
# **On real hearts** it cannot be told. Masked reconstruction was ahead in 3D by 0.047, but the
# interval goes from −0.359 to +0.452: with two labelled scans slices failed in 4 of 6 runs, so only
# 2 pairs count. From scratch 3D was ahead by 0.033, as unsurely.
#
# **On virtual heads** slices were ahead: 3D minus 2D is −0.082 (−0.122 to −0.042) after masked
# reconstruction, and the claim *does not hold*. From scratch it is −0.074 (−0.112 to −0.036). The
# lead of slices was there before any pretraining, and pretraining changed little.
#
# **And in section 6** CPC gained more in 3D on virtual hippocampi, where no lead of 3D was seen
# among random encoders. What networks from scratch have there was not measured. So there is no one
# answer: once it cannot be told, once slices are ahead, once a probe is better in 3D. The three
# differ in organ, voxels, puzzle and reading; which of these matters, none of them has put to the
# test. Of "3D is better" ask each time: on which scans, and what had both networks from scratch?
#
# </details>
#
# More of it, with the commands that made it, is in [notebooks/results](results/README.md). On your
# own scans:
# `ssl3d study hippocampus --scale class --arms cpc 2d-cpc scratch 2d-scratch --cohort COHORT`.
#
# **Exercise.** This notebook chose sagittal slices, for a reason. Cut **axial** ones (`axis=2`)
# into another folder, pretrain and probe. Predict first, with the shares of section 1 in mind. Is
# 2D still above place alone?
#
# <details><summary>Hint</summary>
#
# Two lines of section 2 change, the folder and the axis. The batch must have as many voxels as two
# volumes. And CPC goes along an axis of the slice: from back to front is "+1" in an axial slice
# (x, y). (Sagittal and axial planes contain the direction from back to front. Coronal planes do
# not, so there CPC would have to go another way.)
#
# </details>
# <details><summary>Answer</summary>
#
# ```python
# across = f"{RUNS}/axial-{solid.folder.name}"
# ssl3d.data.make_cohort("slices", across, cohort=solid.folder, axis=2)
# axial = ssl3d.Cohort.open(across).to(device)
# settings, batch = RUN[2][2], 2 * solid.shape[2]
# encoder = ssl3d.make_encoder(SHAPES[2], seed=0)
# task = ssl3d.make_task("cpc", encoder, seed=0, directions=("+1",))  # from back to front
# ssl3d.pretrain(task, encoder, axial, settings=settings, batch=batch)
# random = ssl3d.make_encoder(SHAPES[2], 100, norm="none")
# for name, candidate in {"CPC": encoder, "random": random}.items():
#     found = probe([candidate] * 3, axial, axial.split())  # three draws of labelled scans
#     for reading, by_number in found.items():
#         print(name, reading, {n: round(float(np.mean(d)), 2) for n, d in by_number.items()})
# print("place alone", {n: round(float(np.mean(d[:3])), 2) for n, d in floor.items()})
# ```
#
# At class scale, on average over the three draws, CPC had a Dice of 0.29 with 2 labelled scans and
# 0.29 with 5 in the plain probe, the random encoder 0.27 and 0.25. So more labels did not help, and
# all of it lies below place alone with the same scans (0.34 and 0.41), far above which CPC of
# sagittal slices lies.
#
# Why do more labels not help? Most axial slices that show the organ show one part alone, and little
# else that would say which, or how high in the head one is. What cannot be seen in a slice, more
# labelled slices do not teach. Tell it the place, and more labels do help again: CPC has 0.42 and
# then 0.49, the random encoder 0.41 and 0.47.
#
# Nothing but the plane was changed. So "2D" is no one thing: a table that has a single row for it
# may have chosen the plane badly. And if you choose among planes, choose by validation scans, or
# the best of them looks better than it is ([13](13_leakage.ipynb) has the formula).
#
# </details>
#
# ## Where this comes from, and where it leads
#
# - The 3D U-Net (Çiçek et al. 2016) made whole volumes practical. nnU-Net (Isensee et al. 2021)
#   plans 2D and 3D networks for each data set and chooses by cross-validation.
# - Models Genesis (Zhou et al. 2019) made the same case for 3D pretraining, by restoring distorted
#   boxes of CT.
# - Swin UNETR (Tang et al. 2022) pretrained a transformer on some 5000 CT scans in 3D, by
#   inpainting, contrast and rotation together.
# - Wald et al. (2025) pretrained masked autoencoders on 3D MRI, with much attention to fair
#   baselines.
#
# The recipe is [slices.py](../data_recipes/slices.py), the encoder
# [encoders.py](../ssl3d_lite/models/encoders.py).
#
# **Next:** [10, what did it learn?](10_what_did_it_learn.ipynb) puts an encoder under the
# microscope.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Çiçek et al., [3D
# U-Net](https://arxiv.org/abs/1606.06650), MICCAI 2016. Zhou et al., [Models
# Genesis](https://arxiv.org/abs/1908.06912), MICCAI 2019. Isensee et al.,
# [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), Nature Methods 2021. Tang et al.,
# [Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image
# Analysis](https://arxiv.org/abs/2111.14791), CVPR 2022. Wald et al., [Revisiting MAE pre-training
# for 3D medical image segmentation](https://arxiv.org/abs/2410.23132), CVPR 2025.

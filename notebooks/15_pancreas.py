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
# # Pancreas on CT: find a small organ, and draw how many labels it takes
#
# **You will be able to:** choose a CT window in Hounsfield units; say why a network finds nothing
# of a small organ at first, and for how long; pretrain on scans that nobody labelled; draw a curve
# of [label efficiency](../docs/glossary.md#label-efficiency) that has a floor; and ask of a gain
# whether it comes from the puzzle.
#
# **Time:** 12.5 minutes on one core, 7.5 on two (`SSL3D_SCALE=class`, the default), under one at
# `smoke`, where nothing is learnt. `full` wants a GPU.
#
# **Before this one:** [brain tumours](14_brain_tumours.ipynb), which has the whole benchmark:
# verdicts, controls, hours. Here is only what the pancreas adds.
#
# Cancer of the pancreas is mostly found when it is too late to operate. The organ lies deep, across
# the body behind the stomach; it is thin, its border to the bowel can hardly be seen, and a tumour
# in it is a shadow slightly darker than the rest. Radiologists who outline it disagree with each
# other. If any organ needs help from scans without labels, it is this one. It is also where an
# experiment fails most easily: a network that answers "nothing here" is right in more than 99 of
# 100 voxels.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import nibabel
import numpy as np
import torch
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {"cases": 10, "unlabelled": 2, "look": 48, "pretrain": 10, "finetune": 10},
    "class": {"cases": 60, "unlabelled": 15, "look": 96, "pretrain": 250, "finetune": 150},
    "full": {"cases": 281, "unlabelled": 139, "look": 128, "pretrain": 2000, "finetune": 2000},
}
EDGE = {"smoke": 48, "class": 48, "full": 128}
# half as many filters as the package's own: six seeds of them fit into the time
FILTERS = {"smoke": (4, 8, 16), "class": (8, 16, 32), "full": (32, 64, 128, 256, 512)}
SCALE = ssl3d.scale()
size = SIZES[SCALE]

# %% [markdown]
# ## 1. Hounsfield units, and windows
#
# A CT measures how much X-rays are weakened, in **Hounsfield units** (HU). Water is 0 and air −1000
# by definition; fat is near −100, organs lie between 30 and 150, bone at several hundred. A screen
# shows 256 greys, and an eye tells fewer. So a *window* is chosen: all below it is black, all above
# it white, and only what lies between is told apart:
#
# $$x = \mathrm{clip}\!\left(\frac{\mathrm{HU} - \mathrm{low}}{\mathrm{high} - \mathrm{low}},\,
# 0,\, 1\right).$$
#
# The next cell makes a few virtual patients and reads one raw file, as a scanner would write it.
# **Predict before you run:** in which window can you see the pancreas?

# %%
fine = ssl3d.data.Cohort.open(
    ssl3d.data.make_cohort(
        "virtual-abdomen", f"runs/15-{SCALE}/fine", cases=5, unlabelled=0, edge=size["look"]
    )
)
case = fine.split().train[0]
raw = [
    f"{fine.folder}/raw/{kind}/{fine.cases[case].id}.nii.gz" for kind in ("imagesTr", "labelsTr")
]
hu, organ = (nibabel.as_closest_canonical(nibabel.load(path)).get_fdata() for path in raw)
print(f"{hu.shape} voxels, from {hu.min():.0f} to {hu.max():.0f} HU")


def window(hu, low, high):
    """Grey values from 0 to 1."""
    return np.clip((hu - low) / (high - low), 0, 1)


WINDOWS = {"lung": (-1200, 200), "bone": (-200, 1300), "soft tissue": (-100, 240), "own": (20, 160)}
NAMES = [("liver", 0.77, 0.6), ("kidney", 0.3, 0.36), ("kidney", 0.67, 0.36), ("spine", 0.48, 0.45)]
level = (organ > 0).sum((0, 1)).argmax()  # the slice with most of the pancreas
figure = Figure(figsize=(9, 2.8), layout="constrained")
for axes, (name, ends) in zip(figure.subplots(1, 4), WINDOWS.items(), strict=True):
    plane = window(hu[:, :, level], *ends)
    axes.imshow(plane.T, cmap="gray", origin="lower", vmin=0, vmax=1)
    axes.set_title(f"{name}: {ends[0]} to {ends[1]} HU", fontsize=9)
    axes.set_axis_off()
    if name == "lung":  # all organs are white there, so names can be read
        for what, *place in NAMES:
            axes.text(*place, what, fontsize=7, ha="center", transform=axes.transAxes)
    if name == "soft tissue":
        middle = np.argwhere(organ[:, :, level] > 0).mean(0)
        arrow = {"color": "yellow", "arrowprops": {"arrowstyle": "->", "color": "yellow"}}
        axes.annotate("pancreas", middle, (0.02, 0.93), textcoords="axes fraction", **arrow)
figure

# %% [markdown]
# *What to look at:* four times the same numbers, in an axial slice. Its front is above, and the
# patient's right side, with the liver, is on the right (radiologists' screens show it on the left);
# the lines below are the table. In the lung's and the bone's window all organs are nearly one grey.
# In the soft-tissue window you can tell organs, fat and gas apart, and the pancreas is a grey band
# in front of the big vessels. In `own` the contrast is stronger still, but so is the noise. Change
# `own` until liver, stomach and bowel look as different as you can make them.
#
# The recipe uses the third, −100 to 240 HU, for all patients. So a grey value means the same tissue
# in every scan. That would be lost if each scan were scaled by its own mean.
#
# ## 2. Where is it?
#
# **Predict before you look:** set the labels' slider to 0, and scroll. Can you find the pancreas?
# Then switch it on. (Without a kernel the picture shows it in blue.)

# %%
image, label = fine[case]
names = {"label_names": fine.label_names}
ssl3d.show.Slices(image, label, title="find the pancreas", **names)

# %%
ssl3d.show.Volume3D(image, label, spacing=fine.spacing, title="The organ, and its tumour", **names)

# %% [markdown]
# *What to look at:* its head lies in the bend of the bowel, its tail reaches to the spleen. In a
# plane you see a spot; in 3D it is one curved organ. That is why the paper wants 3D. The stripes
# above and below are no anatomy: the scan ended there, and its last slice is repeated to fill the
# box.
#
# Can its *value* tell? Take a window made for it: call every voxel pancreas whose HU lies between
# the organ's own 10th and 90th percentile. **Predict before you run:** which Dice will that have?

# %%
grey, organ = np.asarray(image[0], np.float32), np.asarray(label) > 0
low, high = np.quantile(grey[organ], (0.1, 0.9))
guess = (grey >= low) & (grey <= high)
dice = 2 * (guess & organ).sum() / (guess.sum() + organ.sum())
print(f"organ and tumour: {organ.mean():.2%} of the voxels")
print(f"voxels with the same values: {guess.mean():.1%}; Dice of value alone {dice:.3f}")
print(f"an answer of nothing is right in {1 - organ.mean():.1%} of the voxels; its Dice is 0")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The organ fills 0.23 % of the scan, and 17.6 % of the scan has its values: other soft tissue. So
# value alone has a Dice of 0.021. A network must use shape and surroundings.
#
# </details>
#
# ## 3. How long a network finds nothing
#
# Now the cohort to learn from, on coarse voxels. Real scans are taken if they lie in
# `cohorts/pancreas`.

# %%
cohort = ssl3d.open_cohort(
    "pancreas", cases=size["cases"], unlabelled=size["unlabelled"], edge=EDGE[SCALE]
)
split = cohort.split()
without = [each for each in split.pretrain if not cohort.cases[each].labelled]
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")
print(f"pretraining sees the {len(split.train)} and {len(without)} more that have no label")
ssl3d.show.contact_sheet(cohort, [*split.train[:2], *without[:2]])

# %% [markdown]
# A network learns first what costs least: to say "nothing" everywhere. That is right in all but a
# few voxels, and has a Dice of 0. How does it get away from there? Three remedies are common:
#
# - *A loss in which a rare class counts.* Cross-entropy is a mean over voxels, so the background
#   decides. The Dice loss compares regions, and leaves the background out. The loss here is the sum
#   of both, in every network of this notebook. So this remedy is at work, and it is not tested: no
#   network here has cross-entropy alone.
# - *Boxes.* The network trains on random boxes of a scan, in which the organ is less rare. In
#   practice (nnU-Net) a third of the boxes is even drawn so that it contains some of it. But a box
#   hides the surroundings.
# - *More steps.*
#
# **Predict before you run:** boxes have half a scan's edge, and may lie anywhere. How many of them
# hold none of the organ? How many hold half of it or more?

# %%
generator = np.random.default_rng(0)
box = tuple(edge // 2 for edge in cohort.shape)
shares, in_box, in_scan = [], [], []
for each in split.train[:10]:
    organ = np.asarray(cohort[each][1]) > 0
    in_scan.append(organ.mean())
    for _ in range(100):
        corner = [generator.integers(0, e - b + 1) for e, b in zip(cohort.shape, box, strict=True)]
        inside = organ[tuple(slice(c, c + b) for c, b in zip(corner, box, strict=True))]
        shares.append(inside.sum() / organ.sum())
        in_box.append(inside.mean())
shares = np.array(shares)
print(f"boxes of {box} voxels: {(shares == 0).mean():.0%} hold none of the organ,")
print(f"{(shares >= 0.5).mean():.0%} hold half of it or more")
print(f"organ and tumour fill {np.mean(in_scan):.2%} of a scan, {np.mean(in_box):.2%} of a box")

# %% [markdown]
# **Predict before you run:** two networks from scratch, with all labels and the same number of
# steps, one on whole scans and one on boxes. A box has an eighth of a scan's voxels. So a step has
# two scans, or sixteen boxes: as many voxels, at the same cost. The floor is
# [place alone](../docs/glossary.md#place-alone), the mean label map. Is either above it, and after
# how many steps? The authors' networks trained for 400 epochs, these for less than ten.

# %%
STEPS = size["finetune"]
on_the_way = (*range(10, STEPS, max(10, STEPS // 5 // 10 * 10)), STEPS)
study = ssl3d.study.read_study("pancreas", SCALE)  # the settings of `ssl3d study pancreas`
shape = study.encoder | {"filters": FILTERS[SCALE]}
place = ssl3d.evaluation.evaluate_place(cohort, split.train, split.validation)
print(f"{'place alone':12}", place.line())
found, ends = {}, {}
for name, patch, batch in (("boxes", box, 16), ("whole scans", None, 2)):
    network = ssl3d.make_network(ssl3d.make_encoder(cohort, 0, **shape), cohort, 0)
    settings = ssl3d.FinetuneSettings(
        steps=STEPS, patch=patch, batch=batch, test_at=() if patch else on_the_way
    )
    hooks = ssl3d.evaluation.eval_hooks(network, cohort, settings, test=split.validation)
    history = ssl3d.finetune(network, cohort, split.train, settings, hooks=hooks)
    scores = ssl3d.evaluate(
        network, cohort, split.validation, patch, hausdorff=False, progress=False
    )
    print(f"{name:12}", scores.line())
    ends[name] = {STEPS: [scores.mean_dice]}
    maps = ssl3d.evaluation.predict_batch(network, cohort.images(split.validation[:1]), patch)
    found[name] = maps[0].cpu().numpy()
curve = {row["step"]: [row["test"]] for row in history if "test" in row}
print("whole scans, by steps:", {step: round(dice, 3) for step, (dice,) in curve.items()})
ssl3d.show.bands(
    {"from scratch, all labels": {"whole scans": curve, "boxes, at the end": ends["boxes"]}},
    {},
    "steps",
    "Dice on validation scans",
    floors={"place alone": {step: [place.score] for step in curve}},
)

# %% [markdown]
# *What to look at:* after how many steps does the curve leave the dotted line? Until then nothing
# that is said about pretraining means anything.
#
# <details><summary>What we saw</summary>
#
# Only 9 % of the boxes held none of the organ, as it lies near the middle of the scan; 53 % held
# half of it or more. The organ filled 0.96 % of a box, where it fills 0.24 % of a scan. So boxes
# should help. That was no help to be seen here: after the same number of steps and voxels the
# network on boxes (the single dot) had a mean Dice of 0.256, that on whole scans 0.266, and place
# alone 0.201. For the organ it was 0.512, 0.532 and 0.402.
#
# So the organ can be found in boxes, though a box hides the surroundings and may lie anywhere. A
# gain of boxes is hard to see here, since the loss counts the organ anyway, and since whole scans
# of this size fit into memory. Large real scans do not, and there boxes are the rule. These are two
# networks with one seed, no verdict.
#
# With this loss, steps were enough. At step 10 the network on whole scans still found nothing
# (0.0); at step 40 (0.145) it was still below place alone, at step 70 (0.228) above. A study that
# stops before about step 60, where the curve crosses the floor, compares networks that know less
# than a map of where the organ mostly lies.
#
# The tumour it does not find at all (0.0): the mean of 0.266 is half of the organ's Dice. In the
# pictures below the organ has its place and its curve, and the tumour at the tip of its tail is
# missed.
#
# </details>

# %%
image, label = (np.asarray(each, np.float32) for each in cohort[split.validation[0]])
label = label.astype(np.uint8)
look = {"label_names": cohort.label_names, "spacing": cohort.spacing}
ssl3d.show.Volume3D(image, label, title="truth", **look)

# %%
ssl3d.show.Volume3D(
    image, found["whole scans"], title="found by the network that saw whole scans", **look
)

# %% [markdown]
# ## 4. Scans that nobody labelled
#
# The Decathlon has 139 scans of the pancreas without labels. They cannot be fine-tuned on, but
# pretraining needs none. The puzzle is [CPC](06_cpc.ipynb): the scan is cut into overlapping
# patches, each becomes a latent $z$, and from the context $c_i$ of the patches before, the latent
# $l$ rows ahead is predicted, $\hat z_{i+l} = W_l\, c_i$. It must be nearer to the right latent
# than to the others of the batch. *Nearer* is the cosine, so that lengths do not count; the
# temperature $\tau$ sets how much the nearest count:
#
# $$\mathcal{L} = -\sum_{i,l} \log \frac{\exp(\cos(\hat z_{i+l}, z_{i+l}) / \tau)}
# {\sum_{n=1}^{N} \exp(\cos(\hat z_{i+l}, z_n) / \tau)} .$$
#
# How large is a patch to be? The default has an edge of 16 voxels, a third of this scan: then the
# grid has four rows, what lies three rows on is always in the last one, and the question is hardly
# worth asking. Patches of 8 voxels, 5 cm wide, make a grid of seven rows.
#
# Why CPC, and not the [masked reconstruction](07_masked_reconstruction.ipynb) of notebook 14? A
# pancreas lies where other organs say that it must, so a puzzle of places may fit. It is also the
# puzzle of the paper's curve. One seed of each was tried on the *validation* scans, with 4 and
# with 36 labels, and CPC was ahead. Choosing by test scans would have been
# [leakage](13_leakage.ipynb).
#
# **Predict before you run:** which patch of a belly is easy to predict, and which is not? And how
# often is one right who gives the same patch as the answer to every question?

# %%
PUZZLE = {} if SCALE == "full" else {"patch": 8, "stride": 4, "jitter": 4, "max_patches": 7}
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
task = ssl3d.make_task("cpc", encoder, seed=0, **PUZZLE)
watched = cohort.images(split.validation[:2])
batch = task.make_views(watched, task.sample_params(watched, torch.Generator().manual_seed(0)))
print(
    f"grid {batch.placement.grid}: {batch.views.shape[1]} patches a scan, {len(batch.target)}",
    end=" ",
)
print(f"questions of two scans, about {len(batch.target.unique())} patches")
view = ssl3d.show.Live(task, encoder, watched)
view

# %%
history = ssl3d.pretrain(
    task, encoder, cohort, steps=size["pretrain"], learning_rate=2e-3, callback=view.watch
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
times = held_out["accuracy"] / held_out["chance"]
print(f"right on patients it has not seen: {held_out['accuracy']:.2%}", end=", ")
print(f"chance: {held_out['chance']:.2%}, so {times:.1f} times chance")

# %% [markdown]
# Which patch is easy? The next cell sorts the questions by the patch that is asked for: by how much
# its grey values differ. Air, or the middle of the liver, is flat; the border of a kidney is rich.
# "Nearly right" counts here too: is the right patch among the ten that seem most like the answer?

# %%
nearer, contrast = [], []
generator = torch.Generator().manual_seed(0)
with torch.inference_mode():
    for first in range(0, len(split.validation) - 1, 2):
        scans = cohort.images(split.validation[first : first + 2])
        puzzle = task.make_views(scans, task.sample_params(scans, generator))
        likeness = task(encoder.eval(), puzzle)  # (question, patch)
        right = likeness.gather(1, puzzle.target[:, None])
        nearer += (likeness > right).sum(1).tolist()  # patches that seem nearer than the right one
        patches = puzzle.views.flatten(0, 1).flatten(1)
        contrast += patches.std(1)[puzzle.target].tolist()
nearer, contrast = np.array(nearer), np.array(contrast)
air = contrast < 0.01  # of a grey scale from 0 to 1
cut = np.median(contrast[~air])
for name, chosen in {
    "one grey, as air": air,
    "flat": ~air & (contrast <= cut),
    "rich": ~air & (contrast > cut),
}.items():
    found_at = nearer[chosen]
    print(f"{name:17} {len(found_at):4} questions, {(found_at == 0).mean():.1%} right", end=", ")
    print(f"among the first ten: {(found_at < 10).mean():.1%}")
print(f"ten of {likeness.shape[1]} drawn blindly: {10 / likeness.shape[1]:.1%}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# On patients it had not seen the network named the right patch in 1.31 % of the questions. That is
# little, and it is learnt: there are 686 patches to choose from (that there are as many questions
# is chance). The best *fixed* answer is a patch of the last row, which is asked for twice: 0.29 %
# of the questions. So the network is right 4.5 times as often, and its line still rises.
#
# The picture shows what it knows. Of eight answers none is right. Only three lie in the right scan,
# where guessing among two scans gives four; but these three are one or two patches from the place
# that was asked for. So it seems to know the place, and not the patient. (Eight answers are few.)
#
# Which patch is easy? None by far. Flat patches are named rightly in 1.4 % of the questions and
# rich ones in 1.3 %. The right one is among the first ten in 13.2 % and 13.4 %, where drawing ten
# blindly gives 1.5 %. Where there is one grey only, as in air, it is among the first ten somewhat
# more often (15.9 %), and never the first: one patch of air is as good as another, so nobody could
# name it. (These are 63 questions.) That the rich are no harder than the flat says what is found:
# roughly the place, and not the organs' borders. So "nearly right" is worth something, and the
# score does not count it. Whether it is worth anything for the organ, the next section asks.
#
# </details>
#
# ## 5. The curve, with its floor
#
# The paper's first claim is a curve: score over the number of labelled scans. Here are three
# numbers of labels, CPC and its twin from scratch, six [paired
# seeds](../docs/glossary.md#paired-seed): as many as a [verdict](../docs/verdicts.md) needs. As in
# notebook 14 the pretrained encoder has a [warm-up](../docs/glossary.md#warm-up), and scratch has
# none. So a gap might come from the warm-up, or from any training at all. A third arm is a control
# for that: [*collapsed*](../docs/glossary.md#collapsed) is pretrained for as many steps, to give
# every scan the same point, and has the same warm-up. Its deepest level is worth nothing then. Its
# finer levels, which the skips pass on, have been trained on scans too.
#
# The plan judges the mean Dice of organ and tumour, for CPC. (The control was added after a first
# run of the other two arms; nothing else was changed then.) **Predict before you run:** at which
# number of labels is the gap largest? With how few labels does a network fall to the floor? And
# where does *collapsed* lie?

# %%
CHANGES = {
    "smoke": {"labels": ("50%", "100%"), "seeds": 2},
    "class": {"labels": ("10%", "25%", "100%"), "seeds": 6},
    "full": {},
}
if SCALE != "full":
    CHANGES[SCALE] |= {
        "arms": ("cpc", "scratch", "collapsed"),
        "protocols": ("finetune",),
        "milestones": (),
        "tasks": {"cpc": PUZZLE},
        "encoder": {"filters": FILTERS[SCALE]},
        "claims": ("better with few labels", "better final score"),
        "pretrain": {"steps": size["pretrain"], "batch": 2},
        "finetune": {"steps": STEPS},
    }
results = ssl3d.study("pancreas", SCALE, f"runs/15-{SCALE}/study", cohort=cohort, **CHANGES[SCALE])

# %%
PARTS = dict(zip(cohort.regions, (f"dice {region}" for region in cohort.regions), strict=True))
for arm in ("cpc", "scratch", "collapsed", "place"):  # place alone has no network that can fail
    for labels in results.labels:
        dice = results.scores("finetune", arm, labels)
        parts = {
            region: round(float(np.mean(results.scores("finetune", arm, labels, column=column))), 3)
            for region, column in PARTS.items()
        }
        failed = results.below_place("finetune", arm, labels)
        said = f"{arm:9} {results.labelled(labels):24} mean {np.mean(dice):.3f} {parts}"
        print(said, "" if arm == "place" else f"failed {failed} of {len(dice)}")


# %%
organ, tumour = PARTS
PANELS = {"mean of organ and tumour (judged)": "score", f"{organ} alone (only shown)": PARTS[organ]}
STYLES = {
    "cpc": {"color": "#0072B2", "marker": "o"},
    "scratch": {"color": "#555555", "marker": "o"},
    "collapsed": {"color": "#555555", "marker": "o", "linestyle": "--"},
    "place": {"color": "black", "linestyle": ":", "linewidth": 2},
}
scans = [results.scans(labels) for labels in results.labels]
figure = Figure(figsize=(9, 3.7), layout="constrained")
for axes, (title, column) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
    for arm, style in STYLES.items():
        curve = [results.scores("finetune", arm, n, column=column) for n in results.labels]
        axes.plot(scans, [np.mean(seeds) for seeds in curve], **style, label=arm, markersize=4)
        if arm in ("cpc", "scratch"):  # from the worst seed to the best
            ends = [min(seeds) for seeds in curve], [max(seeds) for seeds in curve]
            axes.fill_between(scans, *ends, color=style["color"], alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(scans, [f"{n:.0f}" for n in scans])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(title=title, xlabel="labelled scans", ylabel="Dice")
    axes.grid(alpha=0.25)
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# *What to look at:* what counts begins above the dotted line, place alone. "Fewer labels for the
# same score" would be a blue line that lies above and to the left of the grey one, by more than the
# bands are wide. A band goes from the worst seed to the best. The two panels have different scales.
#
# <details><summary>What we saw</summary>
#
# With 4 labelled scans CPC had a mean Dice of 0.231 and scratch 0.205, place alone 0.186; with all
# 36 of them 0.294, 0.260 and 0.207. CPC is ahead of scratch at each number of labels. One network
# from scratch of six failed with 4 scans: it did not beat place alone. Of those after CPC none did.
#
# *Collapsed* makes a strange line: 0.198, 0.280, 0.223. With 9 scans it is ahead of CPC (0.263).
# With 36 it falls, because two of its six runs failed: a mean over runs that have learnt and runs
# that have not is the score of neither. So look at failures first, and at the others after that.
#
# The mean is that of two parts, and hides that one is not found: no network finds the tumour (0.004
# and 0.003 with all labels). So look at the organ alone: 0.444 against 0.399 with 4 scans, 0.515
# against 0.477 with 9, 0.584 against 0.517 with all. CPC with 9 labels (0.515) has as much of the
# organ as scratch with 36 (0.517). The gap is largest at the end; in the paper it is largest in the
# middle and nearly gone at the end. Why, this run does not say.
#
# The virtual bellies are alike, so that where an organ lies is easier to learn than in people.
#
# </details>
#
# And the verdicts, by [the rule](../docs/verdicts.md) of [notebook 11](11_finetuning.ipynb).
# **Predict before you run:** six pairs are enough. For which of the two claims is there a verdict,
# "better with few labels" (4 and 9 scans) or "better final score" (all 36)?

# %%
for claim in ssl3d.study.claims.claims(results):
    if not claim.untested and claim.name in ("better with few labels", "better final score"):
        print(ssl3d.study.sentences.overall(results, claim))
        print(*ssl3d.study.sentences.each_arm(results, claim), "", sep="\n")

# %%
print(f"not planned, so without a verdict: {organ} alone, differences of the six pairs")
for ours, theirs in (("cpc", "scratch"), ("collapsed", "scratch"), ("cpc", "collapsed")):
    for labels in results.labels:
        a, b = (
            np.array(results.scores("finetune", arm, labels, column=PARTS[organ]))
            for arm in (ours, theirs)
        )
        ahead = f"ahead in {(a > b).sum()} of {len(a)} pairs"
        what = f"{ours} − {theirs}"
        print(f"{what:20} {results.labelled(labels):24} {np.mean(a - b):+.3f}, {ahead}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# **Better final score: holds.** With all labels CPC was ahead of scratch by 0.034, and the interval
# over seeds *and* patients goes from 0.013 to 0.056. Two random starts of scratch lie only 0.018
# apart. So on these scans the gain is unlikely to be luck of the seeds or the patients (p 0.006).
# It is more than 0.02, the least gain worth having, on average; its interval reaches below that.
# And since no tumour is found, 0.034 of the mean is 0.067 of the organ.
#
# **Is it the puzzle?** The control says: that is not shown. Where collapsed learnt, it was ahead of
# scratch by 0.031 (0.004 to 0.058), nearly as much as CPC, and CPC was ahead of it by 0.013 only
# (−0.007 to +0.033). But these two leave out the two runs of collapsed that failed. They are chosen
# by their outcome, which flatters collapsed. Over all six pairs CPC has 0.294 and collapsed 0.223,
# mostly because of those two, and collapsed is *behind* scratch (0.260). So six seeds do not even
# say whether collapsed is better than scratch.
#
# Three things may help that scratch does not have. Two of them both arms share: the warm-up, in
# which the decoder learns alone at first, and finer levels that were trained, which the skips pass
# on. The third is CPC's alone: the puzzle. (The printed line says that collapsed "learnt nothing".
# That is so of its deepest level, and not of the finer ones.) The second exercise takes the first
# of the three by itself: a random encoder, not trained, *with* the warm-up. It came out level with
# CPC in the score that is judged. So "holds" is true of the whole recipe, and here the warm-up
# alone can bring nearly all of it. Without a control, this section would have ended with "holds".
#
# **Better with few labels: cannot tell.** Where both twins learnt, CPC was ahead by 0.015 (−0.003
# to +0.034). But the rule gives no verdict at all: scratch stands at 0.235 with few labels (in the
# pairs in which both learnt) and at 0.260 with all, so too little is left to be gained. Does that
# mean that labels are not missing here? No. The rule reads the mean, and half of that is a tumour
# that no network finds. So what scratch gains with labels is halved: for the organ alone it goes
# from 0.399 with 4 scans to 0.517 with 36. *Cannot tell* is about the score that was chosen, and
# not about the organ. But to choose the organ now, after having seen this, would be to choose the
# answer. Its differences are printed as what was not planned (+0.045, +0.038 and +0.067 against
# scratch). Who wants a verdict plans the next study with it.
#
# And these are virtual scans. The exercise shows what one voxel is worth.
#
# </details>
#
# ### Next to the paper
#
# The paper's curve was read off its figure 3; no spread was published. Can it be laid over ours?
# The authors' code averages the *background* in as a third class. That is nearly always right, so a
# network that says "nothing" has .33 there and 0 here. If the figure was made with this code, and
# if the background's Dice is taken for 1, it can be taken out again: of $x = (1 + a + b) / 3$ the
# mean of organ and tumour is $(a + b) / 2 = (3x - 1) / 2$. **Predict before you run:** what is left
# of .36, the score of scratch with 5 % of the labels?

# %%
(published,) = ssl3d.study.published.published_tables("pancreas")
print(" " * 31, *(f"{share:>6}" for share in published.columns))
for model, arm in {"CPC": "cpc", "from scratch": "scratch"}.items():
    with_background = np.array(published.rows[model])
    without = (3 * with_background - 1) / 2
    ours = [
        f"{np.mean(results.scores('finetune', arm, share)):6.3f}"
        if share in results.labels
        else "     –"
        for share in published.columns
    ]
    print(f"{model:12} as published       ", *(f"{x:6.2f}" for x in with_background))
    print(f"{'':12} without background ", *(f"{x:6.3f}" for x in without))
    print(f"{'':12} here, virtual scans", *ours)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Hardly anything: 0.040. The scratch of the paper with 5 % of the labels finds next to nothing, and
# with half of them it has 0.235; with all it has 0.415. A curve that begins at 0.36 hides that, as
# a third is background. This is the strongest lesson of that figure: its largest gains (from 0.220
# to 0.415 with 25 % of the labels, from 0.235 to 0.430 with 50 %) are gains over a scratch that may
# or may not be above the floor. That floor, place alone, is not in the figure, so nobody can say
# from where on a score means anything. CPC has 0.115 with 5 %, which is not much either.
#
# Ours are other scans, networks and numbers of steps, so do not compare the heights.
#
# </details>
#
# One reader of the code tried to repeat the figure, from scratch and with exemplar (CPC was not
# tried), and reports no clear difference between the two ([issue 27 of the
# repository](https://github.com/HealthML/self-supervised-3d-tasks/issues/27)). The scans were
# prepared and the scripts written anew, so this settles nothing. What a baseline that has not
# learnt does to a gain is the subject of [notebook 12](12_weak_baseline.ipynb).
#
# ## 6. The real scans
#
# The Decathlon can be downloaded by anyone.

# %%
about = ssl3d.data.load_recipe("msd")[0].about
print(f"{about.title}\n\naccess: {about.access}\nlicence: {about.licence}\nsize: {about.size}")

# %% [markdown]
# Then, and the notebook finds them by itself:
#
#     ssl3d prepare msd --task Task07_Pancreas --preset paper --out cohorts/pancreas
#
# Those volumes have 128 voxels an edge. For a laptop, give `--size 48 48 48` instead of the preset.
# The whole study, with all arms, controls and six seeds, is `ssl3d study pancreas`; what it costs
# is counted as in [notebook 14](14_brain_tumours.ipynb).
#
# ## Exercise
#
# How good can a Dice score be if the whole answer lies one voxel off? Take the truth of the test
# scans, move it by one voxel along one axis, and score it against itself, for the organ and for the
# tumour. Guess first.
#
# <details><summary>Hint</summary>
#
# `np.roll(label, 1, axis)` moves an array.
# `ssl3d.evaluation.score(iter(maps), cohort, split.test, hausdorff=False, progress=False)` scores
# class maps (tensors), one a test scan.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# for axis in range(3):
#     moved = [
#         torch.from_numpy(np.roll(np.asarray(cohort[each][1]), 1, axis)) for each in split.test
#     ]
#     scores = ssl3d.evaluation.score(
#         iter(moved), cohort, split.test, hausdorff=False, progress=False
#     )
#     print("axis", axis, scores.line())
# ```
#
# A small thing has much border for its size, so one voxel costs it much. On these coarse voxels (of
# 6.5 mm) even a perfect reader whose hand is off by one voxel has only 0.61 to 0.66 for the organ,
# and 0.57 to 0.61 for the tumour. So the 0.52 to 0.58 that the networks had for the organ with all
# labels is somewhat less than an answer one voxel off would score, and a gap between two networks
# can be a fraction of a voxel. The size of the voxels belongs next to every Dice score.
#
# </details>
#
# **A second one: the warm-up, or the puzzle?** CPC has a warm-up, and scratch has none. Fine-tune
# the random encoders of scratch *with* the warm-up, with all labels and the study's six seeds. With
# scratch this arm shares all but the warm-up, with CPC all but the encoder's weights. If it comes
# out as high as CPC, what was the puzzle worth? Guess first. (It takes a minute or two.)
#
# <details><summary>Hint</summary>
#
# `ssl3d.FinetuneSettings(freeze_encoder_steps=…)`: the study's warm-up is the share
# `results.study.warm_up` of the steps. A seed `n` has the encoder
# `ssl3d.make_encoder(cohort, n, **shape)`, the decoder of `ssl3d.make_network(encoder, cohort, n)`
# and the labels `cohort.subset(split.train, "100%", n)`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# most, plan = results.labels[-1], results.study
# warmed = []
# for seed in range(plan.seeds):
#     start = ssl3d.make_encoder(cohort, seed, **shape)  # scratch's own, not trained
#     network = ssl3d.make_network(start, cohort, seed)
#     settings = ssl3d.FinetuneSettings(
#         **({"batch": 2} | plan.finetune),
#         seed=seed,
#         freeze_encoder_steps=round(plan.warm_up * plan.finetune["steps"]),
#         encoder_lr_scale=plan.encoder_lr_scale,
#     )
#     ssl3d.finetune(network, cohort, cohort.subset(split.train, most, seed), settings)
#     scores = ssl3d.evaluate(network, cohort, split.test, hausdorff=False, progress=False)
#     print("seed", seed, scores.line())
#     warmed.append(scores.score)
# for arm in ("scratch", "cpc", "collapsed"):
#     gaps = np.subtract(warmed, results.scores("finetune", arm, most))
#     ahead = f"ahead in {(gaps > 0).sum()} of {len(gaps)}"
#     print(f"warm-up alone − {arm}: {gaps.mean():+.3f}, {ahead}")
# ```
#
# (Without `freeze_encoder_steps` the loop is scratch itself. At `smoke` this was tried, and the
# scores were the study's own, to the last digit.)
#
# At class scale the warm-up alone has a mean Dice of 0.292, where scratch has 0.260 and CPC 0.294.
# No run failed. So of the 0.034 that "held" against scratch the warm-up brings 0.032 without any
# pretraining. One seed has a hand in that: it found some of the tumour (0.135). Over the other five
# the mean is 0.280. For the organ, where the tumour does not count, the warm-up alone has 0.562,
# scratch 0.517 and CPC 0.584: two thirds of the gain.
#
# So what was learnt from scans without labels seems the smaller part of the gain, and this run does
# not show that it is any. It does not show that it is none either: that would take an interval,
# from a study that plans this arm. (It was not planned here. It was added after the verdict had
# been read, with all labels only.) Whether scratch should have a warm-up too is a choice. Where it
# has none, a gain is one of "pretraining and a warm-up", and the sentence should say so.
#
# </details>
#
# ## Where to go from here
#
# [Retinopathy](16_retinopathy.ipynb): grades instead of outlines. [Transfer](17_transfer.ipynb):
# pretraining elsewhere.
#
# ## What the literature did next
#
# - More scans: Tang et al., [Swin Transformers](https://arxiv.org/abs/2111.14791), CVPR 2022,
#   pretrained on 5 050 CT scans.
# - The puzzle of place, again: Wu et al., [VoCo](https://arxiv.org/abs/2402.17300), CVPR 2024, asks
#   which parts of the body a crop overlaps with.
# - A rival that the paper had met already, in its tissue labels: Li et al., [How Well Do Supervised
#   3D Models Transfer](https://arxiv.org/abs/2501.11253), ICLR 2024, pretrained *with* labels on
#   abdominal CTs.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Antonelli et al., [The Medical
# Segmentation Decathlon](https://doi.org/10.1038/s41467-022-30695-9), 2022. Van den Oord et al.,
# [Contrastive Predictive Coding](https://arxiv.org/abs/1807.03748), 2018. Isensee et al.,
# [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), 2021.

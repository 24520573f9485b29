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
# # Brain tumours: the paper's first benchmark, from the scans to the verdict
#
# **You will be able to:** read a brain tumour on four MR contrasts, in planes and in 3D; score it
# by the regions of BraTS; pretrain on scans without labels and fine-tune with few; run a study with
# controls and six paired seeds; and say what such a run can say of the paper's claims, and what it
# cannot.
#
# **Time:** 10 minutes on one core (`SSL3D_SCALE=class`, the default), under one at `smoke`, where
# nothing is learnt. `full` has the paper's networks and takes weeks of a GPU: section 7 counts
# them.
#
# **Before this one:** [masked reconstruction](07_masked_reconstruction.ipynb) and
# [fine-tuning](11_finetuning.ipynb). The next notebooks on [the pancreas](15_pancreas.ipynb),
# [retinopathy](16_retinopathy.ipynb) and [transfer](17_transfer.ipynb) build on this one.
#
# A glioma grows into the brain without a border that a scalpel could follow. Patients of whom more
# was removed tend to live longer, and what is removed by mistake may be speech. So surgeons want
# the tumour outlined in 3D, on four kinds of scan at once, and an expert may need an hour for one
# patient. The paper asks whether thousands of scans that nobody outlined can replace a part of that
# work. This notebook is the whole benchmark; the others show only what is new in theirs.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {"cases": 10, "edge": 32, "look": 32, "pretrain": 10, "finetune": 10},
    "class": {"cases": 60, "edge": 36, "look": 80, "pretrain": 80, "finetune": 150},
    "full": {"cases": 285, "edge": 128, "look": 128, "pretrain": 2000, "finetune": 2000},
}
SCALE = ssl3d.scale()
size = SIZES[SCALE]

# %% [markdown]
# ## 1. The scans
#
# Each patient is scanned in four ways, called contrasts, and each shows something else:
#
# | contrast | what is bright on it |
# |---|---|
# | T1 | white matter; water is dark |
# | T1ce | as T1, and what takes up the contrast agent: living tumour with leaky vessels |
# | T2 | water, so swelling |
# | FLAIR | swelling, while the water of the ventricles stays dark |
#
# Real scans come from the BraTS challenge. If they lie prepared in `cohorts/brats`, they are used;
# else virtual patients are made on the spot. The next line says which. First come a few with finer
# voxels to look at, then the cohort to learn from.

# %%
fine = ssl3d.open_cohort("brats", cases=10, edge=size["look"])
case = fine.split().train[0]
image, label = fine[case]
names = {"label_names": fine.label_names, "channel_names": fine.channels}
ssl3d.show.Slices(image, label, title="scroll, and change the contrast", **names)

# %% [markdown]
# *What to look at:* why is all around the brain grey, and not black? The skull was taken off, and
# outside the brain every voxel is 0. The recipe scales each contrast so that 0 is the brain's mean.
# So the outside has the grey of average brain. On T1, which you see here, water and dead tissue are
# darker than that.
#
# **Predict before you look:** on which contrast can you find the tumour without its outlines? On
# which its living part? (With a kernel, set the labels' slider to 0 above. The next cell has all
# four contrasts in the slice with most of the core: first as they are, then outlined. Front is
# up.)

# %%
grey, classes = np.asarray(image, np.float32), np.asarray(label)
core = classes == 1 if (classes == 1).any() else classes > 0
level = core.sum((0, 1)).argmax()
COLOURS = dict(zip(fine.label_names[1:], ("#0072B2", "#E69F00", "#CC79A7")))
figure = Figure(figsize=(9, 5.1), layout="constrained")
for row, outlined in zip(figure.subplots(2, len(fine.channels)), (False, True)):
    for axes, channel, name in zip(row, grey, fine.channels):
        axes.imshow(channel[:, :, level].T, cmap="gray", origin="lower")
        axes.set(title="" if outlined else name, xticks=[], yticks=[])
        for number, colour in enumerate(COLOURS.values(), start=1):
            plane = (classes[:, :, level] == number).T
            if outlined and plane.any():
                axes.contour(plane, [0.5], colors=[colour], linewidths=1.2)
lines = [axes.plot([], [], color=colour, label=name)[0] for name, colour in COLOURS.items()]
figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False)
figure

# %% [markdown]
# <details><summary>Answer</summary>
#
# FLAIR shows the swelling: nothing near it is as bright. The living, enhancing part is the bright
# rim on T1ce. It is so thin that its outline hides it, and the core's blue outline lies
# under it; so compare the two rows. On plain T1 you see
# the dark core, but hardly where the swelling ends.
#
# </details>
#
# The same patient in 3D, cut open at the tumour. On a live page drag it to turn it.

# %%
ssl3d.show.Volume3D(
    image[fine.channels.index("flair")] if "flair" in fine.channels else image[-1],
    label,
    label_names=fine.label_names,
    spacing=fine.spacing,
    title="FLAIR, and the tumour's three classes",
)

# %%
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"])
split = cohort.split()
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")
print("contrasts:", ", ".join(cohort.channels))
ssl3d.show.contact_sheet(cohort, split.train[:3])

# %% [markdown]
# *What to look at:* a row is a patient: three planes of the first contrast through the tumour, then
# the axial plane in the others. Each picture is stretched from its own darkest to its own brightest
# voxel. So the outside, which is 0 in all, is light in one and dark in the next. Compare greys
# within a picture, and not between two. These voxels are coarse, so that a laptop can learn from
# them, and the enhancing rim is a voxel or two thick. The third patient's outlines have two colours
# only: not every tumour has an enhancing part.
#
# ### Classes and regions
#
# Annotators drew three classes. In the raw files they have the values
#
# | value | class |
# |---|---|
# | 1 | necrotic and non-enhancing tumour core: dead tissue, and tumour whose vessels do not leak |
# | 2 | oedema: swelling, with tumour cells in it |
# | 4 | enhancing tumour, which takes up the contrast agent |
#
# They are scored as three nested *regions*, since these are what a surgeon asks for: whole tumour
# $\mathrm{WT} = 1 \cup 2 \cup 4$, tumour core $\mathrm{TC} = 1 \cup 4$, enhancing tumour
# $\mathrm{ET} = 4$. A region $A$ that was found is compared with the region $B$ that was drawn by
# [Dice](../docs/glossary.md#dice), for each patient and region by itself, and then averaged:
#
# $$\mathrm{Dice}(A, B) = \frac{2\,|A \cap B|}{|A| + |B|} .$$

# %%
print("value in the raw files → class:", dict(zip(cohort.label_values, cohort.label_names)))
for region, classes in cohort.region_classes.items():
    voxels = [int(np.isin(cohort[each][1], classes).sum()) for each in split.train]
    share = np.median(voxels) / cohort[0][1].size
    print(f"{region}: classes {classes}, {np.median(voxels):.0f} voxels (median), {share:.2%}")

# %% [markdown]
# ## 2. The floor: what can be said without looking?
#
# Before any network, a prediction that looks at no scan: the mean label map of the labelled scans,
# and at each voxel the class that is commonest there. It is called [place
# alone](../docs/glossary.md#place-alone). On crops centred on an organ it is a strong answer.
# **Predict before you run:** a tumour can be anywhere. Which Dice will place alone have here?

# %%
few = cohort.subset(split.train, "10%")
maps = np.stack([np.asarray(cohort[each][1]) for each in few])
share = np.stack([(maps == number).mean(0) for number in range(len(cohort.label_names))])
by_hand = share.argmax(0)  # background too is a class, so it wins where tumours are rare

place = ssl3d.evaluation.evaluate_place(cohort, few, split.test)
from_package = next(ssl3d.evaluation.place.place_predictions(cohort, few, split.test))
print("by hand and by the package the same:", np.array_equal(by_hand, from_package))
print(f"{len(few)} labelled scans: {(by_hand > 0).sum()} voxels are named tumour")
for region, classes in cohort.region_classes.items():
    dice = []
    for each in split.test:
        found, there = np.isin(by_hand, classes), np.isin(cohort[each][1], classes)
        both = found.sum() + there.sum()
        dice.append(2 * (found & there).sum() / both if both else 1.0)
    print(f"{region}: Dice by hand {np.mean(dice):.3f}, by the package {place.parts[region]:.3f}")

# %%
often = share[1:].sum(0)  # how often a voxel is tumour, whatever its class
truth = np.asarray(cohort[split.test[0]][1])
head = np.asarray(cohort[split.test[0]][0][0]) != 0
OUTLINES = {
    "named by place alone": (by_hand, "#56B4E9"),
    "tumour of a test scan": (truth, "#E69F00"),
    "its brain": (head, "#777777"),
}
figure = Figure(figsize=(9, 3.5), layout="constrained")
panels = figure.subplots(1, 3)
for axis, (axes, name) in enumerate(zip(panels, ("sagittal", "coronal", "axial"))):
    others = tuple(each for each in range(3) if each != axis)
    at = (by_hand > 0).sum(others).argmax()  # the plane with most of what is named
    drawn = axes.imshow(np.take(often, at, axis).T, cmap="gray", origin="lower", vmin=0, vmax=1)
    for classes, colour in OUTLINES.values():
        plane = np.take(classes, at, axis).T > 0
        if plane.any():
            axes.contour(plane, [0.5], colors=[colour], linewidths=1.5)
    axes.set(title=f"{name} {at}", xticks=[], yticks=[])
figure.colorbar(drawn, ax=panels, label="share of the labelled scans")
lines = [axes.plot([], [], color=colour, label=name)[0] for name, (_, colour) in OUTLINES.items()]
figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False)
figure


# %%
def enhancing(result):
    """ET by those who have some and those who have none, since one mean hides the two."""
    column = result.regions.index("ET")
    dice, none = result.dice[:, column], result.absent[:, column]
    return (
        f"ET of the {(~none).sum()} patients who have some: {dice[~none].mean():.3f}; "
        f"of the {none.sum()} others, without a wrong voxel: {(dice[none] == 1).sum()}"
    )


print("place alone,", enhancing(place))

# %% [markdown]
# *What to look at:* grey is how often a voxel was tumour in the labelled scans, on one scale for
# the three planes. Blue is what place alone names. Why does it not name each voxel that is tumour
# in half of the scans or more? And how much of the test scan's tumour does it hit?
#
# <details><summary>What we saw</summary>
#
# With 4 labelled scans place alone names 33 voxels of the brain, and has a Dice of 0.034 for the
# whole tumour. A voxel gets a name where one *class* of tumour is commoner than background. Where
# two scans have tumour and two have none, background wins; where the tumours are of different
# classes, it wins more easily still. On crops that are centred on an organ place alone has far
# more: about half a Dice with two labels on the real hippocampi of [the stored
# studies](../docs/results.md), and two thirds with twenty. So here a network has to look. That
# makes tumours a hard benchmark, and a good one: features that only know *where* a voxel lies are
# of little use.
#
# And why has it 0.250 for the enhancing part, of which it names not one voxel? In three of the
# twelve test patients there is none to name at this size, and the cell's rule says: nothing found
# where nothing is, that is a Dice of 1. Three ones among twelve are 0.250; of the nine patients who
# have some it finds nothing (0.000). Remember this rule. For a patient without an enhancing part a
# single wrong voxel costs a whole Dice, from 1 to 0. So from here on the two kinds of patients are
# printed apart.
#
# </details>
#
# ## 3. Pretraining
#
# [Notebook 07](07_masked_reconstruction.ipynb) takes masked reconstruction apart: 60 % of the scan
# is hidden in blocks, and the network rebuilds them. Its score is the share of the hidden voxels'
# variance that is explained; 0 is what their mean explains. Why this puzzle here? Place is most of
# what [CPC](06_cpc.ipynb), [jigsaw](04_jigsaw.ipynb) or [relative
# location](03_relative_location.ipynb) ask for, and place is no help, as you saw. What makes a
# tumour a tumour is its appearance. It is none of the paper's five puzzles; the field came to it
# later. Whether that reasoning holds is a question for section 5, where CPC, the paper's best
# puzzle with few labels, runs against it.
#
# Scans of the test and validation patients are not shown to the network, not even without labels.

# %%
study = ssl3d.study.read_study("brats", SCALE)  # one file holds the settings of all three scales
shape = study.encoder | {"filters": tuple(study.encoder.get("filters", ()))}
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
start = deepcopy(encoder)  # its twin from scratch
task = ssl3d.make_task("masked", encoder, seed=0)
watched = cohort.images(split.validation[:2])
view = ssl3d.show.Live(task, encoder, watched, chance=0.0)
view

# %%
history = ssl3d.pretrain(
    task, encoder, cohort, steps=size["pretrain"], learning_rate=2e-3, callback=view.watch
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
print(f"explained on patients it has not seen: {held_out['r2']:.2f}, chance: 0")

# %% [markdown]
# *How to read the view above:* its curves are of the batches that were trained on, every ten steps.
# The right one is the explained share, r2. Below are two validation patients, three thumbnails each
# time (the sagittal, the coronal and the axial plane of T1): what was asked, with hidden blocks in
# violet; the truth; and the network's guess. Each thumbnail is stretched by itself, as on the sheet
# above. "Explains 32%" is the share of this one patient and these blocks; the line that is printed
# is the mean over all validation patients.
#
# What does it paint? Below is one axial slice of FLAIR, large: what was shown (hidden blocks are
# violet), the same with the hidden blocks painted in by the network, and the truth. **Predict
# before you look:** which hidden blocks can be painted in well? And what happens to a tumour that
# is hidden whole?

# %%
with torch.inference_mode():
    puzzle = task.make_views(watched, task.sample_params(watched, torch.Generator().manual_seed(1)))
    rebuilt = task(encoder, puzzle)[0, 0]
shown, hidden = puzzle.views[0, 0], puzzle.target[0, 0]
truth = torch.where(hidden.isnan(), shown, hidden)
blank = torch.where(hidden.isnan(), shown, torch.nan)  # nan is not drawn
painted = torch.where(hidden.isnan(), shown, rebuilt)
figure = Figure(figsize=(8, 2.9), layout="constrained")
pictures = {"shown": blank, "painted in": painted, "truth": truth}
grey = {
    "cmap": "gray",
    "origin": "lower",
    "vmin": float(truth[-1].min()),
    "vmax": float(truth[-1].max()),
}
for axes, (name, volume) in zip(figure.subplots(1, 3), pictures.items()):
    axes.imshow(volume[-1, :, :, volume.shape[-1] // 2].cpu().T, **grey)
    axes.set(title=f"{cohort.channels[-1]}: {name}", xticks=[], yticks=[], facecolor="#5c5e98")
figure

# %% [markdown]
# <details><summary>What we saw</summary>
#
# A share of 0.23 of the hidden voxels' variance was explained on patients that were not seen. That
# is something, and not much: after 80 steps what is painted in is a blur. In this slice one block
# shows a part of the swelling. The network carries its brightness on into the hidden blocks next to
# it, and lets it fade. So it has learnt that bright borders on bright. It does not know how far the
# swelling reaches, and the dark ventricle above the middle (front is up), of which nothing was
# shown, is missing. Nor could any network know of a tumour that is hidden whole: the best guess
# there is what is usual.
#
# </details>
#
# ## 4. Fine-tuning, one pair
#
# The twins get the same labelled scans, the same start of the decoder, the same order and the same
# number of steps. As in the paper there is a [warm-up](../docs/glossary.md#warm-up): for the first
# quarter the pretrained encoder stands still while the decoder learns to read it.

# %%
print("labelled scans:", [cohort.cases[each].id for each in few])
networks = {}
for name, begin, frozen in (("masked", encoder, size["finetune"] // 4), ("scratch", start, 0)):
    networks[name] = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(networks[name], cohort, few, steps=size["finetune"], freeze_encoder_steps=frozen)
    result = ssl3d.evaluate(networks[name], cohort, split.test, hausdorff=False, progress=False)
    print(f"{name:8}", result.line())
    print(" " * 8, enhancing(result))
print("place   ", place.line())

# %%
predictions = {
    name: ssl3d.evaluation.predict_batch(network, cohort.images(split.test[:2]))[0].cpu().numpy()
    for name, network in networks.items()
}
image, label = cohort[split.test[0]]
scan, label = np.asarray(image[-1], np.float32), np.asarray(label)
ssl3d.show.compared(scan, label, predictions, cohort.label_names, cohort.spacing)

# %%
look = {"label_names": cohort.label_names, "spacing": cohort.spacing}
ssl3d.show.Volume3D(scan, label, title="truth", **look)

# %%
ssl3d.show.Volume3D(scan, predictions["masked"], title="masked, fine-tuned", **look)

# %% [markdown]
# *What to look at:* where do the two answers differ, and which difference would matter to a
# patient? What was missed is left in the head; what was found too much may be cut out. (In the flat
# row above, the two pictures of mistakes have colours of their own, named on the right: the orange
# there is no oedema.)
#
# <details><summary>What we saw</summary>
#
# Mean Dice was 0.637 after masked reconstruction and 0.595 from scratch, on the whole tumour 0.750
# and 0.702. In the pictures both networks find the tumour and make it a ball: swelling is named all
# around, also where there is none. Inside, the scratch network takes more of the living tumour for
# dead core.
#
# ET was 0.458 and 0.402 over all twelve patients. Of the nine who have some it was 0.499 and 0.425,
# and of the three others one was left without a wrong voxel by either network.
#
# This is **one** seed. With other patients labelled, or another start, the order may be the other
# way round. The next section asks six of them.
#
# </details>
#
# ## 5. The honest comparison
#
# A study compares [arms](../docs/glossary.md#arm): one budget for all of them, pairs of runs that
# share all that is luck, and controls. Its settings are those of `ssl3d study brats`, cut down here
# to what fits into the time. It writes each score to a file as soon as there is one. Stop it, and
# the same cell goes on; run the notebook again, and it only reads.
#
# Two ways of pretraining run: masked reconstruction, and CPC, which is the paper's. CPC's patches
# have 8 voxels an edge, since the usual 16 are half of these scans.
#
# **Predict before you run:** which is first after fine-tuning with 10 % of the labels? With all?
# And in the [probe](../docs/glossary.md#linear-probe) of frozen features?

# %%
PUZZLE = {"patch": 8, "stride": 4, "jitter": 4, "max_patches": 7}
CHANGES = {
    "smoke": {
        "arms": ("masked", "cpc", "scratch", "random", "random@none"),
        "labels": ("50%", "100%"),
        "seeds": 2,
        "protocols": ("finetune", "probe", "probe+place"),
        "milestones": (),
        "tasks": {"cpc": PUZZLE},
    },
    "class": {
        "arms": ("masked", "cpc", "scratch", "random", "random@none", "collapsed"),
        "labels": ("10%", "100%"),
        "seeds": 6,
        "protocols": ("finetune", "probe", "probe+place"),
        "milestones": (),
        "tasks": {"cpc": PUZZLE},
        "pretrain": {"steps": 80, "batch": 2},
        "finetune": {"steps": size["finetune"]},
        "probe": {"draws": 1, "voxels": 1000},
        "claims": ("better with few labels", "better final score"),
    },
    "full": {},  # the paper's networks, rates and warm-up, all arms, six seeds
}
results = ssl3d.study("brats", SCALE, f"runs/14-{SCALE}/study", cohort=cohort, **CHANGES[SCALE])

# %% [markdown]
# ### The scores
#
# A run that does not beat place alone has *failed*, and failures are counted apart.
# [Collapsed](../docs/glossary.md#collapsed) is an encoder that was trained as long, to give every
# scan the same point: it shows what any training at all is worth. Its row in the first table is
# above guessing, and that is no contradiction: the score there asks only whose point is *nearer*,
# however close together all points lie. In the probe the encoder stands still, and [each arm is
# told the place](09_2d_to_3d.ipynb), so that none is ahead by knowing where it looks.


# %%
def show_table(title, table):
    header, rows = table
    wide = [max(map(len, column)) for column in zip(header, *rows)]
    print(title)
    for cells in (header, *rows):
        print(" ", "   ".join(f"{cell:{n}}" for cell, n in zip(cells, wide)))


tables = ssl3d.study.tables
show_table("Puzzles, on patients not seen: mean ± deviation (seeds)", tables.proxy_table(results))
show_table("Fine-tuning: mean Dice", tables.score_table(results, "finetune"))
show_table("Linear probe, with the place: mean Dice", tables.score_table(results, "probe+place"))
show_table(tables.part_title(results), tables.part_table(results))

# %%
ssl3d.study.pictures.label_curves(results, "probe+place")

# %% [markdown]
# *What to look at:* the curves of the probe. A line is the mean over seeds, a band goes from the
# worst seed to the best. The control with a band is the better kind of random encoder: it decides.
# Does a pretrained arm lie above it, with few labels and with all? Then look at *collapsed* in the
# tables: in the probe, and after fine-tuning.
#
# <details><summary>What we saw</summary>
#
# **Fine-tuning.** With 10 % of the labels masked reconstruction had 0.616, CPC 0.619 and scratch
# 0.618; with all labels 0.736, 0.745 and 0.751. So over six seeds the three are level, where the
# one seed of section 4 had the pretrained arm ahead by four hundredths. *Collapsed* had 0.619 and
# 0.731: no less than scratch with few labels, and a little less with all. Keep that for the
# verdicts.
#
# **Where is the noise?** Look at the regions, with all labels: the whole tumour differs by less
# than a hundredth between arms, and by less between seeds. ET has a spread of 0.067 to 0.129
# between seeds. That fits the rule of section 2: with three patients who have no ET, a few wrong
# voxels move the mean.
#
# **Features.** With few labels masked had 0.559 in the probe, CPC 0.453, the random encoders 0.394
# and 0.501; with all labels 0.665, 0.556, 0.511 and 0.658. With the weaker control alone, both
# would have looked like a success. Next to the better one masked is ahead a little with few labels
# and level with all. CPC is ahead of `random`, and behind `random@none`, though it has learnt its
# puzzle: it is right in 0.046 of the questions, where guessing gives 0.003. Section 3 supposed that
# a puzzle that asks for the place teaches little about a thing that may be anywhere. What came out
# would fit that, and it is no test of it. The control that is ahead has another norm (none at all),
# CPC trained on patches of 8 voxels, and every arm is told the place here, so what CPC knows of the
# place does not count. The collapsed encoder lies far below (0.299, and 0.441 with all labels):
# collapsed training made features worse than random ones.
#
# </details>
#
# ### The verdicts
#
# Four words are possible ([the rule](../docs/verdicts.md), worked out in [notebook
# 11](11_finetuning.ipynb)). *Cannot tell*: fewer than six paired seeds, or scratch with all labels
# is not clearly ahead of place alone, or nothing is left to gain. *Holds*: "no gain" is refuted,
# over seeds and patients, with all claims of the plan judged together. *Does not hold*: a gain of
# 0.02 is refuted. *Undecided*: anything else. What the plan does not claim is shown and not judged.
# Here the features are not claimed.

# %%
for name in ("better with few labels", "better final score", "better features"):
    ssl3d.study.show_claim(results, name)
ssl3d.study.pictures.effects(results, ssl3d.study.claims.claims(results))

# %% [markdown]
# *What to look at:* small dots are pairs, the large one is their mean, with its 95 % interval. Is
# the whole interval on one side of 0? On which side of the dashed line, the smallest gain worth
# having? The panels have different scales. Light grey is what is *not judged*: the features, which
# the plan does not claim, and the control. (The legend calls this grey "cannot tell"; it means *not
# judged* here.)
#
# A study with fewer labels lies [stored next to this notebook](results/README.md). It has the same
# kind of scans, and its probe has 2 labelled scans. Does it see better features?

# %%
stored = ssl3d.study.load_stored("virtual/brats")
if stored is not None:
    for study_of, found in (("stored", stored), ("this notebook", results)):
        features = next(c for c in ssl3d.study.claims.claims(found) if c.name == "better features")
        for each in features.findings:
            if each.arm == "masked":
                for labels, gain in zip(found.labels_of("probe+place"), each.more):
                    low, high = gain.interval
                    print(
                        f"{study_of:13} masked against {gain.against}, {found.labelled(labels):24} "
                        f"{gain.mean:+.3f} ({low:+.3f} to {high:+.3f})"
                    )

# %% [markdown]
# <details><summary>What we saw</summary>
#
# **Fine-tuning.** With few labels masked differed from scratch by −0.002 (−0.039 to +0.036) and CPC
# by +0.001 (−0.028 to +0.030); with all, by −0.015 (−0.070 to +0.040) and −0.006 (−0.048 to
# +0.037). All four are *undecided*. The study could have found gains of 0.073 and 0.053 with few
# labels, four times in five, and of 0.106 and 0.082 with all. The paper's gains with all labels (at
# most 0.05 in its table, and that in one region) are smaller, so this run can neither confirm nor
# refute them. A gain with few labels as large as in the paper's figure (printed below)
# cannot occur here: scratch stands too high for it.
#
# **Read the control before you blame the puzzles.** Collapsed, whose features were worse than
# random ones in the probe, is not clearly behind scratch either: +0.001 with few labels (−0.059 to
# +0.062), and −0.020 with all (−0.040 to +0.000). So this fine-tuning hardly shows with which
# encoder it began. (150 steps that change all weights may blur it; this was not tested.) A
# benchmark that cannot see a bad start says little of a good one. The null result is one of the
# whole setup, and not of masked reconstruction or of CPC.
#
# **Features** (not claimed, so only shown). Over both numbers of labels masked is ahead of the
# better random encoders by +0.033 (−0.043 to +0.109): it may be nothing. With 4 labelled scans
# alone it is +0.059, but −0.018 to +0.136. In the stored study with 2 labelled scans it is ahead by
# +0.054 (+0.013 to +0.095), and with all by +0.024 (−0.047 to +0.095). So where labels are fewest
# there seems to be something, and with all labels neither study sees anything. CPC is behind
# `random@none` here: −0.075 (−0.143 to −0.007).
#
# **How much does this say?** 80 steps on 36 scans, and an explained share of 0.23: that is a weak
# pretraining, and a second reason to draw no conclusion about the puzzles. On real hippocampi,
# after longer pretraining, both gained ([results](../docs/results.md)).
#
# </details>
#
# ### Next to the paper
#
# The paper has no masked reconstruction, so that arm stands below its rows. No spread was
# published, so nobody can say which of its differences are luck. Hold the gains in brackets against
# each other, and not the scores: other scans, other networks.

# %%
for block in ssl3d.study.published.published_tables("brats"):
    header, rows = ssl3d.study.published.beside_paper(results, block)
    show_table(block.title, (header, [row for row in rows if not row[0].startswith("2D")]))

# %% [markdown]
# <details><summary>What we saw</summary>
#
# In the second table, of the whole tumour: with a tenth of the labels the paper's scratch has 0.42,
# and its CPC is ahead by 0.34. Here scratch has 0.752 with a tenth, on easier scans, and CPC is
# ahead by 0.017. With all labels the paper's gain is 0.03, and here CPC is 0.005 behind. A scratch
# that has learnt leaves less to be gained. What a weak baseline does to a gain is the subject of
# [notebook 12](12_weak_baseline.ipynb).
#
# In the first table the gains of the paper's CPC are 4.45, 2.06 and 2.00 points. Here CPC is behind
# by 0.10, 0.50 and 1.05, and masked by 2.47, 0.38 and 1.58. The verdicts above say how far such
# differences of six pairs can be trusted: hardly. So the paper's claims are neither borne out nor
# refuted by this run. It pretrained on 36 virtual scans, the paper on 22 000 real ones.
#
# </details>
#
# All that a study says, with every figure and its limits, is one line:
# `ssl3d.study.show_results(results)`.
#
# ## 6. The real scans
#
# BraTS 2018 has 285 labelled patients and 66 without public labels. Registration is free; the terms
# forbid passing the scans on. The recipe says where to ask:

# %%
about = ssl3d.data.load_recipe("brats")[0].about
print(f"{about.title}\n\naccess: {about.access}\n\nlicence: {about.licence}\nsize: {about.size}")

# %% [markdown]
# Then, and the notebook finds them by itself:
#
#     ssl3d prepare brats --raw FOLDER --preset paper --out cohorts/brats
#
# Those volumes have 128 voxels an edge. For a laptop, add `--size 36 36 36` instead of the preset.
#
# ## 7. The hours
#
# The paper names neither hardware nor hours. They can be counted: operations of a step, times
# steps, divided by what a GPU does in a second. Data sheets promise several times what 3D
# convolutions reach, so the cell assumes a round, lower number. Put in that of your GPU.

# %%
TERAFLOPS = 30  # assumed to be reached in training
paper = ssl3d.study.read_study("brats", "full")
shape = paper.encoder | {"filters": tuple(paper.encoder.get("filters", ()))}
unet = ssl3d.make_network(ssl3d.make_encoder(cohort, 0, **shape), cohort, 0)
runs = [run for job in ssl3d.study.plan(paper).values() for run in job]
for name, network, given, protocols in (
    ("pretraining", unet.encoder, paper.pretrain, ("proxy",)),
    ("fine-tuning", unet, {"batch": 2} | paper.finetune, ("finetune", "frozen")),
):
    step = ssl3d.models.training_operations(network, given["batch"], 4, 128, 128, 128)
    hours = step * given["steps"] / TERAFLOPS / 1e12 / 3600
    count = sum(run.protocol in protocols for run in runs)
    print(f"{name}: {hours:.1f} GPU hours a run, {count} runs: {count * hours:.0f} hours")

# %% [markdown]
# That is all arms of the study, four amounts of labels and six seeds, with the 2D arms counted as
# if they were 3D. One arm with its twin and controls is a small part of it: `ssl3d study brats
# --scale full --cohort cohorts/brats --arms masked scratch random random@none --labels 10%`.
# `--launcher slurm` spreads the jobs over a cluster.
#
# ## Exercise
#
# Which contrast does your fine-tuned network rely on? Take them away one by one: set a channel of
# the test scans to 0 (the brain's mean, as the recipe scales it), predict, and score each region.
# Guess first: which region suffers most without T1ce?
#
# <details><summary>Hint</summary>
#
# `cohort.images(split.test)` is a tensor (case, channel, x, y, z): copy it and set one channel to
# 0. `ssl3d.evaluation.predict_batch(network, images)` gives class maps, and
# `ssl3d.evaluation.score(iter(maps), cohort, split.test, hausdorff=False, progress=False)` scores
# them.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# images = cohort.images(split.test)
# for channel, name in enumerate(cohort.channels):
#     blind = images.clone()
#     blind[:, channel] = 0
#     maps = ssl3d.evaluation.predict_batch(networks["masked"], blind).cpu()
#     result = ssl3d.evaluation.score(
#         iter(maps), cohort, split.test, hausdorff=False, progress=False
#     )
#     print(f"without {name:5}", result.line(), enhancing(result), sep="\n  ")
# ```
#
# At class scale, ET of the nine patients who have some falls from 0.499 to 0.343 without T1ce: it
# suffers most by far, and this is the contrast that the class is defined by. Yet a good part is
# still found: the core is dark and the living part lies around it, also on the other contrasts. And
# of the three patients without ET not one is left without a wrong voxel.
#
# Now look at ET over all twelve, as it is usually printed. It is 0.458 with all contrasts and 0.257
# without T1ce, which is next to the floor of section 2 (0.250) and would be read as "finds hardly
# any". That would be wrong: false voxels in three patients hide what is found in nine. And without
# T2 it *rises*, to 0.569, though the nine fall to 0.425. The network seems to name less, so all
# three others come out right. One mean hid both.
#
# The core TC depends on T2 (0.703 with all, 0.477 without it), the whole tumour on FLAIR and T2
# (0.750; 0.663 and 0.666 without one of them). T1 is hardly missed (a mean of 0.632 instead of
# 0.637). With twelve patients and one seed, read the large losses, and not each hundredth.
#
# A caution: 0 in a whole channel is a scan that no network was trained to expect. What is lost is
# the contrast *and* the look of a normal scan. Filling the channel with another patient's values is
# a fairer way to take it away.
#
# </details>
#
# ## Where to go from here
#
# [The pancreas](15_pancreas.ipynb): a smaller organ, on CT, and a run in which fine-tuning does
# gain, and a control asks what from. [Transfer](17_transfer.ipynb): the paper pretrained on 22 000
# other heads, with two contrasts instead of four.
#
# ## What the literature did next
#
# - Masked reconstruction became the standard: He et al., [Masked
#   Autoencoders](https://arxiv.org/abs/2111.06377), CVPR 2022; in 3D with a U-Net, Wald et al.,
#   [Revisiting MAE pre-training](https://arxiv.org/abs/2410.23132), CVPR 2025.
# - Puzzles were combined: Tang et al., [Swin
#   Transformers](https://arxiv.org/abs/2111.14791), CVPR 2022 (inpainting, rotation and contrast at
#   once). Before that Zhou et al., [Models Genesis](https://arxiv.org/abs/1908.06912), MICCAI 2019,
#   restored distorted patches.
# - The baseline got stronger: Isensee et al.,
#   [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), Nature Methods 2021, and [nnU-Net
#   Revisited](https://arxiv.org/abs/2404.09556), MICCAI 2024.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Menze et al., [The Multimodal Brain
# Tumor Image Segmentation Benchmark](https://doi.org/10.1109/TMI.2014.2377694), 2015. Bakas et al.,
# [Advancing The Cancer Genome Atlas glioma MRI
# collections](https://doi.org/10.1038/sdata.2017.117), 2017. Çiçek et al., [3D
# U-Net](https://arxiv.org/abs/1606.06650), MICCAI 2016.

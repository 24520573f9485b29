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
# **You will be able to:** read a brain tumour on four MR contrasts and score it by the regions of
# BraTS; pretrain an encoder on scans without labels; fine-tune it with two labelled scans; and run
# a study with controls and paired seeds that says what of the paper's claims it can bear out, and
# what it cannot.
#
# **Time:** six minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `smoke`, where nothing is learnt. `full` has the paper's networks, rates and warm-up and takes
# weeks of one GPU's time: section 6 counts the hours.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch

SCALE = ssl3d.scale()

# %%
SIZES = {
    "smoke": {"cases": 10, "edge": 32, "pretrain": 10, "finetune": 10},
    "class": {"cases": 40, "edge": 36, "pretrain": 100, "finetune": 60},
    "full": {"cases": 285, "edge": 128, "pretrain": 2000, "finetune": 2000},
}
size = SIZES[SCALE]

# %% [markdown]
# ## 1. The scans
#
# A *glioma* is a tumour of the brain's own supporting cells. Each patient is scanned in four ways,
# called contrasts, and each shows something else:
#
# | contrast | what is bright on it |
# |---|---|
# | T1 | white matter; water is dark |
# | T1ce | as T1, and what takes up the contrast agent: living tumour with leaky vessels |
# | T2 | water, so swelling |
# | FLAIR | swelling, while the water of the ventricles stays dark |
#
# Real scans come from the BraTS challenge. If you have them, prepared as `cohorts/brats`, they are
# used; else virtual patients are made on the spot. The next line says which.

# %%
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"])
split = cohort.split()
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")
print("contrasts:", ", ".join(cohort.channels))
ssl3d.show.contact_sheet(cohort, split.train[:4])

# %% [markdown]
# *What to look at:* each row is a patient: three planes of T1 through the tumour, then the axial
# plane in the other contrasts. Follow one outline from T1 to FLAIR. On which contrast would you
# have drawn which border?
#
# Now scroll through one. The channel picker changes the contrast; the slider hides the labels.
# **Predict before you look:** on which contrast can you find the tumour without its label?

# %%
case = split.train[0]
image, label = cohort[case]
ssl3d.show.Slices(image, label, label_names=cohort.label_names, channel_names=cohort.channels)

# %% [markdown]
# ### Classes and regions
#
# The annotators drew three classes. They are scored as three nested *regions*, as these are what a
# surgeon asks for: whole tumour $\mathrm{WT} = 1 \cup 2 \cup 4$, tumour core
# $\mathrm{TC} = 1 \cup 4$, enhancing tumour $\mathrm{ET} = 4$. A region $A$ that was found is
# compared with the region $B$ that was drawn by
#
# $$\mathrm{Dice}(A, B) = \frac{2\,|A \cap B|}{|A| + |B|},$$
#
# for each patient and region by itself, and then averaged. The background is never averaged in.

# %%
print("value in the raw files → class:", dict(zip(cohort.label_values, cohort.label_names)))
for region, classes in cohort.region_classes.items():
    voxels = [np.isin(cohort[case][1], classes).sum() for case in split.train]
    print(f"{region}: classes {classes}, {np.median(voxels):.0f} of {label.size} voxels (median)")

# %% [markdown]
# ## 2. The puzzle
#
# The paper pretrains with five puzzles; notebooks 02 to 06 have one each. Here we add a sixth that
# the field turned to afterwards, **masked reconstruction**. 60 % of the scan is hidden, block by
# block. Let $M$ be the hidden voxels, $x$ the scan and $\hat x$ what the network paints in:
#
# $$\mathcal{L} = \frac{1}{|M|} \sum_{v \in M} (\hat x_v - x_v)^2 .$$
#
# Its score is the share of the hidden voxels' variance that is explained: 1 is perfect, 0 is what
# their mean explains. Why this one here? Place is most of what CPC, jigsaw or relative location ask
# for. A tumour can be anywhere. What makes it a tumour is its look. Whether that reasoning holds is
# a question for section 5.

# %%
study = ssl3d.study.read_study("brats", SCALE)  # one file holds the settings of all three scales
shape = study.encoder | {"filters": tuple(study.encoder.get("filters", ()))}
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
task = ssl3d.make_task("masked", encoder, seed=0)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* above the scan, below it what the network gets of its first contrast. The same
# blocks are hidden in all four. **Predict before you run:** which hidden blocks can be painted in
# well? Think of the other half of the brain.
#
# ## 3. Pretraining by hand
#
# Scans of the test and validation patients are not shown to the network, not even without their
# labels. The view draws loss and score while the network learns; its button stops the run.

# %%
start = deepcopy(encoder)
watched = cohort.images(split.validation[:2])
view = ssl3d.show.Live(task, encoder, watched, chance=0.0)
view

# %%
history = ssl3d.pretrain(
    task, encoder, cohort, steps=size["pretrain"], learning_rate=2e-3, callback=view.watch
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
print(f"explained on patients it has not seen: {held_out['r2']:.2f}, chance: 0")

# %%
ssl3d.show.learning_curves({"masked": history}, {"masked": held_out})

# %% [markdown]
# *What to look at:* the dot is the score on validation patients. If it lies far below the line, the
# network has learnt these patients by heart, and not how brains look.
#
# What does it paint? Pick a channel: what was shown, what was rebuilt, the truth.

# %%
with torch.inference_mode():
    puzzle = task.make_views(watched, task.sample_params(watched, torch.Generator().manual_seed(1)))
    rebuilt = task(encoder, puzzle)[0, 0]
FLAIR = len(cohort.channels) - 1
shown, hidden = puzzle.views[0, 0], puzzle.target[0, 0]
truth = torch.where(hidden.isnan(), shown, hidden)
three = torch.stack([shown[FLAIR], rebuilt[FLAIR], truth[FLAIR]])
ssl3d.show.Slices(three, channel_names=("shown", "rebuilt", "truth"), title=cohort.channels[FLAIR])

# %% [markdown]
# ## 4. Fine-tuning by hand
#
# The encoder becomes the left half of a U-Net; its decoder starts at random. As in the paper there
# is a *warm-up*: for the first quarter the pretrained encoder stands still while the decoder learns
# to read it. The twin from scratch gets the same labelled scans, the same start of the decoder, the
# same order of batches and the same number of steps. Only the encoder's start differs, and that
# random weights are not worth being kept still.

# %%
labelled = cohort.subset(split.train, study.labels[0])
print("labelled scans:", [cohort.cases[case].id for case in labelled])
warm_up = size["finetune"] // 4  # steps in which the pretrained encoder stands still
networks = {}
for name, begin, frozen in (("masked", encoder, warm_up), ("scratch", start, 0)):
    networks[name] = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(
        networks[name], cohort, labelled, steps=size["finetune"], freeze_encoder_steps=frozen
    )
    result = ssl3d.evaluate(networks[name], cohort, split.test, hausdorff=False, progress=False)
    print(f"{name:8}", result.line())

# %%
predictions = {
    name: ssl3d.evaluation.predict_batch(network, cohort.images(split.test[:2]))[0].cpu().numpy()
    for name, network in networks.items()
}
image, label = cohort[split.test[0]]
ssl3d.show.segmentations(
    np.asarray(image[FLAIR], np.float32),
    {"truth": np.asarray(label), **predictions},
    cohort.label_names,
)

# %% [markdown]
# *What to look at:* where do the two answers differ, and which difference would matter to a
# patient? Then remember that this is **one** seed. Had another two patients been labelled, the
# order might be the other way round. That is what the next section is about.
#
# ## 5. The honest comparison
#
# A study compares *arms*. It has one budget for all of them, pairs of runs that share all that is
# luck, and controls: random encoders of three kinds, and a *collapsed* encoder that cost as much
# training and learnt nothing. Its settings are those of `ssl3d study brats`, cut down here to what
# fits into the time.
#
# It writes each score to a file as soon as there is one. Stop it, and the same cell goes on; run
# the notebook again, and it only reads.

# %%
PROTOCOLS = ("finetune", "probe", "probe+place", "convergence")
CHANGES = {
    "smoke": {
        "protocols": PROTOCOLS,
        "arms": ("masked", "scratch", "random", "collapsed"),
        "labels": ("50%",),
    },
    "class": {
        "protocols": PROTOCOLS,
        "arms": ("masked", "cpc", "scratch", "random", "random@batch", "random@none", "collapsed"),
        "seeds": 2,
        "milestones": (30, 60, 90),
        "tasks": {"cpc": {"patch": 12, "stride": 6, "jitter": 6}},
        "pretrain": {"steps": 100, "batch": 2},
        "finetune": {"steps": 120},
        "probe": {"draws": 2, "voxels": 1000},
    },
    "full": {},  # the paper's networks, rates and warm-up, all arms, six seeds
}
results = ssl3d.study("brats", SCALE, f"runs/14-{SCALE}/study", cohort=cohort, **CHANGES[SCALE])

# %% [markdown]
# ### What the study says
#
# **Scores.** **Predict before you read on:** which arm is first after fine-tuning? Which has the
# best features for the linear probe? Is it the same?
#
# **On the way.** The paper also claims that pretrained networks get there sooner. So the test
# patients were scored while fine-tuning went on; nothing was chosen by that.
#
# **Place alone.** The first row looks at no scan: its answer is the mean label map of the same
# labelled scans. A tumour can be anywhere, so it should score little here. A run that does not beat
# it has *failed*, and failures are counted apart.
#
# **Verdicts.** Notebook 11 has the rule. Six paired seeds are the least, and training from scratch
# with the most labels must be clearly ahead of place alone: else this experiment **cannot tell**,
# and says why. Two seeds are there to try things out: they give an interval, over seeds alone or
# over seeds and patients, and no verdict.
#
# **Beside the paper.** No spread was published, so nobody can say which of the paper's differences
# are luck.

# %%
ssl3d.study.show_results(results)

# %% [markdown]
# *What to look at:*
#
# - **Curves:** a line is the mean over seeds, its band goes from the worst seed to the best. Where
#   bands overlap, two seeds cannot tell the arms apart. Grey lines are controls.
# - **Differences:** small dots are pairs, the large one their mean. Look at *collapsed* first: it
#   learnt nothing, so how far it lies from zero is what chance can do here.
#
# ## 6. What a real run needs
#
# **The scans.** BraTS 2018 has 285 labelled patients and 66 without public labels, 3.5 GB.
# Registration is free; the terms forbid passing the scans on. The recipe says where to ask:

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
# **The hours.** The paper names neither hardware nor hours. So we count the operations of a step
# with its network and multiply. What a GPU makes of its speed on paper in 3D convolutions differs:
# the cell assumes a round number. Put in yours.

# %%
TERAFLOPS = 30  # assumed: reached in training, not the data sheet's number
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
# if they were 3D. One arm with its twin from scratch and three seeds is a small part of it: `ssl3d
# study brats --scale full --cohort cohorts/brats --arms cpc scratch random collapsed --labels 10%
# --seeds 3`. `--launcher slurm` spreads the jobs over a cluster.
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
#
# <details><summary>A solution</summary>
#
# ```python
#
# images = cohort.images(split.test)
# for channel, name in enumerate(cohort.channels):
#     blind = images.clone()
#     blind[:, channel] = 0
#     maps = ssl3d.evaluation.predict_batch(networks["masked"], blind).cpu()
#     result = ssl3d.evaluation.score(iter(maps), cohort, split.test, False, False)
#     print(f"without {name:5}", result.line())
# ```
#
# The enhancing part is defined by what takes up contrast agent, so T1ce is where a good network
# must look. If ET does not suffer, the network has found a shortcut, or had not learnt ET at all:
# compare with the scores of section 4. And 0 is a value that no network was trained to expect;
# filling the channel with another patient's values is a fairer way to take it away.
#
# </details>
#
# ## What the literature did next
#
# - Masked reconstruction became the standard: He et al., *Masked Autoencoders Are Scalable Vision
#   Learners*, CVPR 2022; in 3D with a network like ours, Wald et al., *Revisiting MAE Pre-training
#   for 3D Medical Image Segmentation*, CVPR 2025.
# - Puzzles were combined: Tang et al., *Self-Supervised Pre-Training of Swin Transformers for 3D
#   Medical Image Analysis*, CVPR 2022 (inpainting, rotation and contrast at once). Before that,
#   Zhou et al., *Models Genesis*, MICCAI 2019, restored distorted patches.
# - The baseline got stronger: Isensee et al., *nnU-Net*, Nature Methods 2021. Many later gains were
#   smaller than what its careful set-up gives: Isensee et al., *nnU-Net Revisited*, MICCAI 2024.
#
# ## References
#
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Menze et al., *The
# Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)*, IEEE Transactions on Medical Imaging
# 2015. Bakas et al., *Advancing The Cancer Genome Atlas glioma MRI collections with expert
# segmentation labels and radiomic features*, Scientific Data 2017. Ronneberger et al., *U-Net*,
# MICCAI 2015. Çiçek et al., *3D U-Net*, MICCAI 2016.

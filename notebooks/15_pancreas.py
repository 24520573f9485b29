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
# # The pancreas on CT: few labels, and scans that have none
#
# **You will be able to:** read a CT in Hounsfield units and choose a window; use scans without
# labels for what they are worth; pretrain with contrastive predictive coding (CPC) and fine-tune;
# draw a curve of label efficiency with its spread; and say why a small tumour cannot score as a
# large organ does.
#
# **Time:** six minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `smoke`, where nothing is learnt. `full` has the paper's networks and warm-up and takes weeks
# of one GPU's time: section 6 counts the hours.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch

SCALE = ssl3d.scale()

# %%
SIZES = {
    "smoke": {"cases": 10, "unlabelled": 2, "edge": 48, "pretrain": 10, "finetune": 10},
    "class": {"cases": 30, "unlabelled": 10, "edge": 48, "pretrain": 80, "finetune": 60},
    "full": {"cases": 281, "unlabelled": 139, "edge": 128, "pretrain": 2000, "finetune": 2000},
}
size = SIZES[SCALE]

# %% [markdown]
# ## 1. The scans
#
# A CT measures how much X-rays are weakened, in **Hounsfield units** (HU): air is −1000, water 0,
# fat about −100, soft tissue 30 to 80, bone several hundred. Organs of the belly differ by tens of
# units, so a *window* is opened about them and all else is cut off. The recipe's window is
#
# $$x = \mathrm{clip}\!\left(\frac{\mathrm{HU} + 100}{340},\, 0,\, 1\right).$$
#
# The paper's benchmark is Task 7 of the Medical Segmentation Decathlon: pancreas, and tumours in
# it. Some of its scans were published without labels. They cannot be fine-tuned on, but pretraining
# needs none. Real scans are used if they are prepared as `cohorts/pancreas`; the next line says.

# %%
cohort = ssl3d.open_cohort(
    "pancreas", cases=size["cases"], unlabelled=size["unlabelled"], edge=size["edge"]
)
split = cohort.split()
without = [case for case in split.pretrain if not cohort.cases[case].labelled]
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")
print(f"pretraining sees the {len(split.train)} and {len(without)} more that have no label")

# %%
ssl3d.show.contact_sheet(cohort, [*split.train[:4], *without[:2]])

# %% [markdown]
# *What to look at:* the outlined organ, which lies across the body behind the stomach, and how
# little its neighbours differ from it. The last two scans have no outline: could you draw one?
#
# **Predict before you look:** scroll to the pancreas with the overlay switched off. Can you find
# its border to the bowel? Then switch it on.

# %%
case = split.train[0]
image, label = cohort[case]
ssl3d.show.Slices(image, label, label_names=cohort.label_names, channel_names=cohort.channels)

# %%
for region, classes in cohort.region_classes.items():
    voxels = [np.isin(cohort[case][1], classes).sum() for case in split.train]
    share = np.median(voxels) / label.size
    print(f"{region:9} {np.median(voxels):4.0f} voxels a scan (median), {share:.2%} of it")
ssl3d.show.intensities(cohort, split.train[:6])

# %% [markdown]
# *What to look at:* grey lines are scans, the blue one is their mean. The commonest value, 0, to
# which all air was cut, is left out; at 1 stands bone. The low hills between are organs. How much
# of the pancreas could be told by its value alone?
#
# ## 2. The puzzle
#
# **Contrastive predictive coding.** The scan is cut into a grid of overlapping patches. The encoder
# $g_{enc}$ turns patch $i$ into a latent $z_i = g_{enc}(x_i)$. A context network sums up the patch
# and the inverted pyramid of patches before it, $c_i = g_{cxt}(\{z_u\}_{u \le i})$. From it, the
# latent $l$ rows ahead is predicted by a linear map, $\hat z_{i+l} = W_l\, c_i$. The loss asks it
# to be nearer to the right latent than to the $N-1$ others of the batch:
#
# $$\mathcal{L} = -\sum_{i,l} \log \frac{\exp(\hat z_{i+l}^{\top} z_{i+l} / \tau)}
# {\sum_{n=1}^{N} \exp(\hat z_{i+l}^{\top} z_n / \tau)} .$$
#
# Notebook 06 takes this apart. Here it is used.

# %%
study = ssl3d.study.read_study("pancreas", SCALE)  # one file holds the settings of all three scales
shape = study.encoder | {"filters": tuple(study.encoder.get("filters", ()))}
named = ssl3d.training.preset(
    study.preset, "cpc", cohort.spatial_dims
)  # "quick", at full scale "paper"
own = named.tasks["cpc"] | study.tasks.get("cpc", {})
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
task = ssl3d.make_task("cpc", encoder, seed=0, **own)
volumes = cohort.images(split.pretrain[:2])
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
choices = batch.views.shape[0] * batch.views.shape[1]
print(f"{batch.views.shape[1]} patches a scan; guessing is right once in {choices} times")
ssl3d.show.pyramid(volumes, batch)

# %% [markdown]
# *What to look at:* from the blue cells the latent of the orange target has to be told.
# **Predict before you run:** which patch of the belly is easy to foretell, and which is not?
#
# ## 3. Pretraining by hand
#
# Scans of the test and validation patients are not shown to the network, not even without their
# labels. The view draws loss and score while the network learns; its button stops the run.

# %%
start = deepcopy(encoder)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]), chance=1 / choices)
view

# %%
training = named.training | {"epochs": 0, "steps": size["pretrain"]}
history = ssl3d.pretrain(task, encoder, cohort, callback=view.watch, **training)
held_out = ssl3d.evaluation.proxy_score(
    task, encoder, cohort, split.validation, batch=training["batch"]
)
print(f"right on patients it has not seen: {held_out['accuracy']:.1%}", end=", ")
print(f"chance: {held_out['chance']:.1%}")

# %%
ssl3d.show.learning_curves({"CPC": history}, {"CPC": held_out})

# %% [markdown]
# *What to look at:* how far is the line above chance, and is it still rising? Then training was cut
# short by the clock, not by what there is to learn. The dot is the score on validation patients.
#
# ## 4. Fine-tuning by hand
#
# The encoder becomes the left half of a U-Net; its decoder starts at random. As in the paper there
# is a *warm-up*: for the first quarter the pretrained encoder stands still while the decoder learns
# to read it. The twin from scratch has the same labelled scans, decoder start, order of batches and
# number of steps.
#
# The scans are large beside the organ, so each step trains on a random box of each.

# %%
BOX = None if SCALE == "full" else (32, 32, 32)
labelled = cohort.subset(split.train, study.labels[0])
warm_up = size["finetune"] // 4  # steps in which the pretrained encoder stands still
print("labelled scans:", [cohort.cases[case].id for case in labelled])
networks = {}
for name, begin, frozen in (("CPC", encoder, warm_up), ("scratch", start, 0)):
    networks[name] = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(
        networks[name],
        cohort,
        labelled,
        steps=size["finetune"],
        patch=BOX,
        freeze_encoder_steps=frozen,
    )
    result = ssl3d.evaluate(
        networks[name], cohort, split.test, BOX, hausdorff=False, progress=False
    )
    print(f"{name:8}", result.line())

# %%
predictions = {
    name: ssl3d.evaluation.predict_batch(network, cohort.images(split.test[:2]), BOX)[0]
    .cpu()
    .numpy()
    for name, network in networks.items()
}
image, label = cohort[split.test[0]]
ssl3d.show.segmentations(
    np.asarray(image[0], np.float32),
    {"truth": np.asarray(label), **predictions},
    cohort.label_names,
)

# %% [markdown]
# *What to look at:* is the organ found, and is the tumour? A network that never answers "tumour"
# can still have a fair share of voxels right: the score is the mean over both regions, so it shows.
#
# ## 5. The honest comparison
#
# One pair of runs is an anecdote. A study compares *arms* with one budget, pairs of runs that share
# all that is luck, and controls: random encoders of three kinds, and a *collapsed* one that cost as
# much training and learnt nothing. Its settings are those of `ssl3d study pancreas`, cut down here
# to what fits into the time. Both the fewest and the most labels are tried.
#
# It writes each score to a file as soon as there is one. Stop it, and the same cell goes on; run
# the notebook again, and it only reads.

# %%
PROTOCOLS = ("finetune", "probe", "probe+place", "convergence")
CHANGES = {
    "smoke": {
        "protocols": PROTOCOLS,
        "arms": ("cpc", "scratch", "random", "collapsed"),
        "labels": ("50%",),
        "finetune": {"patch": BOX},
    },
    "class": {
        "protocols": PROTOCOLS,
        "arms": ("cpc", "scratch", "random", "random@batch", "random@none", "collapsed"),
        "labels": ("10%", "100%"),
        "seeds": 2,
        "milestones": (30, 60, 90),
        "pretrain": {"steps": 80, "batch": 2},
        "finetune": {"steps": 120, "patch": BOX},
        "probe": {"draws": 2, "voxels": 1000},
    },
    "full": {},  # the paper's networks and warm-up, all arms, six seeds
}
results = ssl3d.study("pancreas", SCALE, f"runs/15-{SCALE}/study", cohort=cohort, **CHANGES[SCALE])

# %% [markdown]
# ### What the study says
#
# **Scores.** **Predict before you read on:** with which number of labels is the gap between CPC and
# scratch larger? Which region is worse, and by how much?
#
# **Label efficiency.** The paper's first claim is a curve: the score over the number of labelled
# scans. The same curve of the linear probe follows, to which the decoder adds nothing.
#
# **Place alone.** The first row looks at no scan: its answer is the mean label map of the same
# labelled scans. Crops are centred on the organ, so it scores something for the organ and little
# for the tumour. A run that does not beat it has *failed*, and failures are counted apart.
#
# **Verdicts.** Notebook 11 has the rule. Six paired seeds are the least, and training from scratch
# with the most labels must be clearly ahead of place alone: else this experiment **cannot tell**,
# and says why. Two seeds are there to try things out: they give an interval, over seeds alone or
# over seeds and patients, and no verdict.
#
# **Beside the paper.** The figures were read off a plot, no spread was published, and readers of
# the authors' code report that they could not reproduce this very plot (issue 27 of its
# repository).

# %%
ssl3d.study.show_results(results)

# %% [markdown]
# *What to look at:*
#
# - **Label efficiency:** a line is the mean over seeds, its band goes from the worst seed to the
#   best. "Fewer labels for the same score" would be a line that lies above and to the left of the
#   grey ones, by more than the bands are wide.
# - **Controls:** a random encoder of another kind is another control. The strongest is the one to
#   beat, and place alone.
# - **Steps:** do the lines still rise at the end? Then the numbers above are a snapshot, and a
#   longer run may order the arms otherwise.
# - **Differences:** small dots are pairs, the large one their mean. Look at *collapsed* first: it
#   learnt nothing, so how far it lies from zero is what chance can do here.
#
# ## 6. What a real run needs
#
# **The scans.** The Decathlon can be downloaded by anyone, and passed on under the same licence.

# %%
about = ssl3d.data.load_recipe("msd")[0].about
print(f"{about.title}\n\naccess: {about.access}\nlicence: {about.licence}\nsize: {about.size}")

# %% [markdown]
# Then, and the notebook finds them by itself:
#
#     ssl3d prepare msd --task Task07_Pancreas --preset paper --out cohorts/pancreas
#
# Those volumes have 128 voxels an edge. For a laptop, give `--size 48 48 48` instead of the preset.
#
# **The hours.** The paper names neither hardware nor hours. So we count the operations of a step
# with its network and multiply. What a GPU makes of its speed on paper in 3D convolutions differs:
# the cell assumes a round number. Put in yours.

# %%
TERAFLOPS = 30  # assumed: reached in training, not the data sheet's number
paper = ssl3d.study.read_study("pancreas", "full")
shape = paper.encoder | {"filters": tuple(paper.encoder.get("filters", ()))}
unet = ssl3d.make_network(ssl3d.make_encoder(cohort, 0, **shape), cohort, 0)
runs = [run for job in ssl3d.study.plan(paper).values() for run in job]
for name, network, given, protocols in (
    ("pretraining", unet.encoder, paper.pretrain, ("proxy",)),
    ("fine-tuning", unet, {"batch": 2} | paper.finetune, ("finetune", "frozen")),
):
    step = ssl3d.models.training_operations(network, given["batch"], 1, 128, 128, 128)
    hours = step * given["steps"] / TERAFLOPS / 1e12 / 3600
    count = sum(run.protocol in protocols for run in runs)
    print(f"{name}: {hours:.1f} GPU hours a run, {count} runs: {count * hours:.0f} hours")

# %% [markdown]
# That is all arms, five amounts of labels and six seeds; CPC's overlapping patches, which are more
# voxels than the scan has, come on top, and 2D arms are counted as if they were 3D. One arm with
# its twin from scratch and three seeds is a small part of it: `ssl3d study pancreas --scale full
# --cohort cohorts/pancreas --arms cpc scratch random collapsed --labels 10% --seeds 3`.
#
# ## Exercise
#
# How good can a Dice score be if every border is off by one voxel? Take the truth of a test scan,
# move it by one voxel along one axis, and score it against itself, for the organ and for the
# tumour. Guess first.
#
# <details><summary>Hint</summary>
#
# `np.roll(label, 1, axis)` moves an array. `ssl3d.evaluation.segmentation.score_case(prediction,
# truth, cohort.region_classes, cohort.cases[case], hausdorff=False)` takes two tensors and gives
# Dice for each region first.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
# for axis in range(3):
#     dice = [
#         ssl3d.evaluation.segmentation.score_case(
#             torch.from_numpy(np.roll(cohort[case][1], 1, axis)),
#             torch.from_numpy(np.array(cohort[case][1])),
#             cohort.region_classes, cohort.cases[case], hausdorff=False,
#         )[0]
#         for case in split.test
#     ]
#     print("axis", axis, dict(zip(cohort.regions, np.mean(dice, 0).round(2))))
# ```
#
# A small thing has much border for its size, so one voxel costs it far more. A Dice of 0.6 for a
# tumour of this size can be an error of less than a voxel, and so can be part of the gap between
# two networks. The size of the voxels belongs beside every Dice score.
#
# </details>
#
# ## What the literature did next
#
# - More scans: Tang et al., *Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image
#   Analysis*, CVPR 2022, pretrained on 5 050 CT scans and tested on the whole Decathlon.
# - The puzzle of place, again: Wu et al., *VoCo: A Simple-yet-Effective Volume Contrastive Learning
#   Framework for 3D Medical Image Analysis*, CVPR 2024, asks which parts of the body a crop
#   overlaps with.
# - A rival that the paper had met already, in its tissue labels: Li et al., *How Well Do Supervised
#   3D Models Transfer to Medical Imaging Tasks?*, ICLR 2024, pretrained *with* labels on abdominal
#   CTs, and report that far fewer scans then suffice.
#
# ## References
#
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Antonelli et al.,
# *The Medical Segmentation Decathlon*, Nature Communications 2022. Van den Oord et al.,
# *Representation Learning with Contrastive Predictive Coding*, 2018. Hénaff et al., *Data-Efficient
# Image Recognition with Contrastive Predictive Coding*, ICML 2020. Çiçek et al., *3D U-Net*, MICCAI
# 2016.

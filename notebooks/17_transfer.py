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
# # Transfer: learn from a large corpus, use it on a small set of another kind
#
# **You will be able to:** take an encoder that was pretrained on two MR contrasts to scans that
# have four; check with a number that it still gives the same features; say which new contrast is
# read by which old weights, and whether that is wise; and test whether features move from healthy
# heads to heads with tumours.
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
from matplotlib.figure import Figure

SCALE = ssl3d.scale()

# %%
SIZES = {
    "smoke": {"corpus": 10, "cases": 10, "edge": 32, "pretrain": 10, "finetune": 10},
    "class": {"corpus": 60, "cases": 40, "edge": 36, "pretrain": 100, "finetune": 60},
    "full": {"corpus": 2000, "cases": 285, "edge": 128, "pretrain": 2000, "finetune": 2000},
}
size = SIZES[SCALE]

# %% [markdown]
# ## 1. Two cohorts
#
# The paper's corpus is UK Biobank: some 22 000 people who were scanned in two contrasts, T1 and
# T2-FLAIR. Hardly any has a tumour, and nobody drew anything. Its benchmark is BraTS: 285 patients
# with tumours, four contrasts, labels. Real scans are used if they are prepared as
# `cohorts/ukb-brain` and `cohorts/brats`; the next lines say.

# %%
corpus = ssl3d.open_cohort("ukb-brain", cases=size["corpus"], edge=size["edge"])
# other subjects than the corpus's: with the same seed, the same heads would stand in both
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"], seed=1)
split = cohort.split()
ssl3d.study.leakage.check_leakage(
    cohort, split, corpus
)  # by checksum: no test scan is among those pretrained on
print(f"to pretrain on: {len(corpus)} scans of {', '.join(corpus.channels)}")
print(f"to fine-tune on: {len(split.train)} scans of {', '.join(cohort.channels)}")

# %%
ssl3d.show.contact_sheet(corpus, range(3))

# %%
ssl3d.show.contact_sheet(cohort, split.train[:3])

# %% [markdown]
# *What to look at:* the first sheet is the corpus, the second the benchmark. What is alike: the
# anatomy, and that both are cropped and scaled by the same recipe. What is not: two contrasts are
# missing above, and there is no tumour. **Predict before you run:** of what the corpus teaches,
# what will be of use for a tumour?

# %%
case = split.train[0]
image, label = cohort[case]
ssl3d.show.Slices(image, label, label_names=cohort.label_names, channel_names=cohort.channels)

# %% [markdown]
# ## 2. Pretraining on the corpus, by hand
#
# The puzzle is masked reconstruction, as in notebook 14: 60 % of the scan is hidden block by block,
# and the loss is the mean squared error of the hidden voxels,
#
# $$\mathcal{L} = \frac{1}{|M|} \sum_{v \in M} (\hat x_v - x_v)^2 .$$
#
# The corpus has no folds, as it has no labels. So every tenth person is kept apart, with all their
# visits, to see whether the puzzle is learnt or the people are.

# %%
people = sorted({case.patient for case in corpus.cases})
apart = set(people[:: min(10, len(people) // 2)])
unseen = [i for i, case in enumerate(corpus.cases) if case.patient in apart]
seen = [i for i, case in enumerate(corpus.cases) if case.patient not in apart]
print(f"{len(seen)} scans to pretrain on, {len(unseen)} scans of {len(apart)} others kept apart")

# %%
study = ssl3d.study.read_study("transfer", SCALE)  # one file holds the settings of all three scales
shape = study.encoder | {"filters": tuple(study.encoder.get("filters", ()))}
encoder = ssl3d.make_encoder(corpus, seed=0, **shape)
task = ssl3d.make_task("masked", encoder, seed=0)
volumes = corpus.images(seen[:2])
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* above a scan of the corpus, below it what the network gets of its T1. The same
# blocks are hidden in both contrasts: one cannot be copied from the other.

# %%
view = ssl3d.show.Live(task, encoder, corpus.images(unseen[:2]), chance=0.0)
view

# %%
history = ssl3d.pretrain(
    task, encoder, corpus, seen, steps=size["pretrain"], learning_rate=2e-3, callback=view.watch
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, corpus, unseen)
print(f"explained on people it has not seen: {held_out['r2']:.2f}, chance: 0")

# %%
ssl3d.show.learning_curves({"masked": history}, {"masked": held_out})

# %% [markdown]
# *What to look at:* the dot, the score on people kept apart, beside the line. The corpus is larger
# than the benchmark, so there is less to learn by heart.
#
# ## 3. From two channels to four
#
# Only the first layer knows how many channels a scan has. It has one filter for each pair of output
# $o$ and input $c$, and adds up: $y_o = \sum_c w_{oc} * x_c$. The paper repeats the weights for the
# new channels. To keep the sum as large as it was, the library also shares them out:
#
# $$w'_{oc} = \frac{1}{n_{c \bmod 2}}\; w_{o,\, c \bmod 2}, \qquad c = 0, \dots, 3,$$
#
# where $n$ is how many new channels read with the same old weights; here 2.

# %%
ssl3d.show.source(ssl3d.models.adapt_channels)

# %%
adapted = ssl3d.models.adapt_channels(encoder, len(cohort.channels)).to(volumes.device).eval()
old, new = (net.state_dict()["levels.0.conv1.weight"] for net in (encoder, adapted))
print("first layer before:", tuple(old.shape), "and after:", tuple(new.shape))
for c, name in enumerate(cohort.channels):
    print(f"{name:5} is read with the weights of {corpus.channels[c % len(corpus.channels)]}")

# %% [markdown]
# **Predict before you run:** if a scan's two channels are simply repeated, do the features change?
# By how much?

# %%
with torch.inference_mode():
    before = encoder(volumes)
    after = adapted(torch.cat([volumes, volumes], dim=1))
for level, (a, b) in enumerate(zip(before, after, strict=True)):
    print(f"level {level}: largest difference {(a - b).abs().max():.1e}, of {a.abs().max():.1f}")

# %%
strongest = int(old.flatten(1).norm(dim=1).argmax())  # the output with the largest weights
figure = Figure(figsize=(8, 2.2), layout="constrained")
planes = [(old[strongest, c], corpus.channels[c], "before") for c in range(old.shape[1])]
planes += [(new[strongest, c], cohort.channels[c], "after") for c in range(new.shape[1])]
limit = float(old[strongest].abs().max())
for axes, (kernel, name, when) in zip(figure.subplots(1, len(planes)), planes, strict=True):
    axes.imshow(kernel[:, :, 1].cpu().T, cmap="PuOr", vmin=-limit, vmax=limit, origin="lower")
    axes.set_title(f"{when}\n{name}", fontsize=9)
    axes.set_axis_off()
figure

# %% [markdown]
# *What to look at:* the middle plane of one filter of the first layer, orange below zero and purple
# above. The four on the right repeat the two on the left, half as strong. T1ce is read as FLAIR
# was, and T2 as T1 was. Bright water on T2 is dark on T1: is that a good start? The exercise asks.
#
# ## 4. Fine-tuning by hand
#
# As in the paper there is a *warm-up*: for the first quarter the pretrained encoder stands still
# while the decoder learns to read it. The twin from scratch has the same labelled scans, decoder
# start, order of batches and number of steps.

# %%
labelled = cohort.subset(split.train, study.labels[0])
warm_up = size["finetune"] // 4  # steps in which the pretrained encoder stands still
start = ssl3d.make_encoder(adapted.settings, seed=0)
print("labelled scans:", [cohort.cases[case].id for case in labelled])
networks = {}
for name, begin, frozen in (("transferred", adapted, warm_up), ("scratch", start, 0)):
    networks[name] = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(
        networks[name], cohort, labelled, steps=size["finetune"], freeze_encoder_steps=frozen
    )
    result = ssl3d.evaluate(networks[name], cohort, split.test, hausdorff=False, progress=False)
    print(f"{name:12}", result.line())

# %%
predictions = {
    name: ssl3d.evaluation.predict_batch(network, cohort.images(split.test[:2]))[0].cpu().numpy()
    for name, network in networks.items()
}
image, label = cohort[split.test[0]]
flair = np.asarray(image[-1], np.float32)
ssl3d.show.segmentations(flair, {"truth": np.asarray(label), **predictions}, cohort.label_names)

# %% [markdown]
# *What to look at:* where the two answers differ. This is one seed: with another draw of labelled
# patients the order may be the other way round.
#
# ## 5. The honest comparison
#
# The fair question has two baselines. Is the transferred encoder ahead of training **from
# scratch**? And is it ahead of the same puzzle on the benchmark's **own** scans, which cost no
# corpus at all (the arm `masked@own`)? Controls are random encoders of three kinds, and a
# *collapsed* one that cost as much training and learnt nothing. Settings are those of `ssl3d study
# transfer`, cut down to what fits into the time.
#
# It writes each score to a file as soon as there is one. Stop it, and the same cell goes on; run
# the notebook again, and it only reads.

# %%
PROTOCOLS = ("finetune", "probe", "probe+place", "convergence")
CHANGES = {
    "smoke": {
        "protocols": PROTOCOLS,
        "arms": ("masked", "masked@own", "scratch", "random", "collapsed"),
        "labels": ("50%",),
    },
    "class": {
        "protocols": PROTOCOLS,
        "arms": (
            "masked",
            "masked@own",
            "scratch",
            "random",
            "random@batch",
            "random@none",
            "collapsed",
        ),
        "seeds": 2,
        "milestones": (30, 60, 90),
        "pretrain": {"steps": 100, "batch": 2},
        "finetune": {"steps": 120},
        "probe": {"draws": 2, "voxels": 1000},
    },
    "full": {},  # the paper's networks, rates and warm-up, all arms, six seeds
}
results = ssl3d.study(
    "transfer", SCALE, f"runs/17-{SCALE}/study", cohort=cohort, corpus=corpus, **CHANGES[SCALE]
)

# %% [markdown]
# ### What the study says
#
# **Scores.** **Predict before you read on:** the corpus or the own scans? Think of how many there
# are of each, and of what they show.
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
# **Beside the paper.** All 3D models of its first table but the one from scratch were pretrained on
# UK Biobank. What the same puzzles do on BraTS's own scans the table does not say, so it cannot
# tell what the corpus itself is worth.

# %%
ssl3d.study.show_results(results)

# %% [markdown]
# *What to look at:*
#
# - **Curves:** a line is the mean over seeds, its band goes from the worst seed to the best. Where
#   bands overlap, two seeds cannot tell the arms apart. Do lines still rise at the end? Then the
#   table is a snapshot.
# - **Differences:** small dots are pairs, the large one their mean. Look at *collapsed* first: it
#   learnt nothing, so how far it lies from zero is what chance can do here.
#
# And the virtual corpus and the virtual benchmark are warps of **one** template. They are far more
# alike than UK Biobank and BraTS are, so transfer is easier here than there.
#
# ## 6. What a real run needs
#
# **The scans.** UK Biobank is open to approved projects, for a fee; nothing may be passed on.

# %%
about = ssl3d.data.load_recipe("ukb-brain")[0].about
print(f"{about.title}\n\naccess: {about.access}\n\nlicence: {about.licence}")
print(f"size: {about.size}\ntime: {about.time}")

# %% [markdown]
# Then, and the notebook finds both by itself:
#
#     ssl3d prepare ukb-brain --raw FOLDER --preset paper --out cohorts/ukb-brain
#     ssl3d prepare brats --raw FOLDER --preset paper --out cohorts/brats
#
# Without UK Biobank, any other collection of heads in NIfTI files will do, with as many contrasts
# as it has: `ssl3d prepare folder --help`.
#
# **The hours.** The paper names neither hardware nor hours. So we count the operations of a step
# with its network and multiply. What a GPU makes of its speed on paper in 3D convolutions differs:
# the cell assumes a round number. Put in yours.

# %%
TERAFLOPS = 30  # assumed: reached in training, not the data sheet's number
paper = ssl3d.study.read_study("transfer", "full")
shape = paper.encoder | {"filters": tuple(paper.encoder.get("filters", ()))}
small = ssl3d.make_encoder(corpus, 0, **shape)
unet = ssl3d.make_network(ssl3d.models.adapt_channels(small, len(cohort.channels)), cohort, 0)
runs = [run for job in ssl3d.study.plan(paper).values() for run in job]
for name, network, channels, given, protocols in (
    ("pretraining", small, 2, paper.pretrain, ("proxy",)),
    ("fine-tuning", unet, 4, {"batch": 2} | paper.finetune, ("finetune", "frozen")),
):
    step = ssl3d.models.training_operations(network, given["batch"], channels, 128, 128, 128)
    hours = step * given["steps"] / TERAFLOPS / 1e12 / 3600
    count = sum(run.protocol in protocols for run in runs)
    print(f"{name}: {hours:.1f} GPU hours a run, {count} runs: {count * hours:.0f} hours")
rounds = paper.pretrain["steps"] * paper.pretrain["batch"] / 22_000
print(f"pretraining goes {rounds:.0f} times through 22 000 scans")

# %% [markdown]
# The authors' code names 1000 rounds. Put that into `[pretrain]` as steps, and multiply the hours.
#
# ## Exercise
#
# The new channels are taken in turn, so T1ce reads with FLAIR's weights and T2 with T1's. Would it
# be better if each contrast read with the weights of the contrast most like it: T1 and T1ce with
# T1's, T2 and FLAIR with FLAIR's? Make such an encoder and compare the linear probe of both.
#
# <details><summary>Hint</summary>
#
# Start from `adapted` and put its first layer's channels in another order: the new channels 0 to 3
# have the old weights 0, 1, 0, 1, and should have 0, 0, 1, 1. `ssl3d.evaluation.recalibrated` and
# `ssl3d.evaluation.linear_probes` do the rest.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
#
# by_contrast = deepcopy(adapted)
# with torch.no_grad():
#     for name, weights in by_contrast.named_parameters():
#         if name in by_contrast.input_weights:
#             weights.copy_(weights[:, [0, 2, 1, 3]])
# draws = [cohort.subset(split.train, 2, seed) for seed in range(3)]
# for name, candidate in {"in turn": adapted, "by contrast": by_contrast}.items():
#     candidate = ssl3d.evaluation.recalibrated(candidate, cohort, split.pretrain[:16])
#     results = ssl3d.evaluation.linear_probes(candidate, cohort, draws, split.validation)
#     print(name, [round(result.mean_dice, 3) for result in results])
# ```
#
# It is judged on validation cases, as this is a choice between two settings; the test cases are for
# what was chosen. After fine-tuning the difference may be gone, as the first layer learns too.
#
# </details>
#
# ## What the literature did next
#
# - The same corpus, the same benchmark: Cox et al., *BrainSegFounder*, Medical Image Analysis 2024,
#   pretrains on UK Biobank's brains and fine-tunes on BraTS.
# - Many sources at once: Wald et al., *An OpenMind for 3D Medical Vision Self-Supervised Learning*,
#   ICCV 2025, gathered 114 000 public brain MRI volumes and compared methods on them: masked
#   reconstruction came out best for segmentation.
# - Labels instead: Chen et al., *Med3D: Transfer Learning for 3D Medical Image Analysis*, 2019,
#   pretrained on the labels of many small data sets together.
#
# ## References
#
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Miller et al.,
# *Multimodal Population Brain Imaging in the UK Biobank Prospective Epidemiological Study*, Nature
# Neuroscience 2016. Menze et al., *The Multimodal Brain Tumor Image Segmentation Benchmark
# (BRATS)*, IEEE Transactions on Medical Imaging 2015. He et al., *Masked Autoencoders Are Scalable
# Vision Learners*, CVPR 2022.

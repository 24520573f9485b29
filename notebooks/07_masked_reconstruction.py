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
# # Masked reconstruction: paint what is hidden
#
# **You will be able to:** hide blocks of a scan and write the loss of the hidden voxels; say which
# guesses need no network; see what a network rebuilds and what it cannot; and explain the
# difference between moving an encoder and moving a whole network.
#
# **Time:** 3 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [01 volumes](01_volumes.ipynb) and [06 CPC](06_cpc.ipynb).
#
# Cover the left temporal lobe of a head with your hand. You can say what is under it: roughly the
# mirror image of the right one. You know it from having seen heads; nobody had to outline a lobe
# for you. **Masked reconstruction** makes an exercise of this. Most of a scan is hidden, and a
# network has to paint it. It is the method that most of the field uses today, for photographs
# ([masked autoencoders](https://arxiv.org/abs/2111.06377)) as for CT and MRI ([Wald et
# al.](https://arxiv.org/abs/2410.23132)). It is not in the paper that this course follows, which is
# older.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import ndimage

SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "finetune": 10, "labels": (2,)},
    "class": {
        "cases": 100,
        "filters": (16, 32, 64),
        "steps": 400,
        "finetune": 100,
        "labels": (2, 5),
    },
    "full": {
        "cases": 200,
        "filters": (32, 64, 128),
        "steps": 4000,
        "finetune": 400,
        "labels": (2, 5, 20),
    },
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. The question, in a whole head
#
# A head in blocks of 8³ voxels, of which 60 % are hidden. On the left is what the network gets, on
# the right what it has to find. What is hidden is violet.

# %%
heads = ssl3d.open_cohort("ukb-brain", cases=2, edge=64)
shape = ssl3d.EncoderSettings(in_channels=len(heads.channels), filters=(4, 8))
asked = ssl3d.make_task("masked", shape)
head = heads.images([0])
question = asked.make_views(head, asked.sample_params(head, torch.Generator().manual_seed(0)))
ssl3d.show.Puzzle3D(head, question)

# %% [markdown]
# *What to look at:* go through it with the slider. Which hidden blocks could you paint, and from
# what: from the block next to it, from the other side of the head, or only from knowing heads?
# Which could nobody paint?
#
# <details><summary>Answer</summary>
#
# Air and the inside of white matter can be continued from the blocks around. A ventricle or the
# skull can be taken from the other side, or from knowledge of heads. The exact folds of the cortex
# in a hidden block are this patient's own; nobody can know them. So even a perfect network cannot
# come to an error of 0.
#
# </details>
#
# ## 2. The mask and the loss, by hand
#
# To train on two cores, the rest of this notebook takes small scans of the hippocampus. All that is
# random is which blocks are hidden.

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("masked", encoder, seed=0)
volumes = cohort.images(split.pretrain[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))  # everything random
batch = task.make_views(volumes, params)  # nothing random

blocks = params["hidden"]  # (scan, x, y, z): one entry a block
hidden = blocks.to(volumes.device)
for axis in (1, 2, 3):
    hidden = hidden.repeat_interleave(8, axis)  # a block has 8 voxels an edge
hidden = hidden[:, None]  # (scan, channel, x, y, z)
shown = volumes.masked_fill(hidden, 0)  # 0 is the mean of a normalised scan
print(f"{int(blocks[0].sum())} of {blocks[0].numel()} blocks are hidden:", end=" ")
print(f"{blocks.float().mean():.0%} of the scan")
print("the same as the task's:", torch.equal(shown, batch.views[:, 0]))
ssl3d.show.puzzle(volumes, batch, spacing=cohort.spacing)

# %% [markdown]
# *What to look at:* below on the left the scan with its hidden blocks, on the right the truth.
#
# The encoder reads what is shown. A **light decoder** paints a whole scan from the encoder's
# features: it thins each level to a few channels with kernels of one voxel, and adds them up. It
# cannot look around, so all that has to be understood is left to the encoder. The loss is the mean
# squared error over the set $M$ of hidden voxels alone,
#
# $$\mathcal{L} = \frac{1}{|M|} \sum_{v \in M} (\hat x_v - x_v)^2 .$$
#
# **Predict before you run:** why over hidden voxels alone? What would a network learn from the
# others?

# %%
device = volumes.device
encoder, task = encoder.to(device).eval(), task.to(device).eval()
with torch.no_grad():
    levels = encoder(shown)  # finest first
    rebuilt = task.decoder(levels, shown)  # (scan, channel, x, y, z)
    loss = (rebuilt - volumes)[hidden].square().mean()
    r2 = 1 - loss / volumes[hidden].var(correction=0)  # share of the variance that is explained
    prediction = task(encoder, batch)
    library = task.loss(prediction, batch)
print(f"loss by hand {loss:.5f}, by the library {library:.5f}:", torch.allclose(loss, library))
known = float(task.score(prediction, batch)["r2"])
print(f"r2 by hand {r2:.4f}, by the library {known:.4f}: {abs(known - r2) < 1e-4}")
weights = {
    name: sum(each.numel() for each in part.parameters())
    for name, part in {"encoder": encoder, "light decoder": task.decoder}.items()
}
print("weights:", weights)

# %% [markdown]
# <details><summary>Answer</summary>
#
# A voxel that is shown can be copied. That needs no understanding, and as the features have it
# anyway, most of the gradient would be spent on it. The loss of hidden voxels asks for what is not
# there. The light decoder has less than a tenth of the encoder's weights, so it cannot do much by
# itself.
#
# An **r2** of 0 is what the hidden voxels' mean would give, and 1 is perfect. Below 0 a painting is
# worse than plain grey.
#
# </details>
#
# The library's version: [tasks/masked.py](../ssl3d_lite/tasks/masked.py).
#
# ## 3. What can be painted without a network?
#
# Three guesses that learn nothing about anatomy. **Grey:** the mean. **Place alone:** at each voxel
# the mean of the training scans there. **Smear:** each hidden voxel is the weighted mean of the
# shown voxels around, near ones first. **Predict before you run:** which is the best? A network has
# to be better than that one.


# %%
def r2_of(painted: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> float:
    """The share of the hidden voxels' variance that is explained."""
    return float(1 - np.square(painted - truth)[hidden].mean() / truth[hidden].var())


def smear(shown: np.ndarray, hidden: np.ndarray, width: float) -> np.ndarray:
    """The mean of the shown voxels around each voxel, weighted by a bell of this width."""
    weight = ndimage.gaussian_filter((~hidden).astype(float), width)
    return ndimage.gaussian_filter(np.where(hidden, 0, shown), width) / (weight + 1e-6)


test = cohort.images(split.validation[:4])
puzzle = task.make_views(test, task.sample_params(test, torch.Generator().manual_seed(1)))
truth = test[:, 0].cpu().numpy()
mask = ~puzzle.target[:, 0, 0].isnan().cpu().numpy()  # what is hidden
seen = puzzle.views[:, 0, 0].cpu().numpy()
mean_scan = cohort.images(split.pretrain)[:, 0].mean(0).cpu().numpy()
guesses = {
    "grey": [r2_of(0 * each + each[m].mean(), each, m) for each, m in zip(truth, mask)],
    "place alone": [r2_of(mean_scan, each, m) for each, m in zip(truth, mask)],
}
for width in (1, 2, 4):
    guesses[f"smear, width {width}"] = [
        r2_of(smear(s, m, width), each, m) for s, m, each in zip(seen, mask, truth)
    ]
for name, scores in guesses.items():
    print(f"{name:16} r2 {np.mean(scores):6.3f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Grey has 0 by definition. The mean training scan explains 0.123 of the variance, and the best
# smear 0.427. What lies next to a hidden voxel says much more about it than what other patients
# have at the same place. So a network with an r2 of less than 0.427 has not shown that it can do
# more than a filter. Papers seldom print this line.
#
# </details>
#
# ## 4. Pretraining
#
# Two seeds. Of the first, a *film* looks at one plane of a validation scan after 0, 10, 20, 40, …
# steps.

# %%
encoders = [ssl3d.make_encoder(cohort, seed, filters=size["filters"]) for seed in (0, 1)]
tasks = [ssl3d.make_task("masked", encoder, seed) for seed, encoder in enumerate(encoders)]
film = ssl3d.show.Film(encoders[0], cohort.images(split.validation[:1])[0], task=tasks[0])
settings = ssl3d.TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)
histories, held_out = {}, {}
for seed, (task, encoder) in enumerate(zip(tasks, encoders)):
    callback = film.watch if seed == 0 else None
    histories[f"seed {seed}"] = ssl3d.pretrain(
        task, encoder, cohort, settings=settings, seed=seed, callback=callback
    )
    found = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    held_out[f"seed {seed}"] = found
    print(f"seed {seed}", {name: round(value, 3) for name, value in found.items()})
film.finish(histories["seed 0"])
ssl3d.show.learning_curves(histories, held_out)

# %%
ssl3d.show.film_strip(film)

# %% [markdown]
# *What to look at:* above, the encoder's features in three colours; below, what is rebuilt, between
# what is shown and the truth. What comes first: outlines, large shades, or details?
#
# <details><summary>What we saw</summary>
#
# On validation scans r2 came to 0.636 (seed 0) and 0.637 (seed 1), above the best guess without a
# network, 0.427. (The dashed line "chance" in the figure is the guess of plain grey, 0. The line to
# beat is not drawn.) Large shades come first, after 10 steps already. Then dark and bright
# structures get a shape. Fine edges never come.
#
# </details>
#
# ## 5. What was rebuilt, and where it fails

# %%
task, encoder = tasks[0].eval(), encoders[0]
with torch.no_grad():
    prediction = task(encoder, puzzle)  # of the four validation scans of section 3
ssl3d.show.Puzzle3D(test, puzzle, prediction=prediction[0])

# %%
painted = np.where(mask, prediction[:, 0, 0].cpu().numpy(), truth)
best = min((1, 2, 4), key=lambda width: -np.mean(guesses[f"smear, width {width}"]))
smeared = np.where(mask, np.stack([smear(s, m, best) for s, m in zip(seen, mask)]), truth)
violet = np.array([91, 95, 151]) / 255
panels = {"shown": seen, "smear": smeared, "network": painted, "truth": truth}
panels["error of the network"] = np.abs(painted - truth)
figure = Figure(figsize=(11, 4.6), layout="constrained")
low, high = np.percentile(truth[0], (1, 99))
for row, scan in zip(figure.subplots(2, 5), (0, 1)):
    for axes, (title, maps) in zip(row, panels.items()):
        plane = maps[scan, truth.shape[1] // 2]  # sagittal
        grey = ((plane - low) / (high - low)).clip(0, 1)
        if title.startswith("error"):
            grey = (plane / (high - low)).clip(0, 1)
        picture = np.repeat(grey[..., None], 3, -1)
        if title == "shown":
            picture[mask[scan, truth.shape[1] // 2]] = violet
        axes.imshow(picture.transpose(1, 0, 2), origin="lower")
        axes.set(title=title, xticks=[], yticks=[])
figure

# %% [markdown]
# *What to look at:* each row is a patient. Where does the network do more than the smear? Where is
# its error bright?
#
# <details><summary>What we saw</summary>
#
# In the upper row a dark ventricle lies at the upper left, nearly all of it hidden. The smear
# leaves it grey, as most that it can see around it is bright. The network paints it dark: it has
# seen such ventricles. In both rows its error is bright in thin lines, along the edges of the
# hippocampus: the shades are right and the edges are not there.
#
# </details>
#
# **Predict before you run:** is a voxel in the middle of a large hidden region rebuilt as well as
# one at its rim? Below are r2 and its share, by the distance to the nearest voxel that was shown.

# %%
away = np.stack([ndimage.distance_transform_edt(each) for each in mask])
spread = np.mean([each[m].var() for each, m in zip(truth, mask)])
for low_edge, high_edge in ((0, 1.5), (1.5, 3), (3, 4.5), (4.5, 99)):
    here = mask & (away > low_edge) & (away <= high_edge)
    if not here.any():
        continue
    errors = [np.square(each - truth)[here].mean() / spread for each in (painted, smeared)]
    print(
        f"{low_edge:3} to {high_edge:4} voxels away, {here.sum() / mask.sum():4.0%} of the hidden:",
        f"r2 network {1 - errors[0]:.2f}, smear {1 - errors[1]:.2f}",
    )

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Next to what is shown the network's r2 was 0.81 and the smear's 0.65; farthest away 0.50 and 0.16.
# Both get worse with distance. The network's lead grows with it: near by, continuing what is shown
# is nearly enough, and far away one has to know what belongs there.
#
# Everything rebuilt is **blurred**. The squared error has a reason for it: if a fold may lie here
# or there, the guess with the smallest expected error is the mean of both, a grey in between. A
# network that painted a sharp fold in the wrong place would pay twice. So a blurred picture is not
# a failed training. But it says that fine structure, and everything that is rare, is not what this
# loss asks for. A small tumour that is hidden as a whole is likely to be painted as healthy tissue,
# since that is what lies there in most patients. (This is of use elsewhere: it is one way to find
# anomalies.)
#
# </details>
#
# ## 6. What are the features worth?
#
# A [linear probe](../docs/glossary.md#linear-probe) of the frozen encoder, without and with each
# voxel's coordinates among its inputs, next to [random
# encoders](../docs/glossary.md#random-encoder) of three kinds and [place
# alone](../docs/glossary.md#place-alone).

# %%
table = ssl3d.evaluation.probe_table({"masked": encoders}, cohort, size["labels"])
print(table)
ssl3d.show.label_efficiency(table.scores["probe"])

# %% [markdown]
# <details><summary>What we saw</summary>
#
# With 2 labelled scans the features had a [Dice](../docs/glossary.md#dice) of 0.637, the best kind
# of random encoder 0.402 and place alone 0.394. With the coordinates: 0.666 against 0.582, and with
# 5 labelled scans 0.747 against 0.709. So most of the lead was knowledge of place. What remains
# hints that painting taught the encoder something more; but with 2 labels the ranges overlap, and
# two seeds give no verdict. CPC's numbers, of the same scans, are in [06](06_cpc.ipynb), section 8,
# and they are much the same.
#
# </details>
#
# ## 7. The encoder alone, or the whole network?
#
# Until here the decoder was light, and was thrown away. A U-Net for segmentation needs a decoder of
# its own, and it then starts from random weights: its skip connections and convolutions have to be
# learnt from the few labels. But a task that paints voxels can train *the U-Net's own decoder* too.
# Then all but the last layer can be moved, which names classes in place of grey values.
# [Models Genesis](https://arxiv.org/abs/1908.06912) moved the whole network in 2019; the paper that
# this course follows moves encoders.
#
# **Predict:** what speaks for moving all? What against?

# %%
whole_encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
whole_task = ssl3d.make_task("masked", whole_encoder, seed=0, decoder="unet")
ssl3d.pretrain(whole_task, whole_encoder, cohort, settings=settings)
found = ssl3d.evaluation.proxy_score(whole_task, whole_encoder, cohort, split.validation)
print(f"r2 with the U-Net's decoder {found['r2']:.3f}, with the light one", end=" ")
print(f"{held_out['seed 0']['r2']:.3f}")

networks = {
    "scratch": ssl3d.make_network(
        ssl3d.make_encoder(cohort, seed=0, filters=size["filters"]), cohort, seed=0
    ),
    "encoder moved": ssl3d.make_network(encoders[0], cohort, seed=0),
    "whole network moved": ssl3d.make_network(
        whole_encoder, cohort, seed=0, decoder=whole_task.decoder.decoder
    ),
}
start = networks["scratch"].state_dict()
two = cohort.subset(split.train, 2)
for name, network in networks.items():
    moved = sum(
        weights.numel()
        for key, weights in network.state_dict().items()
        if not torch.equal(weights, start[key])
    )
    total = sum(weights.numel() for weights in start.values())
    ssl3d.finetune(network, cohort, two, steps=size["finetune"])
    report = ssl3d.evaluate(network, cohort, split.test, hausdorff=False, progress=False)
    print(f"{name:20} weights moved: {moved / total:4.0%}; after fine-tuning, {report}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Moved were 0 %, 67 % and 100 % of the weights (but for the last layer, which has few), and the
# three networks came to 0.768, 0.789 and 0.763. One run each: this is a demonstration, not a
# result. The U-Net's own decoder painted a little better than the light one, 0.655 against 0.636,
# and that did not make the better network.
#
# *For* moving all: nothing pretrained is wasted, and a decoder that paints edges may find edges of
# organs too. *Against:* to paint grey values is another task than to name classes. With a strong
# decoder the encoder has less to do: the fine skip level can pass on what is near by, and the deep
# levels may stay lazy. Which weighs more has to be measured.
#
# </details>
#
# ### Measured: six seeds, real scans
#
# The repository keeps a study of real hippocampi, with six paired seeds
# ([table](results/few_labels/table.md)). Each run was pretrained for 200 steps and fine-tuned for
# 60.

# %%
study = ssl3d.study.load_stored("few_labels")
if study is not None:
    for arm in ("scratch", "masked", "masked@network", "place"):
        cells = []
        for n in ("1", "2", "5", "20"):
            dice = study.scores("finetune", arm, n)
            cells.append(f"{n}: {np.mean(dice):.3f} ± {np.std(dice, ddof=1):.3f}")
        print(f"{arm:15}", "   ".join(cells))
    for arm in ("masked", "masked@network"):
        gains = [
            np.subtract(*(study.scores("finetune", each, n) for each in (arm, "scratch"))).mean()
            for n in ("1", "2", "5")
        ]
        print(f"{arm} - scratch, mean over 1, 2 and 5 labelled scans: {np.mean(gains):+.3f}")

# %% [markdown]
# *How to read it:* `masked` moves the encoder alone, `masked@network` all but the last layer; the
# columns are numbers of labelled scans, and after ± stands the standard deviation over seeds.
#
# <details><summary>What we saw</summary>
#
# With 2 labelled scans scratch had 0.751, the encoder alone 0.773, and the whole network 0.728. So
# on these scans moving the encoder alone was a little ahead of scratch, and moving all was behind.
# Over 1, 2 and 5 labels the first gained 0.024. The study's verdict is that this *holds*, by
# little: an earlier version of the package, with nearly the same mean, left it *undecided*
# ([both](results/README.md#earlier-studies-and-why-they-decide-nothing)). That a gain comes of
# moving all *does not hold*: it lost 0.013 ([results](../docs/results.md),
# [verdicts](../docs/verdicts.md)).
#
# That is not what larger works find. Wald et al. (2025; linked at the end) pretrained a residual
# U-Net as a whole by masked reconstruction, on some 39 000 head scans, and report a lead of around
# 3 points of Dice over the same network from scratch with nnU-Net's recipe. There the pretraining
# was long, the scans were many, and the learning rate was warmed up, so that the weights moved were
# not lost in the first steps. A small study and a large one can both be right.
#
# </details>
#
# ## 8. Two details that matter
#
# - **Zeros are not nothing.** A masked *transformer* leaves hidden blocks out. A convolution
#   cannot: it reads zeros, and the blocks' edges look like edges. So the encoder is pretrained on
#   pictures full of boxes and then used on pictures without. The linear probe above read whole
#   scans, so it paid for that. [SparK](https://arxiv.org/abs/2301.03580), and after it Wald et al.,
#   empty the hidden places again behind each layer.
# - **How much to hide, and in what size.** Small blocks can be smeared over from their neighbours;
#   very large ones cannot be guessed at all. Between the two lies a puzzle that teaches.
#
# ## Exercise
#
# Hide the same share, but in blocks of 2 voxels: `block_size=2`. Predict first: does r2 rise or
# fall? How good is the smear now? Are the features better? Then try blocks of 16.
#
# <details><summary>Hint</summary>
#
# How far is a hidden voxel from the nearest one that is shown? Put the smear next to the network
# each time.
#
# </details>
#
# <details><summary>Answer</summary>
#
# ```python
# for edge in (2, 8, 16):
#     start = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
#     other = ssl3d.make_task("masked", start, seed=0, block_size=edge)
#     ssl3d.pretrain(other, start, cohort, settings=settings)
#     found = ssl3d.evaluation.proxy_score(other, start, cohort, split.validation)
#     puzzle = other.make_views(test, other.sample_params(test, torch.Generator().manual_seed(1)))
#     masks = ~puzzle.target[:, 0, 0].isnan().cpu().numpy()
#     shown = puzzle.views[:, 0, 0].cpu().numpy()
#     guess = [r2_of(smear(s, m, 2), each, m) for s, m, each in zip(shown, masks, truth)]
#     print(f"blocks of {edge}: network {found['r2']:.3f}, smear {np.mean(guess):.3f}")
#     print(ssl3d.evaluation.probe_table({edge: [start]}, cohort, size["labels"], controls=0))
# ```
#
# With small blocks r2 is high, and so is the smear's: the puzzle has become one of interpolation,
# which is this task's [shortcut](../docs/glossary.md#shortcut). A high r2 then says little about
# the features; the lead over the smear says more. With large blocks both fall. Which blocks give
# the best probe differs with scans and steps, so look at yours, and at more than one seed.
#
# </details>
#
# ## What the literature did
#
# - [Models Genesis](https://arxiv.org/abs/1908.06912) (2019) restored CT scans that had been
#   distorted in four ways, one of which paints over boxes, and moved encoder and decoder.
# - [He et al.](https://arxiv.org/abs/2111.06377) (2022) hid 75 % of photographs, gave the encoder
#   only what is shown, and used a small decoder.
# - [Tang et al.](https://arxiv.org/abs/2111.14791) (2022) joined it with rotation and contrast for
#   CT in 3D.
# - [Wald et al.](https://arxiv.org/abs/2410.23132) (2025) showed that it works with plain
#   convolutional networks in 3D if the baseline's recipe is kept, and
#   [OpenMind](https://arxiv.org/abs/2412.17041) compared it with contrastive methods on 114 000
#   head scans: it is the better one for segmentation, and contrastive ones for classes.
#
# **References.** He et al., *Masked Autoencoders Are Scalable Vision Learners*,
# [arXiv:2111.06377](https://arxiv.org/abs/2111.06377). Zhou et al., *Models Genesis*,
# [arXiv:1908.06912](https://arxiv.org/abs/1908.06912). Wald et al., *Revisiting MAE pre-training
# for 3D medical image segmentation*, [arXiv:2410.23132](https://arxiv.org/abs/2410.23132). Others:
# [references](../docs/references.md).
#
# **Next:** [08 shortcuts](08_shortcuts.ipynb): how puzzles are solved without learning what they
# should teach.

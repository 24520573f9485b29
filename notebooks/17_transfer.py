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
# # Transfer: what the names of the channels are worth
#
# **You will be able to:** take an encoder that was pretrained on two MR contrasts to scans that
# have four; build its new input layer by hand; measure what a wrong mapping of channels costs; read
# what three studies with six seeds add; and say what a test of transfer can and cannot show.
#
# **Time:** 3.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where nothing is learnt.
#
# **Before this one:** [masked reconstruction](07_masked_reconstruction.ipynb),
# [fine-tuning](11_finetuning.ipynb) and [brain tumours](14_brain_tumours.ipynb).
#
# A hospital has 40 patients with a brain tumour. A national study has scanned tens of thousands of
# healthy people. Nobody drew anything in those scans, but they show what brains look like. Can that
# knowledge move? In the paper of Taleb et al. it does. There is a catch that costs nobody an error
# message: the study has two kinds of picture of each head, the hospital has four. Somebody must
# decide which new picture is read with the eyes that were trained on which old one. Decide it by
# position in the file, and T2, where water is bright, is read with the eyes for T1, where water is
# dark.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"corpus": 10, "cases": 10, "edge": 32, "pretrain": 10, "finetune": 10},
    "class": {"corpus": 60, "cases": 40, "edge": 36, "pretrain": 200, "finetune": 150},
    "full": {"corpus": 2000, "cases": 285, "edge": 128, "pretrain": 2000, "finetune": 2000},
}
size = SIZES[ssl3d.scale()]
draws = range({"smoke": 1, "class": 3, "full": 6}[ssl3d.scale()])  # of labelled patients

# %% [markdown]
# ## 1. Two cohorts
#
# The paper's corpus is UK Biobank: some 22 000 people, scanned in two contrasts, T1 and T2-FLAIR.
# Hardly any has a tumour, and nobody drew anything. Its benchmark is BraTS: 285 patients with
# tumours, four contrasts, labels. Real scans are used if they are
# prepared as `cohorts/ukb-brain` and `cohorts/brats`; the next lines say.

# %%
corpus = ssl3d.open_cohort("ukb-brain", cases=size["corpus"], edge=size["edge"])
# other subjects than the corpus's: with the same seed, the same heads would be in both
cohort = ssl3d.open_cohort("brats", cases=size["cases"], edge=size["edge"], seed=1)
split = cohort.split()
# by checksum: no test scan is among those pretrained on
ssl3d.study.leakage.check_leakage(cohort, split, corpus)
print(f"to pretrain on: {len(corpus)} scans of {', '.join(corpus.channels)}")
print(f"to fine-tune on: {len(split.train)} scans of {', '.join(cohort.channels)}")

# %%
ssl3d.show.contact_sheet(corpus, range(2))

# %%
ssl3d.show.contact_sheet(cohort, split.train[:2])

# %% [markdown]
# *What to look at:* the first sheet is the corpus, the second the benchmark. The anatomy is alike.
# Two contrasts are missing in the first, and there is no tumour. Both rows of the first are one
# person, who was scanned at two visits.
#
# One patient in 3D, with the tumour's parts:

# %%
case = split.train[0]
image, label = (np.array(part) for part in cohort[case])
FLAIR = [name.casefold() for name in cohort.channels].index("flair")
ssl3d.show.Volume3D(
    image[FLAIR].astype(np.float32),
    label,
    label_names=cohort.label_names,
    spacing=cohort.spacing,
    title=f"{cohort.cases[case].id}, FLAIR",
)

# %% [markdown]
# ## 2. Which contrast is like which?
#
# Look at the sheets again. Water is dark on T1 and bright on T2. FLAIR is a T2 in which free water
# is dark, so only swelling is bright. T1ce is a T1 with a contrast agent. **Predict before you
# run:** T1ce and T2 are new. With which of the two old contrasts do their grey values go together?
# The cell compares them voxel by voxel, inside the heads of training patients. No label is read.

# %%
volumes = cohort.images(split.train)
head = (volumes != volumes[:, :, :1, :1, :1]).all(1)  # air is the value of the first voxel
greys = torch.stack([volumes[:, c][head] for c in range(len(cohort.channels))])
likeness = np.corrcoef(greys.cpu().numpy())
T1 = [name.casefold() for name in cohort.channels].index("t1")
for c, name in enumerate(cohort.channels):
    print(f"{name:6} with T1 {likeness[c, T1]:+.2f}, with FLAIR {likeness[c, FLAIR]:+.2f}")

# %% [markdown]
# *What to look at:* +1 is the same but for scale, 0 is no relation, −1 the opposite.
#
# <details><summary>What we saw</summary>
#
# T1ce goes with T1 (0.57) far more than with FLAIR (0.03). T2 has −0.75 with T1: where one is
# bright, the other is dark. With FLAIR it has 0.30. Taken with their sign, the voxels say what the
# names say: T1 and T1ce belong together, and T2 and FLAIR. Neither pair is a close one. (One could
# object that T2 is tied more strongly to T1, by −0.75, and that a weight may change its sign. But
# copied weights keep theirs.)
#
# </details>
#
# ## 3. Pretraining on the corpus
#
# The puzzle is [masked reconstruction](07_masked_reconstruction.ipynb): 60 % of the scan is hidden
# block by block, and the network paints it in. The corpus has no folds, as it has no labels. So
# every tenth person is kept apart, with all their visits, to see whether the puzzle is learnt or
# the people are.

# %%
people = sorted({case.patient for case in corpus.cases})
apart = set(people[:: min(10, len(people) // 2)])
unseen = [i for i, case in enumerate(corpus.cases) if case.patient in apart]
seen = [i for i, case in enumerate(corpus.cases) if case.patient not in apart]
print(f"{len(seen)} scans to pretrain on, {len(unseen)} scans of {len(apart)} others kept apart")
encoder = ssl3d.make_encoder(corpus, seed=0)
task = ssl3d.make_task("masked", encoder, seed=0)
pair = corpus.images(seen[:2])
batch = task.make_views(pair, task.sample_params(pair, torch.Generator().manual_seed(0)))
ssl3d.show.Puzzle3D(pair, batch)

# %% [markdown]
# *What to look at:* the blocks that are hidden. The same ones are hidden in both contrasts (drawn
# is T1), so one cannot be copied from the other.

# %%
view = ssl3d.show.Live(task, encoder, corpus.images(unseen[:2]), chance=0.0)
view

# %%
pretrained = {"corpus": [], "own scans": []}
for seed in draws:
    for name, scans, cases in (("corpus", corpus, seen), ("own scans", cohort, split.pretrain)):
        first = seed == 0 and name == "corpus"  # the one that is watched
        learner = encoder if first else ssl3d.make_encoder(scans, seed)
        puzzle = task if first else ssl3d.make_task("masked", learner, seed)
        history = ssl3d.pretrain(
            puzzle,
            learner,
            scans,
            cases,
            steps=size["pretrain"],
            learning_rate=2e-3,
            seed=seed,
            callback=view.watch if first else None,
        )
        pretrained[name].append(learner)
        if first:
            watched = history
held_out = ssl3d.evaluation.proxy_score(task, encoder, corpus, unseen)
print(f"explained on people it has not seen: {held_out['r2']:.2f}, chance: 0")
ssl3d.show.learning_curves({"masked, on the corpus": watched}, {"masked, on the corpus": held_out})

# %% [markdown]
# *What to look at:* the dot, the score on people kept apart, next to the line. For each encoder
# from the corpus there is now one with the same seed, puzzle and steps that saw the hospital's
# **own** scans instead. Those cost no corpus at all.
#
# <details><summary>What we saw</summary>
#
# On people it has not seen, the network explains 0.47 of what is hidden: a blurred brain, dark and
# bright in about the right places. The dot lies at the end of the line: it explains new people as
# well as its own. That is less than it seems. All virtual heads are warps of one template, so
# whoever knows one of them knows much of all, and the air around a head is hidden and explained
# too.
#
# </details>
#
# ## 4. From two channels to four, by hand
#
# Only the layers that read the scan know how many channels it has. They have one filter for each
# pair of output $o$ and input $c$, and add up: $y_o = \sum_c w_{oc} * x_c$. For a new scan, say for
# each new channel $c$ which old one $s(c)$ it is read as. To keep the sum as large as it was, the
# new channels that share an old one share its weights out:
#
# $$w'_{oc} = \frac{1}{n_{s(c)}}\; w_{o,\, s(c)}, \qquad
# n_s = \text{the number of new channels that are read as } s .$$

# %%
BY_NAME = [0, 0, 1, 1]  # T1 as T1, T1ce as T1, T2 as FLAIR, FLAIR as FLAIR
IN_TURN = [0, 1, 0, 1]  # by position in the file: T1 as T1, T1ce as FLAIR, T2 as T1, FLAIR as FLAIR


def with_channels(encoder, sources):
    """The encoder for new channels, each read with the weights of the old one in ``sources``."""
    new = ssl3d.make_encoder(encoder.settings, in_channels=len(sources)).to(volumes.device)
    weights = encoder.state_dict()
    share = torch.tensor([1 / sources.count(s) for s in sources], device=volumes.device)
    for name in encoder.input_weights:  # the first convolution, and the shortcut around it
        weights[name] = weights[name][:, sources] * share.view(1, -1, 1, 1, 1)
    new.load_state_dict(weights)
    return new.eval()


def the_same(a, b):
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.allclose(mine[name], theirs[name].to(mine[name])) for name in mine)


by_name, in_turn = with_channels(encoder, BY_NAME), with_channels(encoder, IN_TURN)
for name in encoder.input_weights:
    print(
        name, tuple(encoder.state_dict()[name].shape), "→", tuple(by_name.state_dict()[name].shape)
    )
library = ssl3d.models.adapt_channels(encoder, cohort.channels)  # it is given the names
print("by name, equal to the library's:", the_same(by_name, library))
said = [corpus.channels[source] for source in BY_NAME]  # each is called what it is read as
library = ssl3d.models.adapt_channels(encoder, said)
print("said channel by channel:", said, "the same:", the_same(by_name, library))
other = ("t1", "t2", "t1ce", "flair")
sources = ssl3d.models.encoders.channel_sources(corpus.channels, other, 2, 4)
print("with names, in another order:", other, "read as", [corpus.channels[s] for s in sources])
blind = ssl3d.models.adapt_channels(encoder, 4)  # it is given their number alone
print("in turn, equal to the library's:", the_same(in_turn, blind))

# %% [markdown]
# Given names, the library maps *namesakes* by name: T1 and FLAIR here. T1ce and T2 have no
# namesake, so they are taken in turn. They came out right by the file's order: in a file with T1,
# T2, T1ce and FLAIR, T2 would be read as T1. So write the mapping down and give it, by calling each
# new channel what it is to be read as. Given no names, the library takes all in turn
# ([encoders.py](../ssl3d_lite/models/encoders.py)). Of its own mapping the paper says only that
# weights were duplicated to fit.
#
# **Predict before you run:** repeat the two channels of a corpus scan in the way of each mapping,
# and read them with the new encoder. Do the features change?

# %%
with torch.inference_mode():
    before = encoder(pair)[-1]
    for name, adapted, sources in (("by name", by_name, BY_NAME), ("in turn", in_turn, IN_TURN)):
        after = adapted(pair[:, sources])[-1]
        print(f"{name}: the same features: {torch.allclose(before, after, atol=1e-4)}")

# %% [markdown]
# Both are exact. **No test of the code can find which mapping is the right one.** The
# features are as they were only if the new channels *look* like the old ones that they are read as.

# %%
old = encoder.state_dict()["levels.0.conv1.weight"].cpu()
strongest = int(old.flatten(1).norm(dim=1).argmax())  # the output with the largest weights
rows = {"before": (old, corpus.channels)}
for name, adapted in (("by name", by_name), ("in turn", in_turn)):
    rows[name] = (adapted.state_dict()["levels.0.conv1.weight"].cpu(), cohort.channels)
limit = float(old[strongest].abs().max())
figure = Figure(figsize=(6, 4.6), layout="constrained")
for line, (name, (kernel, channels)) in zip(figure.subplots(3, 4), rows.items()):
    for axes in line:
        axes.set_axis_off()
    for c, (axes, channel) in enumerate(zip(line, channels)):
        plane = kernel[strongest, c, :, :, 1].T
        axes.imshow(plane, cmap="PuOr", vmin=-limit, vmax=limit, origin="lower")
        axes.set_title(f"{name}: {channel}", fontsize=9)
figure.suptitle("one filter of the first layer, its middle plane")
figure

# %% [markdown]
# *What to look at:* orange is below zero, purple above. In each row below the first the four
# filters are copies of the two above, half as strong. Only their order differs. In the last row
# T1ce is read as FLAIR was, and T2 as T1 was.
#
# ## 5. The same encoder, right and wrong
#
# A [linear probe](../docs/glossary.md#linear-probe) on the frozen features, with two labelled
# patients, read on test patients. Its Dice is the mean over whole tumour, tumour core and enhancing
# tumour. Three encoders from the corpus, and three draws of the two patients. Each encoder is read
# twice: the weights are the same, only the order of the copies in the first layer differs. The
# mapping by name was fixed in section 2, before any test patient was looked at.
#
# The controls: [random encoders](../docs/glossary.md#random-encoder) of three kinds, two starts of
# each; a [collapsed](../docs/glossary.md#collapsed) one, trained for as many steps as half of the
# pretraining to give one answer to all, which shows what training gives even when nothing is
# learnt; [place alone](../docs/glossary.md#place-alone), which looks at no scan. `probe+place`
# gives every probe the coordinates of each voxel, so that nobody is ahead by that. Batch norm keeps
# running means of what it has seen. An encoder from the corpus has seen other scans, and a random
# one none. So `recalibrated` takes these means anew from 16 training scans, for every arm alike. Of
# those here only `random, norm: batch` has such means, so only it changes.
#
# **Predict before you run:** put these in order: by name, in turn, own scans, random.

# %%
nothing = ssl3d.make_encoder(corpus, seed=0)
edge = min(24, *corpus.shape)
collapsed = ssl3d.make_task("collapsed", nothing, seed=0, crop_size=edge)
ssl3d.pretrain(collapsed, nothing, corpus, seen, steps=max(10, size["pretrain"] // 2), batch=8)
arms = {
    "corpus, by name": [with_channels(each, BY_NAME) for each in pretrained["corpus"]],
    "corpus, in turn": [with_channels(each, IN_TURN) for each in pretrained["corpus"]],
    "own scans": pretrained["own scans"],
    "collapsed, by name": [with_channels(nothing, BY_NAME)],
}
for norm in ("instance", "batch", "none"):
    arms[f"random, norm: {norm}"] = [ssl3d.make_encoder(cohort, s, norm=norm) for s in (100, 101)]
two = [cohort.subset(split.train, 2, draw) for draw in draws]
scores = {}
for name, encoders in arms.items():
    scores[name] = {"probe": [], "probe+place": []}
    for each in encoders:
        ready = ssl3d.evaluation.recalibrated(each.to(volumes.device), cohort, split.pretrain[:16])
        found = ssl3d.evaluation.probes_by_protocol(ready, cohort, two, split.test, 1000)
        for protocol, results in found.items():
            scores[name][protocol].append([result.mean_dice for result in results])
floor = [ssl3d.evaluation.evaluate_place(cohort, draw, split.test).score for draw in two]
print(f"{'mean Dice (lowest to highest)':29} {'probe':>22} {'probe+place':>22}")
for name, by_protocol in scores.items():
    cells = [np.array(found) for found in by_protocol.values()]
    text = (f"{each.mean():.3f} ({each.min():.2f} to {each.max():.2f})" for each in cells)
    print(f"{name:29}", *(f"{each:>22}" for each in text))
print(f"{'place alone':29} {np.mean(floor):.3f}")

# %%
right, wrong = (np.array(scores[f"corpus, {how}"]["probe"]) for how in ("by name", "in turn"))
figure = Figure(figsize=(7.2, 3.2), layout="constrained")
axes = figure.subplots()
for seed in draws:
    for draw in draws:
        axes.plot(
            (0, 1), (wrong[seed, draw], right[seed, draw]), "o-", color=ssl3d.show.COLOURS[seed]
        )
for place, other in ((2, "own scans"), (3, "collapsed, by name")):
    for seed, dots in enumerate(scores[other]["probe"]):
        axes.plot([place] * len(dots), dots, "o", color=ssl3d.show.COLOURS[seed])
random = {name: np.mean(found["probe"]) for name, found in scores.items() if "random" in name}
best = max(random, key=random.get)
axes.axhline(random[best], color="grey", linestyle="--", label=f"best random ({best})")
axes.axhline(np.mean(floor), color="black", linestyle=":", label="place alone")
axes.set_xticks(range(4), ("in turn", "by name", "own scans", "collapsed"))
axes.set(ylabel="mean Dice on test patients", xlim=(-0.3, 3.3))
axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ssl3d.show.tidy(axes)
gain = right - wrong
print(f"by name is ahead of in turn in {(gain > 0).sum()} of {gain.size}, mean {gain.mean():+.3f}")
for other in ("own scans", "random, norm: instance", best, "collapsed, by name"):
    theirs = np.mean(scores[other]["probe"])
    found = f"by name {right.mean() - theirs:+.3f}, in turn {wrong.mean() - theirs:+.3f}"
    print(f"against {other:22} {found}")
figure

# %% [markdown]
# *What to look at:* on the left, each line is one encoder with one draw of patients. Colours are
# encoders. Nothing differs between the two ends of a line but which copy is where. On the right,
# without a line, are encoders that were pretrained on the hospital's own scans, and the collapsed
# one (one encoder, three draws). Do they lie where "by name" lies, or where "in turn" lies?
#
# <details><summary>What we saw</summary>
#
# By name the probe had a mean Dice of 0.473, in turn 0.432. By name was ahead in 8 of 9 lines, by
# 0.041 on average; some lines are nearly flat, and one falls. Nothing but the order of copies
# differs, so this is what the mapping costs these encoders. It is a part of what transfer brought,
# not all of it: over random encoders of the same kind (norm: instance) they gained 0.124 by name,
# and still 0.083 in turn.
#
# The control matters as much. Over the best random kind (norm: none, 0.410) the gain is 0.062 by
# name and 0.022 in turn. Of the nine points by name one lies below that dashed line, of those in
# turn four. So the order changes how large the gain looks, and no line of the code would have been
# wrong. (The best random kind was picked on these test patients, which favours it, and its own runs
# spread from 0.35 to 0.51.) But nine points of three encoders do not show that even the right order
# is ahead of the best random encoder: section 7 asks again.
#
# The same puzzle on the hospital's own scans had 0.476. The corpus was worth no more here than the
# scans that the hospital has anyway, though it has 60 to learn from and the hospital 24. (An own
# encoder saw all four contrasts, and tumours. That may weigh more; it is not tested.) Collapsed had
# 0.401, which is close to the best random kind: only what lies above can come from what the puzzle
# taught (one encoder; the ranges overlap). Place alone had 0.083 with every draw. It is all due to
# the rule of [notebook 14](14_brain_tumours.ipynb): where a patient has no enhancing tumour,
# nothing named counts as 1. With the place among the inputs too, by name (0.470) is ahead of in
# turn (0.442) and level with own scans (0.466).
#
# All of this is three encoders, three draws of two patients and eight test patients: no verdict. A
# stored study asked again, with six seeds: section 7 has it.
#
# </details>
#
# ## 6. Fine-tuning: does the first layer mend it?
#
# In [fine-tuning](../docs/glossary.md#fine-tuning) the first layer learns as well. **Predict before
# you run:** will the wrong mapping be forgotten? As in the paper the pretrained encoder is kept
# still for the first quarter of the steps ([warm-up](../docs/glossary.md#warm-up)). The twin from
# scratch has the same patients, decoder start, order and number of steps. But it has no warm-up,
# since there is nothing to be kept. So a fourth arm has none either: only next to it can one see
# what the start is worth, and what the warm-up.

# %%
warm_up = size["finetune"] // 4
dice, shown = {}, {}
for seed in draws:
    begins = {
        "by name": (with_channels(pretrained["corpus"][seed], BY_NAME), warm_up),
        "in turn": (with_channels(pretrained["corpus"][seed], IN_TURN), warm_up),
        "by name, no warm-up": (with_channels(pretrained["corpus"][seed], BY_NAME), 0),
        "scratch": (ssl3d.make_encoder(cohort, seed), 0),
    }
    for name, (begin, frozen) in begins.items():
        network = ssl3d.make_network(begin, cohort, seed)
        steps = {"steps": size["finetune"], "freeze_encoder_steps": frozen}
        ssl3d.finetune(network, cohort, two[seed], seed=seed, **steps)
        result = ssl3d.evaluate(network, cohort, split.test, hausdorff=False, progress=False)
        dice.setdefault(name, []).append(result.mean_dice)
        if seed == 0:
            images = cohort.images(split.test[:1])
            shown[name] = ssl3d.evaluation.predict_batch(network, images)[0].cpu().numpy()
for name, values in dice.items():
    print(
        f"{name:19} mean Dice",
        *(f"{value:.3f}" for value in values),
        f"  mean {np.mean(values):.3f}",
    )
print(f"{'place alone':29}", *(f"{value:.3f}" for value in floor))

# %%
image, label = (np.array(part) for part in cohort[split.test[0]])
flair = image[FLAIR].astype(np.float32)
look = {"label_names": cohort.label_names, "spacing": cohort.spacing}
ssl3d.show.segmentations(flair, {"truth": label, **shown}, **look)

# %%
ssl3d.show.Volume3D(flair, label, title="truth", **look)

# %%
ssl3d.show.Volume3D(flair, shown["by name"], title="fine-tuned, channels by name", **look)

# %%
ssl3d.show.Volume3D(flair, shown["in turn"], title="fine-tuned, channels in turn", **look)

# %% [markdown]
# *What to look at:* one test patient, the first seed. Where does each answer put tumour that is not
# there?
#
# <details><summary>What we saw</summary>
#
# By name the three networks had 0.600, 0.540 and 0.536; in turn 0.611, 0.541 and 0.560; from
# scratch 0.620, 0.563 and 0.568. So after fine-tuning the *wrong* mapping is ahead in each of three
# seeds, by little. Whether it was mended, or never mattered, or helps, three seeds cannot say. And
# in all three seeds scratch was ahead of both. That is the opposite of what the probe said, and of
# what the paper found. Was it the warm-up, since for a quarter of these few steps the pretrained
# encoders stood still, and scratch could learn? No: without it by name had 0.505, 0.466 and 0.533,
# less in every seed. So here the warm-up helped, as the paper says. And without it nothing differs
# from scratch but the start: so the pretrained start itself was the worse one, in each seed. Why,
# this notebook does not say; features that a linear probe likes need not be a good place to learn
# from. But three pairs give no [verdict](../docs/glossary.md#verdict): scores differ more from seed
# to seed than most arms do. With six seeds, in section 7, even the sign is open.
#
# In the pictures all find the tumour, and miss its dead core: they call it enhancing tumour. "By
# name" does so most: its enhancing part fills most of the tumour, where the truth has a thin rim,
# and the few voxels that it calls core lie at the lower edge. From scratch that part is the
# smallest. All put oedema at the back of the brain, where there is none. Without warm-up this is a
# large piece, and has a false core next to it.
#
# </details>
#
# ## 7. Six seeds: three stored studies
#
# The *channels* [study](results/transfer/channels/table.md) asks the same with six seeds and other
# settings (150 steps of pretraining and 80 of fine-tuning): virtual heads at an edge of 40,
# [CPC](06_cpc.ipynb) as well, 2 and all 36 labelled patients, 12 test patients. Its
# [plan](results/transfer/channels.toml) was committed before it ran, and claims one thing: that a
# probe reads more if channels are read by name. All else is shown and not judged. Two more ask what
# transfer is worth after fine-tuning: *transfer* with masked reconstruction, from the corpus to
# these heads, and *virtual_to_real* with CPC, from virtual hippocampi to **real** ones. **Predict
# before you run:** in which of these does an interval lie on one side of 0: by name against in
# turn; by name against the best random encoder; by name against own scans; by name against scratch?


# %%
brief = ssl3d.study.sentences.brief  # a mean of six differences, and its 95 % interval
channels = ssl3d.study.load_stored("transfer/channels")
moves = {
    "masked, from the corpus to these heads": ssl3d.study.load_stored("virtual/transfer"),
    "CPC, from virtual to real hippocampi": ssl3d.study.load_stored("transfer/virtual_to_real"),
}
if channels is not None:
    spoken = {"masked": "masked, by name", "masked@unnamed": "masked, in turn"}
    spoken |= {
        "masked@own": "masked, own scans",
        "cpc": "CPC, by name",
        "cpc@unnamed": "CPC, in turn",
    }
    spoken |= {"random": "random", "random@none": "random, norm: none", "scratch": "scratch"}
    print(f"{'mean Dice of six seeds':22} {'probe':>16} {'probe+place':>16} {'fine-tuned':>16}")
    print(f"{'labelled patients':22}", *(f"{'2':>8} {'36':>7}" for _ in range(3)))
    for arm, name in spoken.items():
        cells = [
            [np.mean(channels.scores(protocol, arm, n) or [np.nan]) for n in channels.labels]
            for protocol in ("probe", "probe+place", "finetune")
        ]
        text = " ".join(f"{few:8.3f} {most:7.3f}" for few, most in cells).replace("nan", "  –")
        print(f"{name:22} {text}")
    found = {
        (claim.name, each.arm): each
        for claim in ssl3d.study.claims.claims(channels)
        for each in claim.findings
    }
    print("\nby name against in turn, a probe that is told the place:")
    for arm in ("masked", "cpc"):
        few, most = (
            np.subtract(*(channels.scores("probe+place", a, n) for a in (arm, f"{arm}@unnamed")))
            for n in channels.labels
        )
        compared = found["channels by name", arm].comparison
        for labels, gains in ((2, few), (36, most)):
            ahead = f"ahead in {(gains > 0).sum()} of {len(gains)} seeds"
            print(f"  {arm:6} with {labels:2} {gains.mean():+.3f}, {ahead}")
        print(f"         both {brief(compared)}: {compared.verdict}", end=", ")
        print(f"could find {compared.detectable:.2f}")
    print("against the best random encoder (norm: none), a probe that is told the place:")
    read = ("masked", "masked@unnamed", "masked@own", "cpc", "cpc@unnamed")
    for arm in read:
        few, most = found["better features", arm].more
        print(f"  {spoken[arm]:17} with 2 {brief(few)}, with 36 {brief(most)}")
    print("fine-tuned, masked by name:")
    for claim, which in (("better with few labels", 2), ("better final score", 36)):
        print(f"  against scratch, with {which}: {brief(found[claim, 'masked'].comparison)}")
    (beside,) = found["transfer", "masked"].more
    print(f"  against own scans, both numbers of labels: {brief(beside)}")
for name, study in moves.items():
    for claim in ssl3d.study.claims.claims(study) if study is not None else ():
        if claim.name == "transfer":
            ((own,), compared) = claim.findings[0].more, claim.findings[0].comparison
            print(f"\n{name}, fine-tuned:")
            print(f"  against scratch {brief(compared)}: {compared.verdict}")
            print(f"  against scans of its own {brief(own)}")


# %%
def lies(interval):
    """Where an interval lies, in the words of the colours: no verdict."""
    low, high = interval
    return "holds" if low > 0 else "does not hold" if high < 0.02 else "undecided"


panels = {} if channels is None else {"2 labelled patients": 0, "36 labelled patients": 1}
for title, place in panels.items():
    panels[title] = [
        ssl3d.show.Effect(spoken[arm], each.mean, each.interval, each.learnt, lies(each.interval))
        for arm in read
        for each in (found["better features", arm].more[place],)
    ]
panels and ssl3d.show.forest(panels, min_effect=0.02, readings=True)

# %% [markdown]
# *What to look at:* the rows "by name" and "own scans" of masked, then the intervals; the picture
# has those against the best random encoder, for a probe that is told the place. An interval
# that holds 0 does not say which of two is ahead.
#
# <details><summary>What we saw</summary>
#
# *Which intervals lie on one side of 0?* By name against in turn: none. Against the best random
# encoder: of those by name only CPC's with all labels, and below. Against own scans: on heads,
# below. Against scratch: on hippocampi alone, above.
#
# *By name or in turn?* Undecided: over both numbers of labels +0.028 (−0.020 to +0.076) for masked
# features and −0.011 (−0.054 to +0.032) for CPC's, and six seeds could have found only a lead of
# some 0.08 and 0.07. With two labelled patients, as in section 5, masked features were ahead by
# name in 6 of 6 seeds, by 0.062. With all 36 nothing is left of it (−0.006, 1 of 6). The plan
# averaged the two. CPC's are ahead by 0.016 with two and behind by 0.038 with all.
#
# *Did transfer help the features?* With the right order it cannot be said either: masked by name
# against the best random encoder is +0.042 (−0.055 to +0.139) with two labelled patients, and
# −0.065 (−0.153 to +0.024) with all. So which of the two reads these virtual tumours better stays
# open. (With all labels CPC's interval lies below 0. It is one of many that no plan asked for.) In
# turn it is −0.020 (−0.145 to +0.105) with two. Only the interval of own scans lies above 0: +0.125
# (+0.053 to +0.197).
#
# *And fine-tuned?* In turn is ahead in each of the four means: masked 0.564 and 0.605 against 0.561
# and 0.591, CPC 0.581 and 0.622 against 0.565 and 0.590. The plan did not ask this, so it has no
# verdict; but whoever hoped that the right mapping helps there finds nothing of it.
#
# *Corpus or own scans?* Here the notebook is too kind to the corpus. Without the place masked
# features from own scans have 0.588 with two labelled patients and 0.687 with all, from the corpus
# by name 0.503 and 0.596. Fine-tuned, the corpus is behind own scans by 0.048 (−0.083 to −0.012).
# Nobody planned to ask this, so it has no verdict. And it is not for want of scans: 60 of the
# corpus against 36 own ones. But those have all four contrasts, and tumours.
#
# *Scratch?* Section 6 had scratch ahead in three seeds of three. With six, at these other settings,
# it is −0.013 (−0.054 to +0.027) with two labelled patients and −0.028 (−0.097 to +0.041) with all,
# with warm-up: which is ahead stays open. The study that was planned to ask this, *transfer*,
# leaves it open as well: −0.016 (−0.050 to +0.019) over both numbers of labels, *undecided*; and it
# too has the corpus behind own scans, by 0.054 (−0.092 to −0.016). On real hippocampi CPC from
# virtual ones gains +0.016 (+0.005 to +0.027). Its interval lies above 0, but nine claims share the
# level, so this too is *undecided*. There, real scans of its own were worth hardly more (−0.002,
# −0.006 to +0.002): fine-tuned, drawings, which cost nothing, did as well. And scratch had no
# warm-up in any of these. On hippocampi the warm-up alone was [a third of the
# gain](../docs/results.md#fewer-labels), so this +0.016 may shrink too.
#
# </details>
#
# ## 8. What this can say, and what it cannot
#
# It **can** say what a wrong mapping costs these very encoders on these eight patients: that
# comparison is paired down to the last weight. Here, with three seeds, the cost was there when the
# features were frozen, and not to be seen when all weights could learn. With six seeds it is
# undecided (section 7). Writing the mapping down and checking it is free, so do it either way. It
# **cannot** say how much transfer is worth in a clinic:
#
# - Virtual corpus and virtual benchmark are warps of **one** template. They are far more alike than
#   UK Biobank and BraTS are. That makes transfer easier here, and random features strong: at this
#   size a tumour is a bright spot.
# - Three encoders and three draws overlap in everything but their seeds. Six pairs are the least
#   for a verdict: `ssl3d study transfer` runs them ([studies](../docs/studies.md)).
# - All 3D models of the paper's first table but the one from scratch were pretrained on UK Biobank.
#   What the same puzzles do on BraTS's own scans the table does not say. So it does not show what
#   the corpus itself is worth, and sections 5 and 7 had to ask it.
#
# ## 9. Real scans
#
# UK Biobank is open to approved projects, for a fee. Without it, any collection of heads in NIfTI
# files will do, with as many contrasts as it has (`ssl3d prepare folder --help`). **Write down
# which channel is read as which, and check it**: a wrong mapping gives no error. Whether the right
# one pays is undecided.
#
# ```
# ssl3d prepare ukb-brain --raw FOLDER --preset paper --out cohorts/ukb-brain
# ssl3d prepare brats --raw FOLDER --preset paper --out cohorts/brats
# ```
#
# `ssl3d bench` counts the hours of the whole study on your machine ([speed](../docs/speed.md)).
#
# ## Exercise
#
# A colleague gives you the four contrasts as `c1` to `c4`, and you do not know that they are FLAIR,
# T1, T1ce and T2, in that order. What mapping does the library take? Where does each contrast end
# up? Guess whether the probe is worse than in turn, then measure it.
#
# <details><summary>Hint</summary>
#
# `ssl3d.models.encoders.channel_sources(("T1", "T2-FLAIR"), ("c1", "c2", "c3", "c4"), 2, 4)` says
# which old channel each new one is read as. Write that mapping in the order of `cohort.channels`,
# and give it to `with_channels`.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
# unnamed = ("c1", "c2", "c3", "c4")
# sources = ssl3d.models.encoders.channel_sources(corpus.channels, unnamed, 2, 4)
# order = ("flair", "t1", "t1ce", "t2")  # what c1 to c4 are
# mapping = [sources[order.index(name.casefold())] for name in cohort.channels]
# print("read as", [corpus.channels[s] for s in mapping], "in the order", cohort.channels)
# for name, how in {"by name": BY_NAME, "in turn": IN_TURN, "unnamed": mapping}.items():
#     adapted = with_channels(encoder, how).to(volumes.device)
#     results = ssl3d.evaluation.linear_probes(adapted, cohort, two, split.validation, 1000)
#     print(name, [round(result.mean_dice, 3) for result in results])
# ```
#
# Without names the channels are taken in turn: FLAIR is read as T1, T1 as FLAIR, T1ce as T1, T2 as
# FLAIR. So T1ce and T2 are right by luck, and the two that were right in turn are wrong. At class
# scale the three draws had 0.553, 0.531 and 0.381 by name, 0.298, 0.494 and 0.366 in turn, and
# 0.447, 0.439 and 0.321 unnamed. So by name is ahead in each draw. Which of the two wrong mappings
# is worse depends on the draw: this is one encoder, and there is no more to say. It is read on
# validation patients, since this is a choice between settings; test patients are for what was
# chosen.
#
# </details>
#
# ## What the literature did next
#
# - The same corpus, the same benchmark: Cox et al.
#   ([BrainSegFounder, 2024](https://arxiv.org/abs/2406.10395)) pretrain on UK Biobank's brains and
#   fine-tune on BraTS.
# - Many sources at once: Wald et al. ([OpenMind, ICCV 2025](https://arxiv.org/abs/2412.17041))
#   gathered 114 000 public brain MRI volumes and compared methods on them. Masked reconstruction
#   came out best for segmentation.
# - Labels instead: Chen et al. ([Med3D, 2019](https://arxiv.org/abs/1904.00625)) pretrained on the
#   labels of many small data sets together.
#
# **Next:** [hearts](18_hearts.ipynb), where slices are five to seven times as thick as a pixel is
# wide.
#
# ## References
#
# Taleb et al., [3D Self-Supervised Methods for Medical Imaging](https://arxiv.org/abs/2006.03829),
# NeurIPS 2020. Miller et al., [Multimodal population brain imaging in the UK Biobank prospective
# epidemiological study](https://doi.org/10.1038/nn.4393), Nature Neuroscience 2016. Menze et al.,
# [BRATS](https://doi.org/10.1109/TMI.2014.2377694), IEEE Transactions on Medical Imaging 2015. He
# et al., [Masked Autoencoders Are Scalable Vision Learners](https://arxiv.org/abs/2111.06377), CVPR
# 2022.

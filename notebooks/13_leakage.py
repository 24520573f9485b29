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
# # Leakage: when the test is too easy
#
# **You will be able to:** build the classic leaks of medical machine learning yourself, say by a
# formula or by an experiment how much each flatters, and name what catches the leak.
#
# **Time:** 2 minutes on one core (`SSL3D_SCALE=class`, the default), less at
# `SSL3D_SCALE=smoke`, where the numbers mean little.
#
# **Before this one:** [11, fine-tuning](11_finetuning.ipynb) has pairs, seeds and verdicts;
# [08, shortcuts](08_shortcuts.ipynb) has puzzles that are too easy.
#
# A clinic buys a program. The paper says Dice 0.85, and on the clinic's own patients it has 0.80.
# Nobody lied. Half of the test scans were second visits of patients that the program had been
# trained on. **[Leakage](../docs/glossary.md#leakage)** means that something of the test was known
# before. Kapoor and Narayanan found it in hundreds of papers of 17 fields. A leak gives no sign:
# the scores are high, and everything looks fine. So each section here has three parts: *build* the
# leak, *compute* what it is worth (by a formula and a simulation where there is a formula, else by
# a run), *catch* it.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"cases": 15, "steps": 3, "labelled": 3, "draws": 1, "studies": 200, "seeds": 2},
    "class": {"cases": 60, "steps": 100, "labelled": 6, "draws": 4, "studies": 4000, "seeds": 6},
    "full": {"cases": 200, "steps": 400, "labelled": 9, "draws": 9, "studies": 20000, "seeds": 12},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
scans = cohort.images(range(len(cohort))).cpu()
maps = cohort.labels(range(len(cohort))).cpu()
chance = np.random.default_rng(0)


def altered(thing, **changes):
    """A copy of a cohort, a case or a split in which some fields are others."""
    fields = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
    return type(thing)(**fields | changes)


def refused(cohort, split):
    """What the library says to a split: the reason why it is refused, or that it is not."""
    try:
        ssl3d.study.leakage.check_leakage(cohort, split)
    except ssl3d.InputError as reason:
        return f"refused: {reason}"
    return "no leak found"


# %% [markdown]
# ## 1. One patient on two sides
#
# A patient comes back after a year. Now there are two scans of one patient, and the split deals
# *scans* to folds, as if each came from a person of its own. What can go wrong? Take the worst
# case, in which there is nothing to be learnt at all.
#
# **Build.** Each of 60 patients has $m$ scans. Features differ from patient to patient and hardly
# within one. The diagnosis is drawn by tossing a coin for each patient: no feature has anything to
# do with it. A nearest neighbour answers. Scans are dealt to $K$ folds at random, or patients are.


# %%
def nearest_neighbour(visits, folds, by_patient, patients=60, features=20):
    """Share of right diagnoses where the diagnosis is a coin toss."""
    patient = np.repeat(np.arange(patients), visits)
    sick = chance.integers(2, size=patients)[patient]
    faces = chance.standard_normal((patients, features))[patient]
    x = faces + 0.1 * chance.standard_normal(faces.shape)
    dealt = chance.integers(folds, size=patients if by_patient else len(x))
    fold = dealt[patient] if by_patient else dealt
    apart = np.square(x[:, None] - x[None]).sum(-1)
    apart[fold[:, None] == fold[None]] = np.inf  # who is in the same fold was not trained on
    return float((sick[apart.argmin(1)] == sick).mean())


# %% [markdown]
# **Compute.** If another scan of the patient is in the training folds, the neighbour is that one,
# and the answer is right. All $m-1$ others are in the same fold with probability $K^{-(m-1)}$.
# Then the answer is a coin toss:
#
# $$\text{accuracy} = 1 - \tfrac12 K^{-(m-1)}.$$
#
# **Predict before you run:** two scans of each patient, five folds. How good does the nearest
# neighbour look, where the diagnosis is a coin toss?

# %%
print(f"{'scans a patient':16}{'folds':>6}{'formula':>9}{'scans dealt':>13}{'patients dealt':>16}")
for visits, folds in ((1, 5), (2, 2), (2, 5), (2, 10), (3, 5)):
    by_formula = 1 - 0.5 * folds ** -(visits - 1.0)
    simulated = [
        np.mean(
            [nearest_neighbour(visits, folds, by_patient) for _ in range(size["studies"] // 100)]
        )
        for by_patient in (False, True)
    ]
    print(f"{visits:16}{folds:6}{by_formula:9.1%}{simulated[0]:13.1%}{simulated[1]:16.1%}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# With two scans a patient and five folds the formula gives 90.0 %, and the simulation 88.7 %. Dealt
# by patient it was 48.1 %: a coin, but for the luck of 40 simulated studies. *More folds make it
# worse*, 95.5 % with ten, since a scan's twin is then more often among those trained on.
#
# </details>
#
# **The same with a network.** A segmentation is no coin toss, and the leak is worth less.
# Fine-tune on a few patients. Then test on a second visit of the *same* patients (brighter,
# noisier, moved by a voxel along each axis), and on new patients.

# %%
trained_on = cohort.subset(split.train, size["labelled"])
network = ssl3d.make_network(ssl3d.make_encoder(cohort, seed=0), cohort, seed=0)
ssl3d.finetune(network, cohort, trained_on, steps=size["steps"])
device = cohort.images([0]).device


def second_visit(volumes, labels):
    """The same patients a year later: brighter, noisier, and not quite in the same position."""
    moved = volumes.roll((1, 1, 1), (2, 3, 4))
    noise = torch.randn(volumes.shape, generator=torch.Generator().manual_seed(0))
    return 1.1 * moved + 0.1 * volumes.std() * noise, labels.roll((1, 1, 1), (1, 2, 3))


def dice(found, truth):
    """Per case, the mean over the parts of 2 |A ∩ B| / (|A| + |B|)."""
    parts = []
    for part in range(1, len(cohort.label_names)):
        a, b = (found == part).flatten(1), (truth == part).flatten(1)
        parts.append(2 * (a & b).sum(1) / (a.sum(1) + b.sum(1)).clamp(min=1))
    return torch.stack(parts).mean(0).numpy()


def predicted(volumes):
    """Class maps, a few scans at a time."""
    found = [ssl3d.evaluation.predict_batch(network, v.to(device)) for v in volumes.split(4)]
    return torch.cat(found).cpu()


visits, their_maps = second_visit(scans[list(trained_on)], maps[list(trained_on)])
news, new_maps = second_visit(scans[list(split.test)], maps[list(split.test)])
again, unseen = dice(predicted(visits), their_maps), dice(predicted(news), new_maps)
print(f"second visits of {len(again)} patients it was trained on: Dice {again.mean():.3f}")
print(f"{len(unseen)} new patients, scanned in the same way:      Dice {unseen.mean():.3f}")

# %% [markdown]
# **Compute.** If a share $d$ of the test scans are such second visits, the expected score is
# $d\,S_\text{again} + (1-d)\,S_\text{new}$.

# %%
flattered = again.mean() - unseen.mean()
for share in (0.1, 0.2, 0.5):
    print(f"{share:.0%} of the test scans: Dice is flattered by {share * flattered:+.3f}")
if flattered > 0:
    print(f"a gain of 0.03, as papers report it, needs {0.03 / flattered:.0%} second visits")

# %% [markdown]
# What does the leak look like? Below are the first known patient and the first new one, in 3D. The
# colours say what is right and what is not. **Predict:** could you say from the pictures alone
# which of the two the network has met before?

# %%
VERDICTS = ("background", "right", "missed", "too much", "wrong part")


def judged(found, truth):
    """What each voxel of an answer is, by its number in VERDICTS."""
    kinds = torch.zeros_like(truth)
    kinds[(truth > 0) & (found == truth)] = 1
    kinds[(truth > 0) & (found == 0)] = 2
    kinds[(truth == 0) & (found > 0)] = 3
    kinds[(truth > 0) & (found > 0) & (found != truth)] = 4
    return kinds.numpy()


look = {"label_names": VERDICTS, "spacing": cohort.spacing}
known = judged(predicted(visits[:1])[0], their_maps[0])
new = judged(predicted(news[:1])[0], new_maps[0])
print("shares of", VERDICTS[1:])
for name, kinds in (("known patient", known), ("new patient", new)):
    print(
        f"{name:13}", [f"{(kinds == kind).sum() / (kinds > 0).sum():.0%}" for kind in range(1, 5)]
    )
ssl3d.show.Volume3D(visits[0], known, title="Second visit of a patient it was trained on", **look)

# %%
ssl3d.show.Volume3D(news[0], new, title="A new patient", **look)

# %% [markdown]
# <details><summary>What we saw</summary>
#
# On second visits of patients it knew the network had Dice 0.891, on new patients 0.800. So if 33 %
# of the test scans were such visits, the score would rise by as much as the gain for which many a
# paper is written. Take the difference as an upper end. Here a "second visit" is the same picture,
# moved by a voxel, brightened and with noise added. A real second visit differs more: another
# position, another slice, a year of change. And it is one network, on 6 known patients against 12
# new ones.
#
# Both pictures look like good work. Of all coloured voxels 11 % are missed in the known patient and
# 20 % in the new one, with the largest piece at the front end. But one patient can be harder than
# another, so two pictures prove nothing, and a reader of the paper would see one of them, without
# its name. That is why a leak is caught in the list of cases and not in the results.
#
# </details>
#
# **Catch.** Deal *patients*. The library does so when the cohort is made, and looks again before a
# study runs. By hand the look is a dictionary: each patient has one fold. Here each patient has one
# scan, so it must pass; the lines after it forge a second visit, and it fails.

# %%
fold_of = {}  # patient → folds
for case in cohort.cases:
    fold_of.setdefault(case.patient, set()).add(case.fold)
print("every patient has one fold:", all(len(folds) == 1 for folds in fold_of.values()))
print("as it is:", refused(cohort, split))

victim, twin = cohort.cases[split.test[0]], cohort.cases[split.train[0]]
visit = altered(victim, patient=twin.patient)  # the same patient, another scan
cases = tuple(visit if case is victim else case for case in cohort.cases)
print("a second visit:", refused(altered(cohort, cases=cases), split))

# %% [markdown]
# ## 2. One scan twice
#
# Data sets are merged, and a scan comes in twice under two names. Then the patients differ in name,
# and dealing by patient does not help.
#
# **Compute.** It is the formula of section 1: a share $d$ of copies is worth
# $d\,(S_\text{copy} - S_\text{new})$. **Catch.** An exact copy has the same checksum.

# %%
copies = dice(predicted(scans[list(trained_on)]), maps[list(trained_on)])
others_too = dice(predicted(scans[list(split.test)]), maps[list(split.test)])
print(f"exact copies: Dice {copies.mean():.3f}; new patients: {others_too.mean():.3f}")
double = altered(victim, sha256=twin.sha256)  # the same picture, another name
cases = tuple(double if case is victim else case for case in cohort.cases)
print("an exact copy:", refused(altered(cohort, cases=cases), split))

# %% [markdown]
# A copy that was resampled, cut or saved anew has another checksum. **Predict:** how would you find
# it? By hand: make scans coarse, and correlate each with each. Below, second visits of training
# patients hide under new names.


# %%
def coarse(volumes):
    """Scans as rows of mean 0 and length 1, blurred to blocks of 4 voxels."""
    rows = torch.nn.functional.avg_pool3d(volumes[:, 0], 4).flatten(1)
    return torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)


likeness = coarse(visits) @ coarse(scans[list(split.train)]).T  # (visit, training scan)
own = torch.tensor([split.train.index(case) for case in trained_on])
mine = likeness.gather(1, own[:, None])[:, 0]
others = likeness.scatter(1, own[:, None], -1.0).amax(1)
print("with the hidden twin :", [f"{float(each):.2f}" for each in mine])
print("with the next likest :", [f"{float(each):.2f}" for each in others])
print(f"twins found as the likest: {float((mine > others).float().mean()):.0%}")

# %% [markdown]
# The hardest of them, to look at: the second visit that has the likest stranger.

# %%
hard = int(others.argmax())
stranger = split.train[int(likeness.scatter(1, own[:, None], -1.0)[hard].argmax())]
three = {
    "second visit, under a new name": visits[hard],
    f"its hidden twin ({float(mine[hard]):.2f})": scans[trained_on[hard]],
    f"the likest stranger ({float(others[hard]):.2f})": scans[stranger],
}
figure = Figure(figsize=(7.4, 2.4), layout="constrained")
for axes, (name, volume) in zip(figure.subplots(1, 3), three.items(), strict=True):
    ssl3d.show.draw_plane(axes, volume[0].numpy(), axis=0)
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()
figure

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The checksum gave the exact copy away, and it cannot see a changed one. Correlation found 100 % of
# the six changed ones: each is more like its twin (0.89 and more) than like any other scan (0.74 at
# most). It was an easy test, as the second visits were made from the first ones. All virtual
# patients are warps of one template, so strangers too are more alike than people are. Use it as a
# hint: look at the likest pairs yourself. In the
# figure the twin has each structure in its place. The stranger has similar ones in other places.
#
# What is it worth? On exact copies of scans that it was trained on the network had 0.929, on new
# patients 0.812. If a tenth of the test scans are such copies, the score rises by a tenth of the
# difference.
#
# </details>
#
# ### Test scans in pretraining
#
# Self-supervision has a leak of its own. Pretraining needs no labels, so why not pretrain on *all*
# scans, those of the test patients too? The features have seen them then. What is this worth?
#
# **Build.** Deal the test patients to two halves, A and B. Pretrain one encoder on A and another on
# B, from the same start. Nothing else is pretrained on: it is the worst case, as a few scans are
# easily learnt by heart. The puzzle is [masked reconstruction](07_masked_reconstruction.ipynb).
#
# **Compute.** Score both encoders on both halves. With $S_{AB}$ the score on B of the encoder that
# was pretrained on A, the leak is worth
#
# $$\tfrac12\,(S_{AA} + S_{BB}) - \tfrac12\,(S_{AB} + S_{BA}).$$
#
# Each encoder and each half stands once on either side of the minus. So it does not matter if half
# A is the easier one, or encoder B the better one. The scores are those of the puzzle ($r^2$: 1 is
# perfect) and of the segmentation, a [linear
# probe](../docs/glossary.md#linear-probe) on two labelled scans that are in neither half.
#
# **Predict before you run:** is the puzzle flattered? Is the segmentation?

# %%
halves = split.test[::2], split.test[1::2]
few = [cohort.subset(split.train, 2, draw) for draw in range(size["draws"])]
worth = {"puzzle": [], "segmentation": []}
for seed in range(size["seeds"]):
    solved, segmented = [], []  # a row an encoder, a column a half
    for half in halves:
        encoder = ssl3d.make_encoder(cohort, seed)
        task = ssl3d.make_task("masked", encoder, seed)
        ssl3d.pretrain(
            task, encoder, cohort, half, steps=size["steps"], learning_rate=2e-3, seed=seed
        )
        puzzles = [ssl3d.evaluation.proxy_score(task, encoder, cohort, h, seed=9) for h in halves]
        solved.append([puzzle["r2"] for puzzle in puzzles])
        probes = ssl3d.evaluation.linear_probes(encoder, cohort, few, split.test)
        by_case = np.mean([probe.dice.mean(1) for probe in probes], axis=0)
        segmented.append([by_case[::2].mean(), by_case[1::2].mean()])
    for name, ((aa, ab), (ba, bb)) in (("puzzle", solved), ("segmentation", segmented)):
        worth[name].append((aa + bb) / 2 - (ab + ba) / 2)
    if seed == 0:
        print("seed 0: segmentation, a row an encoder, a column a half")
        print(np.round(segmented, 3))
for name, leaks in worth.items():
    low, high = ssl3d.study.statistics.interval(leaks)
    print(f"{name:12} {np.round(leaks, 3)}")
    print(f"{'':12} flattered by {np.mean(leaks):+.3f} ({low:+.3f} to {high:+.3f} over seeds)")

# %% [markdown]
# **Catch.** Pretrain on what is not tested on. The library looks, with labels or without.

# %%
greedy = altered(split, pretrain=(*split.pretrain, *split.test))
print("test scans in pretraining:", refused(cohort, greedy))

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The puzzle is flattered: in each of six seeds, by 0.043 of $r^2$ on average (0.035 to 0.050). So
# *part of the scans was learnt by heart*, and a puzzle must be scored on scans that it was not
# trained on. The segmentation was flattered in three seeds and not in the other three: −0.002 on
# average, with an interval from −0.024 to 0.020. No flattery is seen, and one of up to 0.02 is not
# ruled out. That would still be two thirds of a gain of 0.03.
#
# It is no licence. In section 1 the network had seen labels, and here voxels alone. Longer
# training, a larger network and fine-tuning were not tried, and the intervals are over seeds: the
# 12 test patients are always the same. It costs little to leave test scans out, and then nobody
# has to ask.
#
# </details>
#
# ## 3. Preparing with what was not yet known
#
# **Rule:** what is done to a training scan must not depend on any test scan. **Catch:** swap the
# test scans for others and prepare again. Training scans must stay as they were, bit for bit. Here
# is z-scoring by the mean and deviation of *all* scans, and of each scan by itself, as the recipes
# do. The other test scans are from a new scanner, which is brighter.


# %%
def together(volumes):
    return (volumes - volumes.mean()) / volumes.std()


def each_alone(volumes):
    return torch.stack([(volume - volume.mean()) / volume.std() for volume in volumes])


brighter = scans.clone()
brighter[list(split.test)] = 2 * scans[list(split.test)] + 1
for prepare in (together, each_alone):
    change = (prepare(brighter) - prepare(scans))[list(split.train)].abs().max()
    print(f"{prepare.__name__:11} a training voxel changes by up to {float(change):.3f}")

# %% [markdown]
# Statistics of unlabelled scans seldom matter much. They matter enormously when *labels* take part.
# The classic (Ambroise and McLachlan 2002): of thousands of features choose those that differ most
# between sick and healthy, on all patients, and split afterwards. Try it where there is nothing to
# find: random features, random labels. The truth is 50 %.


# %%
def by_chance(inside, patients=40, features=2000, best=20):
    """Accuracy on the second half of random data, by the nearer of two class means."""
    x, sick = chance.standard_normal((patients, features)), np.arange(patients) % 2
    groups = (np.flatnonzero(sick == group) for group in (0, 1))  # as many of each in each half
    half = np.concatenate([chance.permutation(group)[: patients // 4] for group in groups])
    rest = np.setdiff1d(np.arange(patients), half)
    seen = half if inside else np.arange(patients)  # who takes part in the choice of features

    def means(rows):
        return np.stack([x[rows][sick[rows] == group].mean(0) for group in (0, 1)])

    chosen = np.argsort(np.abs(np.subtract(*means(seen))))[-best:]
    centres = means(half)[:, chosen]
    apart = np.square(x[rest][:, None, chosen] - centres).sum(-1)
    return float((apart.argmin(1) == sick[rest]).mean())


runs = {inside: [by_chance(inside) for _ in range(30)] for inside in (False, True)}
print(f"features chosen on all patients     : {np.mean(runs[False]):.1%} right")
print(f"features chosen on training patients: {np.mean(runs[True]):.1%} right, truth 50.0%")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Chosen on all patients, pure noise "predicts" disease in 97.3 % of patients it was not fitted on.
# Chosen on training patients alone it has 47.2 %, and the truth is 50 %: the rest is the luck of 30
# halves of 20 patients. Z-scoring by all scans moved a training voxel by up to 0.979 standard
# deviations: a leak by the rule. What it is worth in Dice was not measured here; probably little.
#
# (Each half has as many sick as healthy patients. Deal the halves by chance alone, and if more of
# the training half are sick, fewer of the other half are. Then a rule that leans to what was common
# in training is wrong more often, and noise has clearly less than 50 %.)
#
# </details>
#
# ## 4. Choosing on the test cases
#
# You have $k$ networks: checkpoints, seeds, settings. All are equally good, and you report the one
# that is best on the $n$ test cases. If two of them differ on a case by a standard deviation
# $\sigma_d$, the mean of each is off by luck with a deviation of $\sigma_d/\sqrt{2n}$, and the
# best of $k$ lies above the truth by
#
# $$\frac{\sigma_d}{\sqrt{2n}}\; m_k, \qquad m_k = \mathbb{E}\max(g_1,\dots,g_k)
#   = \int x\,k\,\varphi(x)\,\Phi(x)^{k-1}\,dx$$
#
# with standard normal $g_i$. First $\sigma_d$, from two random encoders with the same labelled
# scans. Their mean difference is taken away, so what is left is luck from case to case.
# Checkpoints of one run are more alike: smaller $\sigma_d$, less flattery. **Predict
# before you run:** the best of 20 networks, on 20 cases: is it flattered by 0.001, 0.01 or 0.1?

# %%
labelled = [cohort.subset(split.train, 2, draw) for draw in range(size["draws"])]
one, two = (
    np.stack(
        [
            result.dice.mean(1)  # (draw, case)
            for result in ssl3d.evaluation.linear_probes(
                ssl3d.make_encoder(cohort, seed, norm="none").to(device),
                cohort,
                labelled,
                split.test,
            )
        ]
    )
    for seed in (100, 101)
)
differences = one - two
sigma = float((differences - differences.mean(1, keepdims=True)).std())
print(f"from case to case, two equally good encoders differ by {sigma:.3f} in Dice")

# %%
x = np.linspace(-40, 40, 16001)
width = x[1] - x[0]
density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
below = np.cumsum(density) * width  # the share of a normal distribution that lies below x
cases, many = 20, (1, 2, 5, 10, 20, 50)
error = sigma / np.sqrt(2 * cases)

on_test = error * chance.standard_normal((size["studies"], max(many)))
on_others = error * chance.standard_normal((size["studies"], max(many)))
gains = {}  # how many networks → what is reported, less the truth: by a choice on test, on others
print(f"{'best of':>7}{'formula':>10}{'chosen on test':>16}{'chosen on other cases':>23}")
for k in many:
    expected = error * float((x * k * density * below ** (k - 1)).sum() * width)
    chosen_elsewhere = on_test[np.arange(len(on_test)), on_others[:, :k].argmax(1)]
    gains[k] = on_test[:, :k].max(1), chosen_elsewhere
    print(f"{k:7}{expected:+10.4f}{gains[k][0].mean():+16.4f}{gains[k][1].mean():+23.4f}")

# %%
figure = Figure(figsize=(5.6, 3), layout="constrained")
axes = figure.subplots()
for number, name in enumerate(("on the test cases", "on other cases")):
    low, middle, high = np.percentile([gains[k][number] for k in many], (10, 50, 90), axis=1)
    colour = ssl3d.show.COLOURS[number]
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
# *What to look at:* lines are medians, bands hold 80 % of the simulated studies. All networks are
# equally good, so what lies above 0 is flattery.
#
# <details><summary>What we saw</summary>
#
# The two encoders differed by 0.056 from case to case. The best of 20 is then flattered by 0.0165
# by the formula, and by 0.0164 in the simulation. That is half of the gain of 0.03 that papers are
# written about. Chosen on other cases the flattery was -0.0002: nothing. The bands say the rest: on
# 20 test cases a network's score lies up to so much above or below its own truth by luck alone, and
# two equally good networks differ by more than that. What they share, such as easy test patients,
# comes on top.
#
# </details>
#
# **Catch:** ask who chose, and on what. And count: cases that a choice is made by are *labelled
# cases*. "Trained with 2 labels", with the checkpoint chosen on 40 validation scans, is 42 labels.
# The library's `finetune` takes the last weights unless it is asked to choose.
#
# ## 5. Peeking: one more seed, until it holds
#
# Five seeds, $p = 0.08$. "Let us run one more." Each look has its own chance to be wrong. Say that
# nothing is to be found, that each seed gives a difference from a normal distribution of known
# deviation, and that after each seed one looks whether the sum $S_j$ of $j$ seeds has
# $|S_j| > 1.96\sqrt{j}$. One look is wrong in 5 % of studies. **Predict:** and ten?
#
# **Compute** (Armitage, McPherson and Rowe 1969). Keep the density of sums that have not yet been
# called a finding. Each seed adds a normal step, and each look cuts off what lies outside.


# %%
def false_alarms(bounds):
    """Share of studies that find something where nothing is, by the bound of each look."""
    quiet = density * (np.abs(x) <= bounds[0])  # no finding so far
    for look, bound in enumerate(bounds[1:], start=2):
        quiet = np.convolve(quiet, density, "same") * width
        quiet[np.abs(x) > bound * np.sqrt(look)] = 0
    return float(1 - quiet.sum() * width)


def bound_of(level):
    """The bound outside of which a normal value lies with a probability of `level`."""
    return float(np.interp(1 - level / 2, below[6000:10000], x[6000:10000]))


sums = chance.standard_normal((size["studies"], 10)).cumsum(1) / np.sqrt(np.arange(1, 11))
spent = [bound_of(0.8 * 0.05 * 0.2**look) for look in range(10)]  # 4/5 of what is left, each look
rates = []
print(f"{'looks':>5}{'formula':>10}{'simulated':>11}{'level spent':>13}{'simulated':>11}")
for looks in (1, 2, 5, 10):
    naive = (np.abs(sums[:, :looks]) > 1.96).any(1).mean()
    careful = (np.abs(sums[:, :looks]) > spent[:looks]).any(1).mean()
    rates.append((looks, false_alarms([1.96] * looks), false_alarms(spent[:looks])))
    print(f"{looks:5}{rates[-1][1]:10.1%}{naive:11.1%}{rates[-1][2]:13.1%}{careful:11.1%}")

# %%
figure = Figure(figsize=(5.2, 2.8), layout="constrained")
axes = figure.subplots()
looks, naive, careful = zip(*rates, strict=True)
axes.plot(looks, naive, "o-", color=ssl3d.show.COLOURS[1], label="5 % at each look")
axes.plot(looks, careful, "s-", color=ssl3d.show.COLOURS[0], label="at most 5 % in all looks")
axes.axhline(0.05, color="black", linestyle=":", label="5 %")
axes.set(xlabel="looks", ylabel="share of studies with a false finding", ylim=(0, None))
axes.legend(frameon=False)
ssl3d.show.tidy(axes)
figure

# %% [markdown]
# **Catch:** the library writes down each look (`looks.json`), and gives each look four fifths of
# the level that is left ([verdicts](../docs/verdicts.md)). The price is that later looks find
# less.
#
# <details><summary>What we saw</summary>
#
# Two looks are wrong in 8.3 % of studies, ten in 19.4 %. With the level spent it stays at 4.5 %
# after ten looks. Here the deviation was known. If it is estimated from the seeds, and the normal
# distribution's bound is kept from the second seed on, nearly half of the studies find something
# (simulated elsewhere, and not shown here). The t distribution's bound at each look brings that to
# a fifth.
#
# </details>
#
# ## 6. A measure that flatters
#
# No leak, but it has the same effect. Dice of the *background* is near 1 for any answer. If it is
# averaged in, an answer that finds nothing looks half decent. For a part that fills a share $f$ of
# the box, an empty answer has a background Dice of $2(1-f)/(2-f)$ and 0 for each part.

# %%
truth = maps[list(split.test)]
nothing = torch.zeros_like(truth)


def dice_of(value):
    a, b = (nothing == value).flatten(1), (truth == value).flatten(1)
    return float((2 * (a & b).sum(1) / (a.sum(1) + b.sum(1)).clamp(min=1)).mean())


classes = [dice_of(value) for value in range(len(cohort.label_names))]
share = (truth > 0).flatten(1).float().mean(1)
by_formula = float((2 * (1 - share) / (2 - share)).mean())
print({name: round(d, 3) for name, d in zip(cohort.label_names, classes, strict=True)})
print(f"background by the formula {by_formula:.3f}")
print(f"mean with the background {np.mean(classes):.3f}, without {np.mean(classes[1:]):.3f}")

# %% [markdown]
# **Catch.** Score an empty answer: it should get nothing. `evaluate()` scores parts alone, case by
# case.
#
# <details><summary>What we saw</summary>
#
# An answer that finds nothing scored 0.327 with the background, and 0.000 without.
#
# </details>
#
# ## Before you believe a score
#
# | suspect | what it is worth | check | in the library |
# |---|---|---|---|
# | a patient on two sides | up to everything | deal patients | `check_leakage`, `ssl3d verify` |
# | a scan twice | as above | checksums, correlation | the same |
# | test scans in pretraining | puzzle yes, Dice not seen | keep them out | `check_leakage` |
# | statistics of test scans | not measured; with labels, much | swap them | scans scaled alone |
# | choosing on the test set | $\sigma_d m_k / \sqrt{2n}$ | who chose? | `split.validation` |
# | validation labels not counted | 2 labels are 42 | count them | the last weights count |
# | peeking | 5 % → 19 % in ten looks | count the looks | `looks.json` |
# | background in Dice | a third | score an empty answer | parts alone |
# | a weak baseline | see [12](12_weak_baseline.ipynb) | train it as well | the same recipe |
#
# **Exercise.** A data set has three scans of each patient, and a paper deals scans to ten folds.
# The diagnosis is a coin toss. What accuracy do you expect, by the formula? Check it. How many
# scans a patient make a coin look like 99.9 %? And you choose the best of 20 networks on the test
# cases, as in section 4: how many cases must there be for the flattery to be below 0.005?
#
# <details><summary>Hint</summary>
#
# $m = 3$ and $K = 10$; `nearest_neighbour(3, 10, by_patient=False)`. And flattery falls with
# $\sqrt{n}$.
#
# </details>
# <details><summary>Answer</summary>
#
# $1 - \frac12 \cdot 10^{-2} = 99.5\,\%$. With four scans it is $99.95\,\%$, so four are enough.
#
# ```python
# for visits in (3, 4):
#     simulated = np.mean([nearest_neighbour(visits, 10, by_patient=False) for _ in range(20)])
#     print(visits, f"formula {1 - 0.5 * 10.0 ** -(visits - 1):.2%}, simulated {simulated:.2%}")
# ```
#
# Each scan draws its fold by itself here, so folds differ a little in size. The formula is made for
# just that.
#
# The best of 20 was flattered by 0.0165 with 20 cases. So $n = 20\,(0.0165 / 0.005)^2 \approx 218$
# cases are needed. Or choose on other cases: then it is nothing, with any number.
#
# </details>
#
# ## Where this comes from, and where it leads
#
# - Ambroise and McLachlan re-analysed two published sets of gene data: with the selection inside
#   the split, the error that had looked like zero no longer was.
# - Kapoor and Narayanan propose an info sheet in which authors say how each leak was ruled out.
# - Varoquaux and Cheplygina show how small test sets and weak baselines lead medical imaging
#   astray.
#
# The code is in [leakage.py](../ssl3d_lite/study/leakage.py) and
# [ledger.py](../ssl3d_lite/study/ledger.py).
#
# **Next:** [14, brain tumours](14_brain_tumours.ipynb): the paper's first benchmark.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Ambroise and McLachlan, [Selection bias
# in gene extraction on the basis of microarray gene-expression
# data](https://doi.org/10.1073/pnas.102102699), PNAS 2002. Kapoor and Narayanan, [Leakage and the
# Reproducibility Crisis in Machine-Learning-Based
# Science](https://doi.org/10.1016/j.patter.2023.100804), Patterns 2023. Varoquaux and Cheplygina,
# [Machine learning for medical imaging: methodological failures and recommendations for the
# future](https://doi.org/10.1038/s41746-022-00592-y), npj Digital Medicine 2022. Armitage,
# McPherson and Rowe, [Repeated Significance Tests on Accumulating
# Data](https://doi.org/10.2307/2343787), Journal of the Royal Statistical Society A 1969.

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
# # Fine-tuning: does pretraining save labels, and when may you say so?
#
# **You will be able to:** fine-tune a pretrained encoder with a warm-up, frozen, or with a slower
# encoder; read a curve of label efficiency with its floor; work out an interval over seeds *and*
# patients by hand; and say whether a claim holds, does not hold, is undecided, or is one of which
# the study cannot tell.
#
# **Time:** 2.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything. `full` wants a GPU.
#
# **Before this one:** [start here](00_start_here.ipynb) and [CPC](06_cpc.ipynb).
#
# An expert needs up to half an hour to outline one hippocampus, slice by slice. A hospital that
# wants to measure memory loss has thousands of scans, and perhaps two that are outlined. The paper
# promises that [pretraining](../docs/glossary.md#pretraining) on the thousands makes up for the
# outlines that are missing. That promise is easy to make and easy to believe. This notebook shows
# one study in which it is kept, then takes the study apart until you could check it alone.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8, 16), "pretrain": 10, "finetune": 10, "seeds": 2},
    "class": {"cases": 100, "filters": (16, 32, 64), "pretrain": 150, "finetune": 60, "seeds": 3},
    "full": {"cases": 200, "filters": (32, 64, 128), "pretrain": 2000, "finetune": 800, "seeds": 6},
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. The effect, first
#
# A study of this package pretrained seven encoders on 120 real hippocampus scans without their
# labels, and fine-tuned each with 1, 2, 5 and 20 labelled scans. Its plan was written down before
# it ran ([few_labels.toml](results/few_labels/few_labels.toml)), and it has six
# [paired seeds](../docs/glossary.md#paired-seed). Here are its rows.
#
# The dotted line is [place alone](../docs/glossary.md#place-alone): the mean label map of the same
# labelled scans. It looks at no scan. A network that is not above it has learnt nothing that
# counts. **Predict before you look:** with how many labels is the gap between pretrained and
# [scratch](../docs/glossary.md#scratch) largest?


# %%
stored = ssl3d.study.load_stored("few_labels")
LABELS = stored.labels  # "1", "2", "5", "20"


def curve_of(arm):
    """Number of labelled scans → the scores of six seeds."""
    return {int(n): stored.scores("finetune", arm, n) for n in LABELS}


for arm in ("cpc", "masked", "masked@network", "scratch", "place"):
    print(f"{arm:15}", {n: round(float(np.mean(dice)), 3) for n, dice in curve_of(arm).items()})

# %%
ARMS = {"cpc": ssl3d.show.COLOURS[0], "masked@network": ssl3d.show.COLOURS[1]}
figure = Figure(figsize=(8.4, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
for arm, colour in {**ARMS, "scratch": "#444444"}.items():
    curve = curve_of(arm)
    means = [np.mean(dice) for dice in curve.values()]
    left.plot(list(curve), means, "o-", color=colour, label=arm)
    left.fill_between(
        list(curve),
        *zip(*((min(d), max(d)) for d in curve.values()), strict=True),
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
floor = [np.mean(dice) for dice in curve_of("place").values()]
left.plot(list(curve), floor, ":", color="black", label="place alone")
for arm, colour in ARMS.items():
    pairs = {n: np.subtract(curve_of(arm)[n], curve_of("scratch")[n]) for n in curve}
    for n, gains in pairs.items():
        right.plot([n] * len(gains), gains, "o", color=colour, alpha=0.4, markersize=4, mew=0)
    right.plot(list(pairs), [gains.mean() for gains in pairs.values()], "-", color=colour)
    print(f"{arm:15} gains", {n: f"{gains.mean():+.3f}" for n, gains in pairs.items()})
right.axhline(0, color="#444444")
for axes, name in ((left, "mean Dice"), (right, "ahead of scratch, a dot a pair")):
    axes.set_xscale("log")
    axes.set_xticks(list(curve), LABELS)
    axes.minorticks_off()
    axes.set(xlabel="labelled scans", ylabel=name)
    ssl3d.show.tidy(axes)
left.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# *What to look at:* on the left a line is the mean of six seeds, its band goes from the worst to
# the best. How far is it from grey to blue, upwards? And how far sideways, to the same height? On
# the right each dot is a pair of runs: how many of CPC's lie above 0?
#
# <details><summary>What we saw</summary>
#
# With one label CPC had a [Dice](../docs/glossary.md#dice) of 0.749 and scratch 0.718; with twenty
# 0.826 and 0.813. So the gain is largest with one label, 0.031, and shrinks to 0.013 with five and
# 0.014 with twenty. All of them are far above place alone, which has 0.595 with one label. On the
# right, all of CPC's dots are above 0. And pretraining the decoder as well (`masked@network`) did
# not help: it stayed below scratch at every number of labels.
#
# </details>
#
# (Why does place alone *fall* at two labels? Of two label maps, a voxel is named only where both
# name it.)
#
# **Fewer labels** is a distance *sideways*: with how many labels does scratch reach the height that
# CPC has with one? Read it off by hand, on a logarithmic axis, and compare with the package, which
# averages over all heights that both curves reach.

# %%
ours, theirs = (
    np.array([np.mean(curve_of(arm)[int(n)]) for n in LABELS]) for arm in ("cpc", "scratch")
)
places = np.log([int(n) for n in LABELS])
for n, height in zip(LABELS[:3], ours, strict=False):
    needed = np.exp(np.interp(height, theirs, places))  # where scratch is as high
    print(f"CPC with {n} labels has {height:.3f}; scratch needs {needed:.1f} for it")
saved = ssl3d.study.claims.savings_of(stored, "cpc")[0]
print(f"on average {saved.factor:.2f} times as many (95 % {saved.low:.2f} to {saved.high:.2f})")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# On average scratch needed 1.89 times as many labels as CPC, and with other seeds and patients that
# might have been 1.41 to 2.83 times. So in this study pretraining nearly halves the outlines that
# have to be drawn. (The 15.4 for five labels is no contradiction: there the curve of scratch is
# nearly flat, and a small step up is a long way to the right.)
#
# </details>
#
# That is the paper's claim, and the gain is modest: nothing like the gap of .76 against .42 that
# the paper shows for whole tumours with a tenth of the labels.
#
# ## 2. Fine-tuning, written out
#
# A pretrained encoder is half a network. A [decoder](../docs/glossary.md#decoder) is put on it,
# which begins at random. Who may learn, and when?
#
# | way | encoder learns | decoder learns |
# |---|---|---|
# | [linear probe](../docs/glossary.md#linear-probe) | never | there is none: one linear layer |
# | frozen | never | always |
# | [warm-up](../docs/glossary.md#warm-up), then all | after a quarter of the steps | always |
# | slower encoder | always, at a tenth of the rate | always |
# | all from the start | always | always |
#
# The paper found the warm-up best. Its reason: while the decoder still answers at random, its
# gradients spoil what the encoder has learnt. Section 3 tries all of them.
#
# With $p_{vc}$ what the network says of class $c$ at voxel $v$, and $y_{vc}$ the truth, the loss is
# cross-entropy plus one minus the Dice of the classes without the background:
#
# $$\mathcal{L} = -\frac{1}{V} \sum_{v,c} y_{vc} \log p_{vc} + 1 - \frac{1}{C}
# \sum_{c=1}^{C} \frac{2 \sum_v p_{vc}\, y_{vc}}{\sum_v p_{vc} + \sum_v y_{vc}} .$$
#
# Here is the loss, and the whole of fine-tuning. Nothing else happens in `ssl3d.finetune`, except
# that it writes checkpoints ([loop.py](../ssl3d_lite/training/loop.py)).


# %%
def loss_of(logits, labels):
    """Cross-entropy plus Dice, without the background."""
    truth = torch.nn.functional.one_hot(labels, logits.shape[1]).movedim(-1, 1)
    p, over = logits.softmax(1), (0, 2, 3, 4)
    dice = (2 * (p * truth).sum(over) + 1e-5) / ((p + truth).sum(over) + 1e-5)
    return torch.nn.functional.cross_entropy(logits, labels) + 1 - dice[1:].mean()


def finetune_by_hand(network, images, labels, steps, warm_up, rate=3e-3, encoder_share=1.0):
    """Fine-tune with all scans in each step; returns the losses."""
    of_encoder = set(network.encoder.parameters())
    others = [weight for weight in network.parameters() if weight not in of_encoder]
    optimizer = torch.optim.AdamW([{"params": [*of_encoder]}, {"params": others}], weight_decay=0)
    losses = []
    for step in range(steps):
        now = rate * (1 - step / steps) ** 0.9  # the learning rate falls to 0
        for group, share in zip(optimizer.param_groups, (encoder_share, 1.0), strict=True):
            group["lr"] = now * share
        network.encoder.requires_grad_(step >= warm_up)  # this line is the warm-up
        loss = loss_of(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% [markdown]
# Does it do what the package does? Two copies of one network, ten steps, a warm-up of four.

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
two = cohort.subset(split.train, 2)
shape = {"filters": size["filters"]}
starts = [ssl3d.make_encoder(cohort, 0, **shape) for _ in range(2)]
twins = [ssl3d.make_network(start, cohort, 0) for start in starts]
images, labels = cohort.images(two), cohort.labels(two).long()
by_hand = finetune_by_hand(twins[0].to(images.device), images, labels, steps=10, warm_up=4)
by_package = ssl3d.finetune(twins[1], cohort, two, steps=10, freeze_encoder_steps=4)
ours, theirs = torch.tensor([np.mean(by_hand), by_package[0]["loss"]])
print(f"mean loss of ten steps: by hand {ours:.4f}, by the package {theirs:.4f}")
print("the same:", torch.allclose(ours, theirs, rtol=1e-2))

# %% [markdown]
# (The package draws weights a little towards 0, and adds in another order. So the last digits may
# differ.)
#
# ## 3. Five ways, side by side
#
# Each seed has an encoder of its own, pretrained by CPC, and two labelled scans of its own. All
# ways begin with the same decoder and see the same scans in the same order, for the same number of
# steps. The *scratch* [twin](../docs/glossary.md#twin) has the encoder's own start: the same random
# weights, before pretraining.
#
# These scans are *virtual* unless you have prepared real ones
# ([how](../docs/data.md)), so the numbers differ from those of section 1.

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
task = ssl3d.make_task("cpc", encoder, seed=0)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
pretrained = []
for seed in range(size["seeds"]):
    if seed:  # the first is the one that is watched
        encoder = ssl3d.make_encoder(cohort, seed, **shape)
        task = ssl3d.make_task("cpc", encoder, seed)
    ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["pretrain"],
        learning_rate=2e-3,
        seed=seed,
        callback=None if seed else view.watch,
    )
    held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    print(f"seed {seed}: right {held_out['accuracy']:.1%}, chance {held_out['chance']:.1%}")
    pretrained.append(encoder)

# %% [markdown]
# **Predict before you run:** which of the five will be ahead after a third of the steps, and which
# at the end? How far behind will the one be whose encoder never learns?

# %%
STEPS = size["finetune"]
WAYS = {  # name: share of the steps in which the encoder is frozen, its share of the rate
    "scratch": (0, 1),
    "all from the start": (0, 1),
    "warm-up": (0.25, 1),
    "slower encoder": (0, 0.1),
    "frozen": (1, 1),
}
validation = split.validation[:8]
on_the_way = tuple(range(10, STEPS + 1, max(10, STEPS // 6 // 10 * 10)))
networks, curves = {}, {way: {step: [] for step in on_the_way} for way in WAYS}
for seed in range(size["seeds"]):
    few = cohort.subset(split.train, 2, seed)
    for way, (frozen, share) in WAYS.items():
        fresh = ssl3d.make_encoder(cohort, seed, **shape)
        if way != "scratch":
            fresh.load_state_dict(pretrained[seed].state_dict())  # a copy to train on
        network = ssl3d.make_network(fresh, cohort, seed)
        settings = ssl3d.FinetuneSettings(
            steps=STEPS,
            freeze_encoder_steps=int(frozen * STEPS),
            encoder_lr_scale=share,
            seed=seed,
            test_at=on_the_way,  # scored on the way; nothing is chosen by it
        )
        hooks = ssl3d.evaluation.eval_hooks(network, cohort, settings, test=validation)
        for row in ssl3d.finetune(network, cohort, few, settings, hooks=hooks):
            if "test" in row:
                curves[way][row["step"]].append(row["test"])
        networks[way, seed] = network
floor = [
    ssl3d.evaluation.evaluate_place(cohort, cohort.subset(split.train, 2, seed), validation).score
    for seed in range(size["seeds"])
]
for way, curve in curves.items():
    early, end = (float(np.mean(curve[step])) for step in (on_the_way[1 % len(curve)], STEPS))
    print(f"{way:19} step {on_the_way[1 % len(curve)]}: {early:.3f}   step {STEPS}: {end:.3f}")
print(f"{'place alone':19} {np.mean(floor):.3f}")

# %%
figure = ssl3d.show.bands(
    {way: {"pretrained": curve} for way, curve in curves.items() if way != "scratch"},
    {"scratch": curves["scratch"]},
    "steps of fine-tuning with 2 labelled scans",
    "Dice on validation scans",
    floors={"place alone": dict.fromkeys(on_the_way, floor)},
)
if ssl3d.scale() != "smoke":
    figure.axes[0].set_ylim(0.35, 0.85)  # the axis does not begin at 0; the four share it
figure

# %% [markdown]
# *What to look at:* when does each curve leave the dotted line behind? Do pretrained and scratch
# cross? Then who is ahead depends on when you stop.
#
# <details><summary>What we saw</summary>
#
# After a third of the steps "all from the start" was ahead, and the warm-up last (0.685): its
# encoder had only just been let go. At the end the means of three seeds were: warm-up 0.774, all
# from the start 0.741, scratch 0.735, frozen 0.733, slower encoder 0.732; place alone had 0.416,
# and all ways are above it after ten steps. So the curves cross, and who is ahead depends on when
# you stop.
#
# The order agrees with the paper, which found the warm-up best, and it proves nothing yet: the ways
# differ by a few hundredths, three seeds and eight validation scans were asked, and all bands
# overlap. The frozen encoder is level with scratch. That does not say that its features are as good
# as trained ones: its decoder and its skips still learn, and can go round the encoder. That is why
# the linear probe, and not this, asks what the *features* are worth. (Note that the axis does not
# begin at 0.)
#
# </details>
#
# What a network finds, in 3D: first the truth of a test scan, then what the pretrained network
# with two labels says. Change `NAME` and look at another.

# %%
image, label = cohort[split.test[0]]
names = {"label_names": cohort.label_names, "spacing": cohort.spacing}
ssl3d.show.Volume3D(image, label, title="truth", **names)

# %%
NAME = "warm-up"
found = ssl3d.evaluation.predict_batch(networks[NAME, 0], cohort.images(split.test[:1]))[0].cpu()
ssl3d.show.Volume3D(image, found, title=NAME, **names)

# %%
other = ssl3d.evaluation.predict_batch(networks["scratch", 0], cohort.images(split.test[:1]))[0]
ssl3d.show.wipe(image, {"scratch": other.cpu(), NAME: found}, label, spacing=cohort.spacing)

# %% [markdown]
# *What to look at:* left of the white line is scratch, right of it the warm-up; drag it. Green is
# right, yellow missed, orange too much, blue the wrong part. Most errors lie along the border: a
# hippocampus is a few voxels thin. In 3D the pretrained network has both parts, smoother than they
# are, and draws the border between them a little too far back.
#
# **Two labels are two labels.** Nothing was chosen here, and the last weights count. Whoever lets
# validation scans choose a checkpoint (`validate_every=10`), a rate or the best of six runs has
# used their labels too: the package counts them and says "with 2 + 8 labels". What choosing is
# worth without any method at all, and why it is more than pretraining gains, is in
# [notebook 13](13_leakage.ipynb).
#
# ## 4. An interval by hand
#
# With the same seed, CPC and scratch had the same labelled scans, decoder and order of batches.
# What luck these bring falls on both and cancels in the difference. So take differences, for each
# seed $s$ and test patient $p$. Their mean is over seeds *and* over patients, and both might have
# been others:
#
# $$d_{sp} = \mu + a_s + b_p + e_{sp} .$$
#
# Radiology has the same problem: readers who read patients. Here seeds are the readers. The mean
# squares of a two-way analysis of variance say how much comes from each, and the variance of
# $\bar d$ is $(MS_\text{seed} + \max(MS_\text{patient} - MS_\text{rest}, 0)) / SP$.


# %%
def patients_scores(arm, labels):
    """Scores of a stored arm, (seed, patient)."""
    rows = sorted(stored.of("finetune", arm, (labels,)), key=lambda row: row["seed"])
    patients = sorted(rows[0]["case_scores"])
    return np.array([[row["case_scores"][patient] for patient in patients] for row in rows])


FEW = ("1", "2", "5")  # as the plan says: fewer labels than the most, averaged
d = np.mean([patients_scores("cpc", n) - patients_scores("scratch", n) for n in FEW], 0)
seeds, patients = d.shape
print("mean difference of each seed:", d.mean(1).round(3))

rest = d - d.mean(1, keepdims=True) - d.mean(0, keepdims=True) + d.mean()
by_seed = patients * d.mean(1).var(ddof=1)
by_patient = seeds * d.mean(0).var(ddof=1)
by_rest = (rest**2).sum() / ((seeds - 1) * (patients - 1))
both = by_seed + max(by_patient - by_rest, 0)
error = np.sqrt(both / (seeds * patients))
df = min((seeds - 1) * (both / by_seed) ** 2, patients - 1)  # Hillis 2007
half = stats.t.ppf(0.975, df) * error
print(f"by hand:     {d.mean():+.4f}, 95 % from {d.mean() - half:+.4f} to {d.mean() + half:+.4f}")

estimate = ssl3d.study.statistics.multi_reader(d)
low, high = estimate.interval()
print(f"the package: {estimate.mean:+.4f}, 95 % from {low:+.4f} to {high:+.4f}")
print("the same:", np.allclose([d.mean() - half, d.mean() + half], [low, high]))
alone = stats.t.ppf(0.975, seeds - 1) * stats.sem(d.mean(1))
print(f"over seeds alone it would be ± {alone:.4f}, over both it is ± {half:.4f}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# All six seeds were ahead, by 0.010 to 0.036, on average by 0.0239, and the interval goes from
# 0.0135 to 0.0343. It does not contain 0. Over seeds alone it would have been as wide here (0.0104
# on each side, as over both): patients hardly differ in whom CPC suits.
#
# </details>
#
# ## 5. Four words
#
# One interval is no verdict. [The rule](../docs/verdicts.md) asks first whether this experiment can
# decide anything: six pairs or more; both arms learnt; scratch with the most labels clearly ahead
# of place alone; room left to gain. If not: **cannot tell**. Then all claims of the plan are judged
# together, by Holm's correction. The claim **holds** if "no gain" is refuted, it **does not hold**
# if a gain worth having (0.02) is refuted, and else it is **undecided**. A run that does not beat
# place alone has *failed*; failures are counted apart.
#
# **Predict before you run:** the plan claimed a gain for seven arms. For how many does it hold?

# %%
by_name = {claim.name: claim for claim in ssl3d.study.claims.claims(stored)}
claim = by_name["better with few labels"]
for found in claim.findings:
    print(f"{found.arm:15} {found.verdict:14} {ssl3d.study.sentences.brief(found.comparison)}")
effects = [
    ssl3d.show.Effect(each.arm, each.mean, each.interval, each.learnt, each.verdict)
    for each in (found.comparison for found in claim.findings)
    if each.mean is not None
]
ssl3d.show.forest({"against scratch of the same kind, 1 to 5 labels": effects}, 0.02)

# %%
for found in claim.findings[:3]:
    print(ssl3d.study.sentences.finding_sentence(stored, claim, found), end="\n\n")
print(*ssl3d.study.sentences.each_arm(stored, claim)[-3:], sep="\n")

# %% [markdown]
# *What to look at:* the small dots are single pairs. Cover all but one with your hand: what would
# you have concluded?
#
# <details><summary>What we saw</summary>
#
# It holds for two arms, CPC and masked reconstruction (both +0.024). It does not hold for
# `masked@network`: a gain of 0.02 is ruled out, it is behind by 0.013. For the four puzzles with
# batch norm the verdict is *cannot tell*, since too many runs failed, of scratch as well: for
# jigsaw no pair was left. How firm is "holds"? The same plan, run by an earlier version of the
# package, had left masked reconstruction *undecided*, with nearly the same mean: its own interval
# was above 0, but seven claims share the level
# ([both](results/README.md#earlier-studies-and-why-they-decide-nothing)). So it lies on the border,
# and CPC, which held twice, does not. Two random starts of scratch lie 0.012 apart; *that* is
# noise. The [collapsed](../docs/glossary.md#collapsed) control, which was trained on a puzzle
# without an answer, is at +0.009: a little comes from *any* training.
#
# </details>
#
# ## 6. How many pairs does it take?
#
# Suppose the true gain is 0.02, and pairs with one label scatter as they did in the study. How
# often would $n$ pairs find it? A textbook's formula takes the spread as known (normal). With few
# pairs it is estimated from the pairs themselves, so $t$ has $n - 1$ degrees of freedom. With two
# pairs an interval is 12.7 standard errors wide on each side. **Predict before you run:** how many
# pairs until it is found four times in five? And how often do two pairs find it?

# %%
GAIN = 0.02
generator = np.random.default_rng(0)
one = (patients_scores("cpc", "1") - patients_scores("scratch", "1")).mean(1)
spread = one.std(ddof=1)
print(f"a true gain of {GAIN}; six pairs with one label: {one.round(3)}")
print(f"their standard deviation is {spread:.3f}")
for n in (2, 3, 6, 12, 17):
    critical = stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(critical, n - 1, GAIN * np.sqrt(n) / spread)  # noncentral t
    drawn = generator.normal(GAIN, spread, (20000, n))
    simulated = np.mean(drawn.mean(1) > critical * drawn.std(1, ddof=1) / np.sqrt(n))
    formula = stats.norm.sf(1.96 - GAIN * np.sqrt(n) / spread)
    lost = np.mean(drawn.mean(1) < 0)
    print(
        f"{n:2} pairs: found {power:4.0%} (simulated {simulated:4.0%}, normal formula "
        f"{formula:4.0%}); a loss is seen in {lost:4.0%}"
    )

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Two pairs find a true gain of 0.02 in 9 % of studies, where the formula promises 28 %; six in 49
# %; twelve find it in 87 %. And two pairs show a *loss* in 8 %. So a study of three seeds that
# finds nothing has said nothing.
#
# </details>
#
# The other way round: if there is *no* gain, how often is one claimed? **Predict before you run:**
# patients may differ in which arm suits them. Do more *seeds* then make an interval over seeds
# alone safer? A claim should be false in 2.5 %.

# %%
statistics = ssl3d.study.statistics
REPEATS = 20 if ssl3d.scale() == "smoke" else 200
measured = statistics.spread_of(d)
for world, of_patients in (("as measured", measured.cases), ("patients differ", 0.03**2)):
    for seeds in (3, 6, 12):
        said = {"seeds alone": 0, "seeds and patients": 0}
        for _ in range(REPEATS):
            values = generator.normal(0, measured.rest**0.5, (seeds, 40))
            values += generator.normal(0, measured.seeds**0.5, (seeds, 1))
            values += generator.normal(0, of_patients**0.5, (1, 40))
            half = stats.t.ppf(0.975, seeds - 1) * stats.sem(values.mean(1))
            said["seeds alone"] += values.mean() - half > 0
            said["seeds and patients"] += statistics.multi_reader(values).p_above(0) <= 0.025
        shares = ", ".join(f"{name} {count / REPEATS:.1%}" for name, count in said.items())
        print(f"{world:15} {seeds:2} seeds: claims a gain by {shares}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Where patients differ, an interval over seeds alone was wrong in 3.5 % with three seeds, and in
# 11.5 % with twelve: more seeds only make sure of *these* patients. Over both it stayed below the
# 2.5 % that were promised (0.5 %, 2.0 %, 2.0 %). Where patients hardly differ, as measured, both
# are about right. (Of 200 repeats 2.5 % are five. Such a count is easily two or three off by luck,
# so do not read more into single rows.)
#
# </details>
#
# **Several claims, several looks.** A study that tests twenty arms will find something, by luck. So
# will one that looks again after each new seed ([notebook 13](13_leakage.ipynb) counts how often).
# That is why the study of section 1 was planned with six seeds, and looked at once.
#
# ## 7. Your own three pairs
#
# The runs of section 3, on test patients: warm-up against scratch.

# %%
rows = {}
for way in ("warm-up", "scratch"):
    scored = [
        ssl3d.evaluate(networks[way, seed], cohort, split.test, hausdorff=False, progress=False)
        for seed in range(size["seeds"])
    ]
    rows[way] = np.array([result.case_scores for result in scored])
own = rows["warm-up"] - rows["scratch"]
estimate = statistics.multi_reader(own)
print("pairs:", own.mean(1).round(3))
print(f"mean {estimate.mean:+.3f}, 95 % {estimate.interval()[0]:+.3f}", end=" ")
print(f"to {estimate.interval()[1]:+.3f}; {len(own)} seeds, {statistics.MIN_SEEDS} are needed")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The pairs were 0.041, 0.1 and 0.022, the interval went from −0.047 to 0.156. All three are above
# zero, their mean is large (0.054), and the interval still contains 0: three pairs that differ as
# these do can bear no more. Three pairs get no verdict, whatever they say. To get one, raise
# `seeds` to six *before* you look.
#
# </details>
#
# ## Exercise
#
# A colleague reports: "Pretraining gives +0.09 Dice." On asking, you get three pairs: +0.09, +0.01
# and +0.04. Work out the interval over seeds. How many pairs like these would bring it above zero?
# And what else do you ask for, before you believe it?
#
# <details><summary>Hint</summary>
#
# `stats.t.ppf(0.975, n - 1) * stats.sem(pairs)` is half the width. Repeat the list to see what more
# pairs of the same kind would do: `2 * [0.09, 0.01, 0.04]`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# for pairs in ([0.09, 0.01, 0.04], 2 * [0.09, 0.01, 0.04]):
#     half = stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(pairs)
#     print(len(pairs), f"{np.mean(pairs) - half:+.3f} to {np.mean(pairs) + half:+.3f}")
# ```
#
# Three pairs, all above zero, with a mean of nearly +0.05, have an interval that reaches below
# zero: with so few it is more than four standard errors wide on each side. Six such pairs would
# bring it above zero, over seeds alone. Ask for the patients' scores, since they might have been
# others; for place alone, since a run below it has failed; for the other arms that were tried; and
# whether six were planned, or three and then three more. And the +0.09 that was reported is the
# best of three, not the mean.
#
# </details>
#
# ## Where to go from here
#
# The study of section 1 compares with a *strong* network from scratch. What happens if it is weak?
# That is the next notebook: [a weak baseline makes a strong claim](12_weak_baseline.ipynb). How a
# claim can be false although all numbers are right: [leakage](13_leakage.ipynb).
#
# ## What the literature did next
#
# - Raghu et al., [Transfusion](https://arxiv.org/abs/1902.07208), NeurIPS 2019: pretraining on
#   photographs hardly changed final scores on medical images, and a part of the faster convergence
#   came from the *scale* of the weights alone.
# - Kumar et al., [Fine-Tuning can Distort Pretrained
#   Features](https://arxiv.org/abs/2202.10054), ICLR 2022: why training all at once can spoil good
#   features, and that a linear probe first, a relative of the warm-up, helps.
# - Bouthillier et al., [Accounting for Variance](https://arxiv.org/abs/2103.03098), MLSys 2021:
#   where variance comes from, and how many runs a comparison needs.
# - Varoquaux and Cheplygina, [Machine learning for medical
#   imaging](https://doi.org/10.1038/s41746-022-00592-y), npj Digital Medicine 2022: what goes
#   wrong in such studies.
#
# **References.** Taleb et al., [3D Self-Supervised Methods for Medical
# Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020. Obuchowski and Rockette, [Hypothesis
# testing of diagnostic accuracy](https://doi.org/10.1080/03610919508813243), 1995. Hillis, [A
# comparison of denominator degrees of freedom](https://doi.org/10.1002/sim.2532), 2007. Antonelli
# et al., [The Medical Segmentation Decathlon](https://doi.org/10.1038/s41467-022-30695-9), 2022.
# More in [references](../docs/references.md).

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
# # Fine-tuning: what is a fair baseline, and when may you say "it helps"?
#
# **You will be able to:** fine-tune a pretrained encoder with and without a warm-up, frozen, or by
# a probe alone; choose a checkpoint without touching the test scans; name the controls that a claim
# needs; and turn paired seeds into a difference with an interval.
#
# **Time:** about three minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under
# one at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; about fifteen minutes
# on a GPU at `full`.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "pretrain": 10, "finetune": 10, "every": 10}
    | {"patch": (16, 16, 16), "pairs": 2, "pretrainings": 1, "validation": 2, "draws": 1},
    "class": {"cases": 100, "filters": (16, 32, 64), "pretrain": 100, "finetune": 80}
    | {"every": 20, "patch": (24, 32, 24), "pairs": 3, "pretrainings": 1, "validation": 4}
    | {"draws": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "pretrain": 600, "finetune": 400}
    | {"every": 50, "patch": None, "pairs": 5, "pretrainings": 5, "validation": 20, "draws": 3},
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# A pretrained encoder is half a network. A decoder is put on it, which begins at random, and both
# see a few labelled scans. Who may learn, and when? Four answers, and each asks another question.

# %%
WAYS = {  # name: when encoder and decoder learn, as shares of the steps
    "linear probe": ((), ()),
    "frozen encoder": ((), (0, 1)),
    "warm-up, then all": ((0.25, 0.75), (0, 1)),
    "all from the start": ((0, 1), (0, 1)),
}
figure = Figure(figsize=(7, 2.4), layout="constrained")
axes = figure.subplots()
for row, (encoder_part, decoder_part) in enumerate(WAYS.values()):
    for bar, offset, colour in ((encoder_part, 0.05, 0), (decoder_part, -0.35, 1)):
        axes.broken_barh(
            [bar] if bar else [], (row + offset, 0.3), color=ssl3d.show.COLOURS[colour]
        )
axes.set_yticks(range(4), list(WAYS))
axes.set(xlabel="share of the steps", xlim=(0, 1), ylim=(-0.6, 3.5))
axes.plot([], [], color=ssl3d.show.COLOURS[0], linewidth=6, label="encoder learns")
axes.plot([], [], color=ssl3d.show.COLOURS[1], linewidth=6, label="decoder learns")
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# *What to look at:* the probe has neither bar: on the frozen features stands one linear classifier
# and nothing else. The paper found the warm-up best: while the decoder still answers at random, its
# gradients would only spoil what the encoder has learnt.
#
# ## 2. The maths
#
# With $\theta_e$ the encoder's weights and $\theta_d$ the decoder's, both minimise cross-entropy
# plus Dice on the labelled scans,
#
# $$\mathcal{L}(\theta_e, \theta_d) = \mathrm{CE} + 1 - \frac{1}{C} \sum_{c=1}^{C}
# \frac{2 \sum_v p_{vc}\, y_{vc}}{\sum_v p_{vc} + \sum_v y_{vc}},$$
#
# over voxels $v$ and classes $c$ without the background. Up to step $s_w$ the encoder's gradient is
# set aside: $\nabla_{\theta_e} := 0$. In the code that is one line, called before each step:

# %%
ssl3d.show.source(ssl3d.training.Finetuning.at_step)

# %% [markdown]
# Which scans have labels is a draw as well. Set its seed by hand. Draws are nested: two labelled
# scans are the first two of five.

# %%
SEED = 0
for amount in (1, 2, 5):
    print(amount, [cohort.cases[n].id for n in cohort.subset(split.train, amount, SEED)])
image, label = cohort[cohort.subset(split.train, 1, SEED)[0]]
ssl3d.show.segmentations(
    np.asarray(image[0], np.float32), {"label": np.asarray(label)}, cohort.label_names
)

# %% [markdown]
# *What to look at:* this scan, and one more, will be all the labels there are. Change `SEED`: how
# different are the scans that you might have been given?
#
# ## 3. Something to fine-tune
#
# A short pretraining by CPC (notebook 06). **Predict before you run:** with 45 patches a scan and
# two scans a batch, what would guessing reach?

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("cpc", encoder, seed=0)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
pretrained = []
for seed in range(size["pretrainings"]):
    if seed:  # the first is the one that is watched
        encoder = ssl3d.make_encoder(cohort, seed, filters=size["filters"])
        task = ssl3d.make_task("cpc", encoder, seed)
    history = ssl3d.pretrain(
        task,
        encoder,
        cohort,
        steps=size["pretrain"],
        learning_rate=2e-3,
        seed=seed,
        callback=None if seed else view.watch,
    )
    held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation)
    print(f"seed {seed}: accuracy {held_out['accuracy']:.3f}, chance {held_out['chance']:.3f}")
    pretrained.append(encoder)
ssl3d.show.learning_curves({"CPC": history}, {"CPC": held_out})

# %% [markdown]
# *What to look at:* the dot, the score on validation scans, against the dashed line.
#
# ## 4. Four ways, one seed
#
# All begin with the same decoder, see the same two labelled scans in the same order, for the same
# number of steps. The **scratch twin** has the pretrained encoder's own start: the same random
# weights, before pretraining. Every few steps the validation scans are scored, and the best weights
# are kept.

# %%
validation = split.validation[: size["validation"]]


def tune(encoder, seed, warm_up=0.0, test_at=()):
    """Fine-tune with two labelled scans: the network of the best checkpoint, and its history."""
    network = ssl3d.make_network(deepcopy(encoder), cohort, seed)
    settings = ssl3d.FinetuneSettings(
        steps=size["finetune"],
        freeze_encoder_steps=int(warm_up * size["finetune"]),
        patch=size["patch"],
        validate_every=size["every"],
        seed=seed,
        test_at=test_at,
    )
    few = cohort.subset(split.train, 2, seed)
    test = split.test if test_at else ()
    hooks = ssl3d.evaluation.eval_hooks(network, cohort, settings, validation=validation, test=test)
    return network, ssl3d.finetune(network, cohort, few, settings, hooks=hooks)


# %%
start = ssl3d.make_encoder(encoder.settings, seed=0)  # what the pretrained encoder was before
milestones = tuple(range(size["every"], size["finetune"] + 1, size["every"]))
ways = {
    "scratch": tune(start, seed=0, test_at=milestones),
    "CPC, all from the start": tune(pretrained[0], seed=0),
    "CPC, warm-up": tune(pretrained[0], seed=0, warm_up=0.25),
    "CPC, frozen": tune(pretrained[0], seed=0, warm_up=1.0),
}

# %%
figure = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = figure.subplots()
for colour, (name, (_, rows)) in zip(ssl3d.show.COLOURS, ways.items(), strict=False):
    seen = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    axes.plot(*zip(*seen, strict=True), "o-", color=colour, label=name)
    print(f"{name:24} best validation Dice {max(dice for _, dice in seen):.3f}")
axes.set(xlabel="step of fine-tuning", ylabel="validation Dice")
axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* do the curves cross? Then the verdict depends on when you stop. And the frozen
# one: its decoder and skips still learn, and can go round a poor encoder. That is why the probe, in
# section 6, speaks of the encoder alone.
#
# What the networks say of a validation scan, to scroll through (change `NAME`):

# %%
NAME = "CPC, warm-up"
image, label = cohort[validation[0]]
prediction = ssl3d.evaluation.predict_batch(ways[NAME][0], cohort.images(validation[:1]))[0].cpu()
ssl3d.show.Slices(
    image[0], prediction, label_names=cohort.label_names, spacing=cohort.spacing, title=NAME
)

# %% [markdown]
# ### A scan that was never prepared
#
# So far every scan came from the cohort. The next one comes as a file. A network knows how the
# scans that it learnt from were prepared: their size, voxels and intensities. `predict_images`
# does the same to raw files, and lays each answer over its file: voxel for voxel, under the same
# header. On the command line it is `ssl3d predict --model DIR --images FOLDER --out FOLDER`. Here
# we write three patients whom no network has met.

# %%
RUNS = f"runs/08-{ssl3d.scale()}"
new = ssl3d.data.make_cohort("virtual-hippocampus", f"{RUNS}/new", cases=3, seed=1)
RAW = new / "raw" / "imagesTr"  # your own folder goes here
answers = ssl3d.predict_images(ways[NAME][0], RAW, f"{RUNS}/predictions")
print(answers)
over = answers.paths[0]
ssl3d.show.scan_slices(RAW / over.name, over)

# %% [markdown]
# The same two files in napari (`ssl3d show SCAN --labels PREDICTION` on the command line); without
# a display it is a picture, or the view above. *What to look at:* the wheel goes through the
# slices, and below you read where the mouse is, in mm of the scanner.

# %%
ssl3d.show.open_scan(RAW / over.name, over)

# %% [markdown]
# ## 5. Which checkpoint counts?
#
# The last one, or the best one: but best *by what*? For the scratch twin the test scans were scored
# after the same steps, for this lesson alone. **Predict before you run:** you choose the checkpoint
# by its test score, and report that score. Can it be lower than that of the checkpoint chosen on
# validation scans? On average over many runs, which way does it err?

# %%
rows = [row for row in ways["scratch"][1] if "validation" in row and "test" in row]
for row in rows:
    print(f"step {row['step']:4}: validation {row['validation']:.3f}, test {row['test']:.3f}")
honest = max(rows, key=lambda row: row["validation"])
print(f"chosen on validation scans: step {honest['step']}, test {honest['test']:.3f}")
print(f"chosen on the test scans:   {max(row['test'] for row in rows):.3f} (never report this)")

# %% [markdown]
# The second number can never be below the first. So it is flattered, by a little in each run, and
# most where checkpoints differ most, as they do with few labels. The authors' code tests the
# last epoch; it lets a network from scratch train for 150 epochs and a pretrained one for 400.
#
# ## 6. What is a fair baseline?
#
# | control | what it has | what it answers |
# |---|---|---|
# | random, of each norm | the same layers, untrained | is it *learning* at all? |
# | collapsed | a puzzle solved by telling nothing | is it *this* puzzle, or any training? |
# | scratch twin | same decoder, labels, order, steps | does it help fine-tuning? |
# | oracle | all training labels | how much can be gained at most? |
#
# Zero is no baseline. A random encoder is a bank of random filters, and a linear classifier can do
# much with that. How much depends on the norm and on the start, so there are two of each.

# %%
nothing = ssl3d.make_encoder(encoder.settings, seed=0)
edge = 16 if ssl3d.scale() == "smoke" else 24
collapsed = ssl3d.make_task("collapsed", nothing, seed=0, crop_size=edge)
ssl3d.pretrain(collapsed, nothing, cohort, steps=max(10, size["pretrain"] // 2), batch=8)
print(
    {
        k: round(v, 4)
        for k, v in ssl3d.evaluation.proxy_score(collapsed, nothing, cohort, validation).items()
    }
)
oracle = ssl3d.make_network(ssl3d.make_encoder(encoder.settings, seed=0), cohort, seed=0)
ssl3d.finetune(oracle, cohort, steps=size["finetune"], patch=size["patch"], batch=4)

# %%
draws = [cohort.subset(split.train, 2, seed) for seed in range(size["draws"])]
arms = {"CPC": pretrained[:1], "collapsed": [nothing], "oracle (all labels)": [oracle.encoder]}
for norm in ("batch", "group"):
    starts = [ssl3d.make_encoder(encoder.settings, seed, norm=norm) for seed in (100, 101)]
    arms[f"random, {norm} norm"] = starts
device, probed = cohort.images([0]).device, {}
for arm, encoders in arms.items():
    ready = [
        ssl3d.evaluation.recalibrated(each.to(device), cohort, split.pretrain[:16])
        for each in encoders
    ]
    found = [ssl3d.evaluation.linear_probes(each, cohort, draws, split.test) for each in ready]
    probed[arm] = [result.mean_dice for results in found for result in results]
    print(f"{arm:20} mean {np.mean(probed[arm]):.3f}", [round(dice, 3) for dice in probed[arm]])

# %%
figure = Figure(figsize=(6.4, 2.4), layout="constrained")
axes = figure.subplots()
for row, (arm, dice) in enumerate(probed.items()):
    colour = ssl3d.show.COLOURS[0] if arm == "CPC" else "#777777"
    axes.plot(dice, [row] * len(dice), "o", color=colour, alpha=0.6)
    axes.plot(np.mean(dice), row, "|", color=colour, markersize=18)
axes.set_yticks(range(len(probed)), list(probed))
axes.set(xlabel="Dice of the linear probe with 2 labelled scans, test scans", ylim=(4.5, -0.5))
ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* measure CPC's distance to each grey row, one after the other. Which control
# would you have left out to make the gain look large?
#
# ## 7. Paired seeds
#
# Scores of fine-tuning with two labelled scans vary a lot: with which scans have labels, how the
# decoder begins, in which order batches come. A **pair** shares all that between both arms, so
# that its luck falls on both and cancels in the difference $d_s = a_s - b_s$. The claim is about
# the mean of $d_s$ over seeds $s$, with its interval
#
# $$\bar d \pm t_{0.975,\,n-1}\, \frac{\mathrm{sd}(d)}{\sqrt{n}}.$$

# %%
known = {("CPC", 0): ways["CPC, warm-up"], ("scratch", 0): ways["scratch"]}  # from section 4
pairs = {"CPC": [], "scratch": []}
for seed in range(size["pairs"]):
    before = ssl3d.make_encoder(encoder.settings, seed % len(pretrained))
    twins = {"CPC": (pretrained[seed % len(pretrained)], 0.25), "scratch": (before, 0.0)}
    for arm, (candidate, warm_up) in twins.items():
        network, _ = known.get((arm, seed)) or tune(candidate, seed, warm_up)
        dice = ssl3d.evaluate(
            network, cohort, split.test, hausdorff=False, progress=False
        ).mean_dice
        row = {"protocol": "finetune", "labels": "2", "steps": size["finetune"], "fold": 0}
        pairs[arm].append(row | {"seed": seed, "score": dice})

# %%
for ours, theirs in zip(pairs["CPC"], pairs["scratch"], strict=True):
    a, b = ours["score"], theirs["score"]
    print(f"seed {ours['seed']}: CPC {a:.3f}, scratch {b:.3f}, difference {a - b:+.3f}")
WORTHWHILE = 0.02  # Dice: the smallest gain that would change what you do
here = ssl3d.study.comparison.compare(
    ("CPC", pairs["CPC"]), ("scratch", pairs["scratch"]), WORTHWHILE
)
low, high = ssl3d.study.statistics.interval(list(here.differences.values()))
print(f"mean {here.mean:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}: {here.verdict}")
if len(pretrained) < size["pairs"]:
    print("All pairs share one pretraining, so its own luck is not in this interval.")

# %% [markdown]
# *Three* verdicts are possible. It **holds** if the whole interval lies above zero. It **does not
# hold** if even the upper end is below what would be worth having. Else it is **undecided**, which
# is a result too: it says that more seeds are needed. Beside ours now pairs from a study of real
# hippocampi, where each seed had its own pretraining and 200 steps of fine-tuning.


# %%
def effect(name, found):
    singles = list(found.differences.values())
    return ssl3d.show.Effect(name, found.mean, found.interval, singles, found.verdict)


effects = [effect("here", here)]
for name in ("longer_finetuning", "longer_pretraining"):
    try:
        study = ssl3d.study.load_results(f"results/tries/{name}")
    except ssl3d.InputError:
        print("its results lie in notebooks/results: start this notebook in its own folder")
        break
    arms_of = {arm: (arm, study.of("finetune", arm)) for arm in ("cpc", "scratch")}
    found = ssl3d.study.comparison.compare(arms_of["cpc"], arms_of["scratch"], WORTHWHILE)
    print(f"{name}: {ssl3d.study.sentences.sentence(study, found)}")
    effects.append(effect(name, found))
ssl3d.show.forest({"CPC against scratch, 2 labelled scans": effects}, WORTHWHILE)

# %% [markdown]
# *What to look at:* the small dots are single pairs. Cover all but one with your hand: what would
# you have concluded?
#
# ## 8. Why one seed is an anecdote
#
# Suppose the true gain is as large as is worth having, and pairs scatter as they did above, here
# and in the longer studies. **Predict before you run:** how often does a single pair show a *loss*?
# And the mean of three, of ten? How many pairs does it take to find such a gain four times in five?
# The usual formula is
#
# $$n \approx (1.96 + 0.84)^2\, \mathrm{sd}(d)^2 / \mathrm{gain}^2.$$

# %%
generator = np.random.default_rng(0)
scatters = {each.name: float(np.std(each.singles, ddof=1)) for each in effects}
for name, scatter in scatters.items():
    needed = max(2, int(np.ceil((2.8 * scatter / WORTHWHILE) ** 2)))
    print(f"{name}: a pair's standard deviation is {scatter:.3f}; pairs needed: {needed}")
    for seeds in (1, 3, 10):
        means = generator.normal(WORTHWHILE, scatter, (20000, seeds)).mean(1)
        print(f"   {seeds:2} seeds: {np.mean(means < 0):4.0%} of all studies see a loss")

# %% [markdown]
# And the other way round: if there is *no* gain, how often does the verdict say "holds"? And if
# there is one, how often does it find it?

# %%
REPEATS = 10 if ssl3d.scale() == "smoke" else 100
for name, scatter in scatters.items():
    for gain in (0.0, WORTHWHILE):
        for seeds in (3, 10):
            studies = generator.normal(gain, scatter, (REPEATS, seeds))
            said = [
                ssl3d.study.statistics.verdict(differences.tolist(), WORTHWHILE)
                for differences in studies
            ]
            holds = said.count("holds") / REPEATS
            print(f"{name:18} gain {gain}, {seeds:2} seeds: holds in {holds:4.0%}")

# %% [markdown]
# *What to look at:* where nothing is to be found, "holds" should be rare at any number of seeds.
# What makes a true gain visible: more seeds, or less scatter? The studies ran for more steps than
# you did. Which of the two does that buy? (And mind that a scatter measured on three pairs is
# itself a rough guess.)
#
# ## 9. Exercise
#
# A colleague reports: "Pretraining gives +0.09 Dice." On asking, you get three pairs: +0.09, +0.01
# and +0.04. Work out the interval and the verdict. Then replace the third by +0.00. How many pairs
# like the first three would it take for a clear answer?
#
# <details><summary>Hint</summary>
#
# `ssl3d.study.statistics.interval([0.09, 0.01, 0.04])` gives the ends, `verdict([…], 0.02)` of the
# same module the word. Repeat the list to see what more pairs of the same kind would do: `3 *
# [0.09, 0.01, 0.04]`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# statistics = ssl3d.study.statistics
# for reported in ([0.09, 0.01, 0.04], [0.09, 0.01, 0.0], 2 * [0.09, 0.01, 0.04]):
#     low, high = statistics.interval(reported)
#     print(len(reported), f"{low:+.3f} to {high:+.3f}", statistics.verdict(reported, 0.02))
# print(statistics.verdict([0.09], 0.02))
# ```
#
# Three pairs, all above zero, with a mean of nearly +0.05, are undecided: with so few, the interval
# is more than four standard errors wide on each side. Six such pairs would do. And the +0.09 that
# was reported is the best of three, not the mean: one pair has no interval at all.
#
# </details>
#
# ## What the literature did next
#
# - Raghu et al. (2019) found that pretraining on photographs hardly changed final scores on medical
#   images, and that part of the faster convergence came from the mere *scale* of the weights.
# - Kumar et al. (2022) showed why fine-tuning all at once can distort good features, and that a
#   linear probe first, the relative of the warm-up, helps.
# - Bouthillier et al. (2021) measured where variance comes from (data split, start, order) and how
#   many runs a comparison needs; Varoquaux and Cheplygina (2022) list what goes wrong in studies of
#   medical images.
# - nnU-Net Revisited (Isensee et al. 2024) found that many reported gains vanish beside a baseline
#   trained with equal care.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Raghu et al., *Transfusion*, NeurIPS 2019. Kumar et al., *Fine-Tuning Can Distort Pretrained
# Features and Underperform Out-of-Distribution*, ICLR 2022. Bouthillier et al., *Accounting for
# Variance in Machine Learning Benchmarks*, MLSys 2021. Varoquaux and Cheplygina, *Machine Learning
# for Medical Imaging*, npj Digital Medicine 2022. Isensee et al., *nnU-Net Revisited*, MICCAI
# 2024.

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
# a probe alone; say which labels a checkpoint has cost; name the floor and the controls that a
# claim needs; and say of paired seeds and patients whether a claim holds, does not hold, is
# undecided, or cannot be told.
#
# **Time:** about six minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under
# one at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; about fifteen minutes
# on a GPU at `full`.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
from dataclasses import replace
import numpy as np
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "pretrain": 10, "finetune": 10, "every": 10}
    | {"patch": (16, 16, 16), "pairs": 2, "validation": 2, "draws": 1},
    "class": {"cases": 100, "filters": (16, 32, 64), "pretrain": 60, "finetune": 100}
    | {"every": 20, "patch": (24, 32, 24), "pairs": 6, "validation": 4, "draws": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "pretrain": 600, "finetune": 400}
    | {"every": 50, "patch": None, "pairs": 12, "validation": 20, "draws": 3},
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
# A short pretraining by CPC (notebook 06), once for each pair of section 7: an encoder's own luck
# belongs to the comparison. **Predict before you run:** with 45 patches a scan and two scans a
# batch, what would guessing reach?

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])
task = ssl3d.make_task("cpc", encoder, seed=0)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:2]))
view

# %%
pretrained = []
for seed in range(size["pairs"]):
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
# weights, before pretraining. Every few steps validation scans are scored, to see how it goes.
#
# The floor is **place alone**: the mean label map of the same two scans. It looks at no scan, and
# where crops are centred on an organ it is a fair answer. A network that does not beat it has
# learnt nothing that counts.

# %%
validation = split.validation[: size["validation"]]


def tune(encoder, seed, warm_up=0.0, watch=False):
    """Fine-tune with two labelled scans: the network, and its history.

    watch: score validation and test scans on the way, and keep the weights that are best on the
        validation scans. Else the last weights count, and two labels are all that was used.
    """
    network = ssl3d.make_network(deepcopy(encoder), cohort, seed)
    settings = ssl3d.FinetuneSettings(
        steps=size["finetune"],
        freeze_encoder_steps=int(warm_up * size["finetune"]),
        patch=size["patch"],
        validate_every=size["every"] if watch else 0,
        seed=seed,
        test_at=tuple(range(size["every"], size["finetune"] + 1, size["every"])) if watch else (),
    )
    scored = {"validation": validation, "test": split.test} if watch else {}
    hooks = ssl3d.evaluation.eval_hooks(network, cohort, settings, **scored)
    few = cohort.subset(split.train, 2, seed)
    return network, ssl3d.finetune(network, cohort, few, settings, hooks=hooks)


def place_alone(seed, cases):
    """The score of the mean label map of the same two labelled scans."""
    return ssl3d.evaluation.evaluate_place(cohort, cohort.subset(split.train, 2, seed), cases)


# %%
start = ssl3d.make_encoder(encoder.settings, seed=0)  # what the pretrained encoder was before
ways = {
    "scratch": tune(start, seed=0, watch=True),
    "CPC, all from the start": tune(pretrained[0], seed=0, watch=True),
    "CPC, warm-up": tune(pretrained[0], seed=0, warm_up=0.25, watch=True),
    "CPC, frozen": tune(pretrained[0], seed=0, warm_up=1.0, watch=True),
}

# %%
figure = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = figure.subplots()
for colour, (name, (_, rows)) in zip(ssl3d.show.COLOURS, ways.items(), strict=False):
    seen = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    axes.plot(*zip(*seen, strict=True), "o-", color=colour, label=name)
    print(f"{name:24} best validation Dice {max(dice for _, dice in seen):.3f}")
floor = place_alone(0, validation).score
axes.axhline(floor, color="black", linestyle=":", label="place alone")
print(f"{'place alone':24} validation Dice {floor:.3f}")
axes.set(xlabel="step of fine-tuning", ylabel="validation Dice")
axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* when does each curve leave the dotted line of place alone behind? Do the curves
# cross? Then the verdict depends on when you stop. And the frozen
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
RUNS = f"runs/11-{ssl3d.scale()}"
new = ssl3d.data.make_cohort("virtual-hippocampus", f"{RUNS}/new", cases=3, seed=1)
RAW = new / "raw" / "imagesTr"  # your own folder goes here
answers = ssl3d.predict_images(ways[NAME][0], RAW, f"{RUNS}/predictions")
print(answers)
over = answers.paths[0]
ssl3d.show.scan_slices(RAW / over.name, over)

# %% [markdown]
# The same two files in napari (`ssl3d show SCAN --prediction MAP` on the command line); without
# a display it is a picture, or the view above. *What to look at:* the wheel goes through the
# slices, and below you read where the mouse is, in mm of the scanner.

# %%
ssl3d.show.open_scan(RAW / over.name, prediction=over)

# %% [markdown]
# ## 5. Which checkpoint counts, and how many labels did it cost?
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
print(f"the last, with 2 labels: test {rows[-1]['test']:.3f}")
print(f"chosen on validation scans, with 2 + {len(validation)} labels: test {honest['test']:.3f}")
print(f"chosen on the test scans: {max(row['test'] for row in rows):.3f} (never report this)")

# %% [markdown]
# The third number can never be below the others. So it is flattered, by a little in each run, and
# most where checkpoints differ most, as they do with few labels. The second is honest of the test
# scans, but not of the labels: validation scans have labels too, and who chooses by them has used
# them. **Two labels are two labels.** So by default nothing is chosen (`validate_every=0`), and the
# last weights count. From here on they do. The authors' code tests the last epoch too; it lets a
# network from scratch train for 150 epochs and a pretrained one for 400.
#
# ## 6. What is a fair baseline?
#
# | control | what it has | what it answers |
# |---|---|---|
# | place alone | the mean label map of the same scans | is the *scan* looked at? |
# | random, several kinds | the same layers, untrained | is it *learning* at all? |
# | collapsed | a puzzle solved by telling nothing | is it *this* puzzle, or any training? |
# | scratch twin | same decoder, labels, order, steps | does it help fine-tuning? |
# | oracle | all training labels | how much can be gained at most? |
#
# Zero is no baseline. A random encoder is a bank of random filters, and a linear classifier can do
# much with that. How much depends on its kind and its start. One without any norm is often the best
# of them, so a lead over a weaker kind is none.
#
# And features can be ahead only because they tell *where* a voxel lies; padding is enough for that.
# So the probe is read twice: from features, and from features with the place beside them
# (`probe+place`). Where every probe is told the place, nobody can be ahead by it.

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
_ = ssl3d.finetune(oracle, cohort, steps=size["finetune"], patch=size["patch"], batch=4)

# %%
draws = [cohort.subset(split.train, 2, seed) for seed in range(size["draws"])]
arms = {"CPC": pretrained[:2], "collapsed": [nothing], "oracle (all labels)": [oracle.encoder]}
for norm in ("instance", "batch", "none"):
    starts = [ssl3d.make_encoder(encoder.settings, seed, norm=norm) for seed in (100, 101)]
    arms[f"random, norm: {norm}"] = starts
device, probed = cohort.images([0]).device, {"probe": {}, "probe+place": {}}
for arm, encoders in arms.items():
    for each in encoders:
        ready = ssl3d.evaluation.recalibrated(each.to(device), cohort, split.pretrain[:16])
        found = ssl3d.evaluation.probes_by_protocol(ready, cohort, draws, split.test)
        for protocol, results in found.items():
            probed[protocol].setdefault(arm, []).extend(result.score for result in results)
floor = np.mean([place_alone(seed, split.test).score for seed in range(size["draws"])])
for arm in arms:
    print(f"{arm:22}", {name: round(float(np.mean(dice[arm])), 3) for name, dice in probed.items()})
print(f"{'place alone':22} {floor:.3f}")

# %%
figure = Figure(figsize=(8, 2.6), layout="constrained")
for axes, (name, by_arm) in zip(figure.subplots(1, 2, sharey=True), probed.items(), strict=True):
    for row, (arm, dice) in enumerate(by_arm.items()):
        colour = ssl3d.show.COLOURS[0] if arm == "CPC" else "#777777"
        axes.plot(dice, [row] * len(dice), "o", color=colour, alpha=0.6)
        axes.plot(np.mean(dice), row, "|", color=colour, markersize=18)
    axes.axvline(floor, color="black", linestyle=":")
    axes.set_yticks(range(len(by_arm)), list(by_arm))
    axes.set(title=name, xlabel="Dice, 2 labelled scans", ylim=(len(by_arm) - 0.5, -0.5))
    ssl3d.show.tidy(axes)
figure

# %% [markdown]
# *What to look at:* the dotted line is place alone. Measure CPC's distance to it and to each grey
# row, one after the other. Which control would you have left out to make the gain look large? What
# of it is left on the right, where all are told the place?
#
# ## 7. Paired seeds, and patients
#
# Scores of fine-tuning with two labelled scans vary a lot: with which scans have labels, how the
# decoder begins, in which order batches come. A **pair** shares all that between both arms, so
# that its luck falls on both and cancels in the difference. Each pair has an encoder of its own.

# %%
rows = []  # one a score, as a study writes them
for seed in range(size["pairs"]):
    before = ssl3d.make_encoder(encoder.settings, seed)
    found = {"place": place_alone(seed, split.test)}
    for arm, start, warm_up in (("cpc", pretrained[seed], 0.25), ("scratch", before, 0.0)):
        network, _ = tune(start, seed, warm_up)
        found[arm] = ssl3d.evaluate(network, cohort, split.test, hausdorff=False, progress=False)
    for arm, result in found.items():
        rows.append(
            {"run": "", "arm": arm, "protocol": "finetune", "task": "", "labels": "2", "scans": 2}
            | {"seed": seed, "fold": 0, "steps": size["finetune"], "failure": ""}
            | ssl3d.study.ledger.score_columns(result, cohort)  # the score, and every patient's
        )
    print(f"seed {seed}:", ", ".join(f"{arm} {result.score:.3f}" for arm, result in found.items()))

# %% [markdown]
# **Failures apart.** A run that does not beat place alone has failed. One such run can make a mean
# what you like, so three things are said: how often each arm failed, the difference among pairs in
# which both learnt, and the mean over all pairs.
#
# **Seeds and patients.** The difference $d_{sp}$ of seed $s$ on test patient $p$ is a mean over
# both, and both might have been others. An interval over seeds alone speaks of *these* patients.
# Radiology has the same problem, readers who read patients; with seeds as the readers,
#
# $$d_{sp} = \mu + a_s + b_p + e_{sp}, \qquad
# \operatorname{var} \bar d = \frac{\sigma_a^2}{S} + \frac{\sigma_b^2}{P} + \frac{\sigma_e^2}{SP}.$$

# %%
WORTHWHILE = 0.02  # Dice: the smallest gain that would change what you do
compare = ssl3d.study.comparison.compare
sides = {arm: (arm, [row for row in rows if row["arm"] == arm]) for arm in found}
floor = ssl3d.study.comparison.FloorScores(sides["place"][1])
here = compare(sides["cpc"], sides["scratch"], WORTHWHILE, floor)
print(ssl3d.study.sentences.failures_sentence(here))
alone = ssl3d.study.statistics.interval(here.learnt)
for name, ends in (("seeds alone", alone), ("seeds and patients", here.interval)):
    if ends:
        print(f"mean {here.mean:+.3f}, 95 % interval over {name}: {ends[0]:+.3f} to {ends[1]:+.3f}")

# %% [markdown]
# *Four* words are possible. First it is asked whether this experiment can tell anything:
#
# - are there **six pairs** or more, and did both arms learn in at least four of them?
# - is scratch with the most labels **clearly ahead of place alone**? Where nothing is learnt,
#   nothing can differ;
# - for a gain with few labels: is scratch with the most labels clearly ahead of scratch with few?
#
# If not, the answer is **cannot tell**, with the reason. Else it **holds** if $p$ of "no gain" is
# at most 2.5 %, it **does not hold** if a gain worth having can be ruled out at 2.5 %, and it is
# **undecided** between them, which is a result too: more seeds or patients are needed. All
# comparisons of a study share the 2.5 % (section 8). **Predict before you run:** which word?

# %%
study = ssl3d.study.Study(
    name="here",
    scale=ssl3d.scale(),
    title="CPC against scratch",
    arms=("cpc", "scratch"),
    labels=("2",),
    seeds=size["pairs"],
    protocols=("finetune",),
    min_effect=WORTHWHILE,
    cohort={},
    pretrain={"steps": size["pretrain"]},
    finetune={"steps": size["finetune"]},
)
results = {"here": ssl3d.study.Results(study, rows)}
for name in ("longer_finetuning", "longer_pretraining"):  # real hippocampi, an earlier version's
    try:
        results[name] = ssl3d.study.load_results(f"results/tries/{name}")
    except ssl3d.InputError:
        print("older studies lie in notebooks/results: start this notebook in its own folder")
        break
effects = []
for name, found in results.items():
    claims = {claim.name: claim for claim in ssl3d.study.claims.claims(found)}
    judged = next(f.comparison for f in claims["better final score"].findings if f.arm == "cpc")
    print(f"{name}: {ssl3d.study.sentences.sentence(found, judged)}\n")
    if judged.learnt:
        effects.append(
            ssl3d.show.Effect(name, judged.mean, judged.interval, judged.learnt, judged.verdict)
        )
ssl3d.show.forest({"CPC against scratch, 2 labelled scans": effects}, WORTHWHILE)

# %% [markdown]
# *What to look at:* the small dots are single pairs. Cover all but one with your hand: what would
# you have concluded? The older studies have three pairs each, no floor and no patients' scores.
# Once they were given a verdict by their interval over seeds. By today's rules they cannot tell.
#
# ## 8. Why one seed is an anecdote
#
# Suppose the true gain is as large as is worth having, and pairs scatter as they did above.
# **Predict before you run:** how often does a single pair show a *loss*? And the mean of three, of
# six, of twelve?

# %%
generator = np.random.default_rng(0)
every = compare(sides["cpc"], sides["scratch"], WORTHWHILE)  # all pairs, failed ones too
scatter = float(np.std(list(every.differences.values()), ddof=1))
print(f"a pair's standard deviation is {scatter:.3f}")
for seeds in (1, 3, 6, 12):
    means = generator.normal(WORTHWHILE, scatter, (20000, seeds)).mean(1)
    print(f"{seeds:2} seeds: {np.mean(means < 0):4.0%} of all studies see a loss")

# %% [markdown]
# And the other way round: if there is *no* gain, how often is one claimed? Made-up studies with the
# spread measured above, and with patients who differ in which arm suits them. **Predict before you
# run:** where patients differ, do more *seeds* make an interval over seeds alone safer?

# %%
statistics = ssl3d.study.statistics
REPEATS = 10 if ssl3d.scale() == "smoke" else 100
apart = (2 * WORTHWHILE) ** 2  # variance from patient to patient, in the second world
worlds = {"as here": every.spread, "patients differ": replace(every.spread, cases=apart)}
patients = len(split.test)
for world, spread in worlds.items():
    for gain in (0.0, WORTHWHILE):
        for seeds in (3, 6, 12):
            said = {"seeds alone": 0, "seeds and patients": 0}
            for _ in range(REPEATS):
                values = gain + generator.normal(0, spread.rest**0.5, (seeds, patients))
                values += generator.normal(0, spread.seeds**0.5, (seeds, 1))
                values += generator.normal(0, spread.cases**0.5, (1, patients))
                said["seeds alone"] += statistics.interval(values.mean(1).tolist())[0] > 0
                p = statistics.multi_reader(values).p_above(0.0)
                said["seeds and patients"] += p <= statistics.LEVEL
            shares = ", ".join(f"{name} {count / REPEATS:4.0%}" for name, count in said.items())
            print(f"{world:15} gain {gain:4}, {seeds:2} seeds: holds by {shares}")

# %% [markdown]
# *What to look at:* where nothing is to be found, "holds" should be rare at any number of seeds.
# More seeds cannot mend what too few patients leave open: they only make sure of *these* patients.
# And what makes a true gain visible: more seeds, more patients, or less scatter?
#
# Two more ways to fool oneself. **Several claims:** who tests twenty arms at 2.5 % each will find
# something. Holm's correction makes all of them share one level. **Several looks:** who adds seeds
# until it holds will see it hold. So each look at more seeds spends a part of the level.

# %%
for arms in (1, 5, 20):
    print(
        f"arms without any gain: {arms:2}; found by luck: {1 - (1 - statistics.LEVEL) ** arms:.1%}"
    )
print("p of three arms, and after Holm:", statistics.holm([0.004, 0.02, 0.3]))
print("level of the first looks:", [round(statistics.level_of_look(n), 4) for n in (1, 2, 3)])

# %% [markdown]
# ## 9. Exercise
#
# A colleague reports: "Pretraining gives +0.09 Dice." On asking, you get three pairs: +0.09, +0.01
# and +0.04. Work out the interval. How many pairs like these would bring it above zero? And what
# else do you ask for, before you believe it?
#
# <details><summary>Hint</summary>
#
# `ssl3d.study.statistics.interval([0.09, 0.01, 0.04])` gives the ends, over seeds alone. Repeat the
# list to see what more pairs of the same kind would do: `2 * [0.09, 0.01, 0.04]`.
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# for reported in ([0.09, 0.01, 0.04], 2 * [0.09, 0.01, 0.04]):
#     low, high = ssl3d.study.statistics.interval(reported)
#     print(len(reported), f"{low:+.3f} to {high:+.3f}")
# ```
#
# Three pairs, all above zero, with a mean of nearly +0.05, have an interval that reaches below
# zero: with so few it is more than four standard errors wide on each side. Three pairs cannot tell.
# Six such pairs would bring it above zero, over seeds alone. Ask for the patients' scores, as those
# might have been others; for place alone, as a run below it has failed; for the other arms that
# were tried; and whether six were planned, or three and then three more. And the +0.09 that was
# reported is the best of three, not the mean.
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
# - Obuchowski and Rockette (1995) and Hillis (2007) take readers and patients both as samples; with
#   seeds as readers it is the test of section 7. docs/verdicts.md has the whole rule, and how often
#   it is wrong.
# - nnU-Net Revisited (Isensee et al. 2024) found that many reported gains vanish beside a baseline
#   trained with equal care.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Raghu et al., *Transfusion*, NeurIPS 2019. Kumar et al., *Fine-Tuning Can Distort Pretrained
# Features and Underperform Out-of-Distribution*, ICLR 2022. Bouthillier et al., *Accounting for
# Variance in Machine Learning Benchmarks*, MLSys 2021. Varoquaux and Cheplygina, *Machine Learning
# for Medical Imaging*, npj Digital Medicine 2022. Obuchowski and Rockette, Communications in
# Statistics: Simulation 24, 1995. Hillis, Statistics in Medicine 26, 2007. Isensee et al., *nnU-Net
# Revisited*, MICCAI 2024.

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
# # Diabetic retinopathy: the paper's benchmark in two dimensions
#
# **You will be able to:** code grades so that a network knows their order; score them by quadratic
# weighted kappa, and say what a kappa of 0 is; pretrain on photographs without grades; and compare
# over five folds, each pretrained afresh so that no test photograph was ever seen.
#
# **Time:** six minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under one
# at `smoke`, where nothing is learnt. `full` has the paper's rates and warm-up and takes days of
# one GPU's time: section 7 counts the hours.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from copy import deepcopy
import numpy as np
import torch

SCALE = ssl3d.scale()

# %%
SIZES = {
    "smoke": {"cases": 30, "unlabelled": 5, "edge": 64, "pretrain": 10, "finetune": 10},
    "class": {"cases": 240, "unlabelled": 60, "edge": 64, "pretrain": 100, "finetune": 100},
    "full": {"cases": 3662, "unlabelled": 1928, "edge": 224, "pretrain": 2000, "finetune": 1400},
}
size = SIZES[SCALE]

# %% [markdown]
# ## 1. The photographs
#
# Diabetes harms the small vessels of the retina: they leak (dots and blots of blood, yellow
# exudates), then close, then new and fragile ones grow. A photograph through the pupil is graded
# from 0 (no retinopathy) to 4 (proliferative). The paper uses APTOS 2019: graded photographs, and
# more whose grades were never published, which serve for pretraining. Real ones are used if they
# are prepared as `cohorts/aptos`; the next line says.

# %%
cohort = ssl3d.open_cohort(
    "aptos", cases=size["cases"], unlabelled=size["unlabelled"], edge=size["edge"]
)
split = cohort.split()
print(f"{len(split.train)} to train on, {len(split.validation)} validation, {len(split.test)} test")
print(f"{len(split.pretrain)} to pretrain on, graded or not")

# %%
grades = cohort.labels(split.train).tolist()
rows = [[c for c, grade in zip(split.train, grades) if grade == row][:2] for row in range(5)]
ssl3d.show.contact_sheet(cohort, [case for row in rows for case in row])

# %% [markdown]
# *What to look at:* photographs from grade 0 to 4, two of each where there are so many. The bright
# disc is where the nerve leaves the eye; the dark spot is the macula, where one looks. Which grades
# could you tell apart at this size? **Predict before you run:** which grades will the network mix
# up?

# %%
ssl3d.show.grade_counts(cohort)

# %% [markdown]
# *What to look at:* grades are unequally many. A network that always says the commonest one is
# often right. So accuracy misleads here.
#
# ## 2. Grades have an order
#
# Cross-entropy takes 0 for 4 as no worse a mistake than 0 for 1. So the grade is coded by
# questions: output $k$ says whether the grade $g$ is above $k$,
#
# $$t_k = [\,g > k\,], \qquad k = 0, \dots, K-2, \qquad
# \mathcal{L} = -\sum_k t_k \log p_k + (1 - t_k) \log (1 - p_k) .$$

# %%
for name, code in zip(
    cohort.label_names, ssl3d.models.ordinal.ordinal_code(torch.arange(5), 5).int()
):
    print(f"{name:15}", code.tolist())
ssl3d.show.source(ssl3d.models.ordinal.decode)

# %% [markdown]
# An answer is decoded by counting the outputs that are on. So there is a grade even where outputs
# contradict each other. (The authors' code gave an undecided answer the grade −1 and left it out of
# the score: kappa was 1.0 with 3 of 8 wrong.)
#
# ### Kappa
#
# How much better than chance do two graders agree, where a mistake of two grades weighs four times
# one of one? With $O_{ij}$ the share of cases that have grade $i$ and were answered $j$, and
# $E_{ij}$ the product of the two graders' own shares,
#
# $$\kappa = 1 - \frac{\sum_{ij} w_{ij}\, O_{ij}}{\sum_{ij} w_{ij}\, E_{ij}}, \qquad
# w_{ij} = \frac{(i-j)^2}{(K-1)^2} .$$
#
# **Predict before you run:** what are accuracy and kappa of someone who always says the commonest
# grade? Of one who is right but for always one grade too high?

# %%
truth = cohort.labels(split.test).cpu().numpy().astype(int)
cheap = {
    "always the commonest": np.full_like(truth, np.bincount(truth).argmax()),
    "one too high": (truth + 1).clip(max=4),
    "drawn at random": np.random.default_rng(0).permutation(truth),
}
for name, answer in cheap.items():
    print(f"{name:21}", ssl3d.evaluation.grades.score_grades(answer, cohort, split.test).line())

# %% [markdown]
# ## 3. The puzzle
#
# **Rotation.** A square is turned by 0, 90, 180 or 270 degrees; the network says by how much. In 2D
# there are four answers, so guessing is right in a quarter of cases. The paper names the loss the
# cross-entropy of the turn $r$,
#
# $$\mathcal{L} = -\sum_{r=1}^{R} y_r \log \hat y_r, \qquad R = 4 .$$
#
# Photographs have an up and a down, and the disc lies to the side of the nose.

# %%
study = ssl3d.study.read_study("retina", SCALE)  # one file holds the settings of all three scales
shape = study.encoder | {"filters": tuple(study.encoder.get("filters", ()))}
named = ssl3d.training.preset(
    study.preset, "rotation", cohort.spatial_dims
)  # "quick", at full scale "paper"
edge = min(48, *cohort.shape) if SCALE != "full" else named.tasks["rotation"]["crop_size"]
encoder = ssl3d.make_encoder(cohort, seed=0, **shape)
task = ssl3d.make_task("rotation", encoder, seed=0, crop_size=edge, rotations_per_scan=4)
volumes = cohort.images(split.pretrain[:2])
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* the square in the photograph, and its turned copies with the answers. **Predict
# before you run:** could you tell a quarter turn from three quarters? What would you look for, and
# does it have anything to do with the grade?
#
# ## 4. Pretraining by hand
#
# Photographs of the test and validation folds are not shown to the network. The view draws loss and
# score while it learns; its button stops the run.

# %%
start = deepcopy(encoder)
view = ssl3d.show.Live(task, encoder, cohort.images(split.validation[:4]), chance=0.25)
view

# %%
history = ssl3d.pretrain(
    task,
    encoder,
    cohort,
    steps=size["pretrain"],
    batch=16,
    learning_rate=named.training["learning_rate"],
    callback=view.watch,
)
held_out = ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, batch=4)
print(f"right on photographs it has not seen: {held_out['accuracy']:.0%}, chance: 25%")

# %%
ssl3d.show.learning_curves({"rotation": history}, {"rotation": held_out})

# %% [markdown]
# *What to look at:* how soon is the line at the top? A puzzle that is solved at once stops
# teaching.
#
# ## 5. Fine-tuning by hand
#
# A *classifier* is the encoder with one linear layer on the mean of its deepest features. As in the
# paper there is a *warm-up* in which the pretrained encoder stands still. The twin from scratch has
# the same photographs, last layer, order of batches and number of steps.

# %%
labelled = cohort.subset(split.train, "25%")
warm_up = size["finetune"] // 4  # steps in which the pretrained encoder stands still
by_hand = {}
for name, begin, frozen in (("rotation", encoder, warm_up), ("scratch", start, 0)):
    network = ssl3d.make_network(deepcopy(begin), cohort, seed=0)
    ssl3d.finetune(
        network, cohort, labelled, steps=size["finetune"], batch=16, freeze_encoder_steps=frozen
    )
    by_hand[name] = ssl3d.evaluate(network, cohort, split.test)
    print(f"{name:8} with {len(labelled)} grades:", by_hand[name].line())

# %%
mine = by_hand["rotation"]
ssl3d.show.confusion(mine.truth, mine.prediction, cohort.label_names)

# %% [markdown]
# *What to look at:* each row is a true grade, and the numbers are per cent of it. Mistakes near the
# diagonal cost kappa little. Was your guess of the grades that are mixed up right? If one column
# holds all, the network has only learnt what is common.
#
# And photographs with the answer beside the truth:

# %%
wrong = np.abs(mine.prediction - mine.truth)
places = np.argsort(-wrong, kind="stable")[[0, 1, -2, -1]]  # the worst two, and the best
for place in places:
    said = [f"{name} {found.prediction[place]}" for name, found in by_hand.items()]
    print(f"{mine.cases[place]}: truth {mine.truth[place]}, {', '.join(said)}")
ssl3d.show.contact_sheet(cohort, [split.test[place] for place in places])

# %% [markdown]
# *What to look at:* the first two are the arm's worst mistakes, the last two it has right, or
# nearly so. Can you see, at this size, what the network should have seen?
#
# ## 6. The honest comparison
#
# A study compares *arms* with one budget, pairs of runs that share all that is luck, and controls:
# random encoders of three kinds, and a *collapsed* encoder that cost as much training and learnt
# nothing. As in the paper there are five folds: each is the test set once, and for each an encoder
# is pretrained that has never seen it. (In the authors' code pretraining saw the test photographs
# of every fold, if without their grades.) Settings are those of `ssl3d study retina`, cut down to
# what fits into the time.
#
# It writes each score to a file as soon as there is one. Stop it, and the same cell goes on; run
# the notebook again, and it only reads.

# %%
PROTOCOLS = ("finetune", "probe", "probe+place", "convergence")
CHANGES = {
    "smoke": {
        "protocols": PROTOCOLS,
        "arms": ("rotation", "scratch", "random", "collapsed"),
        "labels": ("100%",),
        "seeds": 1,
        "tasks": {"rotation": {"crop_size": edge}},
    },
    "class": {
        "protocols": PROTOCOLS,
        "arms": ("rotation", "scratch", "random", "random@group", "random@none", "collapsed"),
        "labels": ("25%", "100%"),
        "folds": (0, 1, 2, 3, 4),
        "seeds": 1,
        "milestones": (30, 60, 90),
        "tasks": {"rotation": {"crop_size": edge}},
        "pretrain": {"steps": 80, "batch": 16},
        "finetune": {"steps": 120, "batch": 16, "learning_rate": 1e-3},
    },
    "full": {},  # the paper's rates and warm-up, all arms, five folds, six seeds
}
results = ssl3d.study("retina", SCALE, f"runs/16-{SCALE}/study", cohort=cohort, **CHANGES[SCALE])

# %% [markdown]
# ### What the study says
#
# **Scores.** **Predict before you read on:** will the arm that solves its puzzle best have the best
# kappa?
#
# **Place alone.** The first row looks at no photograph: it says the commonest grade, and like any
# constant it has a kappa of 0. A run that does not beat it has *failed*, and failures are counted
# apart.
#
# **Verdicts.** Notebook 11 has the rule. Six paired seeds are the least, and training from scratch
# with the most labels must be clearly ahead of place alone: else this experiment **cannot tell**,
# and says why. Folds add patients and not seeds: they share most of their training photographs.
#
# **Beside the paper.** The paper pretrained on 170 000 other photographs. Its score from scratch
# with 5 % of the grades, 0.01, is that of a network that always says the same. Ours has an equal
# budget on both sides.

# %%
ssl3d.study.show_results(results)

# %% [markdown]
# *What to look at:*
#
# - **Label efficiency:** a line is the mean over folds, its band goes from the worst fold to the
#   best. "Fewer labels for the same score" would be a line above the grey ones by more than the
#   bands are wide.
# - **Steps:** do the lines still rise at the end? Then the numbers above are a snapshot, and a
#   longer run may order the arms otherwise.
# - **Differences:** small dots are pairs, the large one their mean. Look at *collapsed* first: it
#   learnt nothing, so how far it lies from zero is what chance can do here.
#
# And at 64 pixels an edge a micro-aneurysm, which makes grade 1, is smaller than a pixel. So the
# task here is another one than a clinic's.
#
# ## 7. What a real run needs
#
# **The photographs.** They can be had with a Kaggle account; the rules forbid passing them on.

# %%
about = ssl3d.data.load_recipe("aptos")[0].about
print(f"{about.title}\n\naccess: {about.access}\n\nlicence: {about.licence}\nsize: {about.size}")

# %% [markdown]
# Then, and the notebook finds them by itself (`--edge 64` makes them as small as here):
#
#     ssl3d prepare aptos --out cohorts/aptos
#
# The paper's larger corpus, 170 000 photographs of UK Biobank, is for approved projects:
# `ssl3d prepare ukb-fundus`.
#
# **The hours.** The paper names neither hardware nor hours. So we count the operations of a step
# and multiply. What a GPU makes of its speed on paper differs: the cell assumes a round number. The
# paper's network for photographs is DenseNet-121, the arm `rotation@densenet121`; the other arms
# have the left half of a 2D U-Net.

# %%
TERAFLOPS = 20  # assumed: reached in training, not the data sheet's number
paper = ssl3d.study.read_study("retina", "full")
runs = [run for job in ssl3d.study.plan(paper).values() for run in job]
nets = {
    "U-Net": paper.encoder | {"filters": tuple(paper.encoder.get("filters", ()))},
    "DenseNet-121": {"network": "densenet121"},
}
for name, shape in nets.items():
    network = ssl3d.make_encoder(cohort, 0, **shape)
    step = ssl3d.models.training_operations(network, 32, 3, 224, 224)
    own = [run for run in runs if bool(run.job.arm.network) == (name == "DenseNet-121")]
    for what, given, protocols in (
        ("pretraining", paper.pretrain, ("proxy",)),
        ("fine-tuning", paper.finetune, ("finetune", "frozen")),
    ):
        hours = step * given["steps"] / TERAFLOPS / 1e12 / 3600
        count = sum(run.protocol in protocols for run in own)
        print(
            f"{name}, {what}: {hours:.2f} GPU hours a run, {count} runs: {count * hours:.0f} hours"
        )

# %% [markdown]
# ## Exercise
#
# What does the order of the grades gain? Train a classifier that does not know it: five outputs and
# cross-entropy, where the largest output is the answer. Compare kappa and accuracy. Guess which of
# the two suffers.
#
# <details><summary>Hint</summary>
#
# `ssl3d.models.make_classifier(encoder, 6, seed=0)` has five outputs. Write the loop yourself:
# `cohort.images` and `cohort.labels` give a batch, `torch.nn.functional.cross_entropy` the loss.
# Then `ssl3d.evaluation.grades.score_grades(network(images).argmax(1), cohort, split.test)`.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
# network = ssl3d.models.make_classifier(deepcopy(encoder), 6, seed=0)
# optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
# generator = np.random.default_rng(0)
# network.train()
# for step in range(size["finetune"]):
#     chosen = generator.choice(labelled, min(16, len(labelled)), replace=False).tolist()
#     logits = network(cohort.images(chosen))
#     loss = torch.nn.functional.cross_entropy(logits, cohort.labels(chosen).long())
#     optimizer.zero_grad()
#     loss.backward()
#     optimizer.step()
# network.eval()
# with torch.inference_mode():
#     answers = network(cohort.images(split.test)).argmax(1)
# print(ssl3d.evaluation.grades.score_grades(answers, cohort, split.test).line())
# ```
#
# A network that knows the order tends to err by one grade, which kappa forgives; one that does not
# may be as often right, and further off where it is wrong. One run cannot show that it must be so:
# give both five seeds.
#
# </details>
#
# ## What the literature did next
#
# - Size: Zhou et al., *A Foundation Model for Generalizable Disease Detection from Retinal Images*
#   (RETFound), Nature 2023, pretrained a masked autoencoder on 1.6 million retinal images.
# - Doubt, from before the paper: Raghu et al., *Transfusion: Understanding Transfer Learning for
#   Medical Imaging*, NeurIPS 2019, found that pretraining on photographs of everyday things does
#   little for the grading of retinas, and that small networks do as well.
# - Contrast instead of puzzles: Azizi et al., *Big Self-Supervised Models Advance Medical Image
#   Classification*, ICCV 2021, treats pictures of one patient as two views.
#
# ## References
#
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Asia Pacific
# Tele-Ophthalmology Society, *APTOS 2019 Blindness Detection*, Kaggle 2019. Gidaris et al.,
# *Unsupervised Representation Learning by Predicting Image Rotations*, ICLR 2018. Huang et al.,
# *Densely Connected Convolutional Networks*, CVPR 2017. Cohen, *Weighted Kappa*, Psychological
# Bulletin 1968.

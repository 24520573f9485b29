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
# # From 2D to 3D: what changes, and what a slice cannot know
#
# **You will be able to:** cut a cohort into slices without letting a patient stand on two sides;
# pose each puzzle in 2D and in 3D by changing one number; say what a slice cannot show; and compare
# an encoder of slices with one of volumes so that the comparison is fair.
#
# **Time:** about three minutes on one core of a laptop (`SSL3D_SCALE=class`, the default), under
# one at `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything; about ten minutes on
# a GPU at `full`.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import time
from pathlib import Path
import numpy as np
import torch

# %%
SIZES = {
    "smoke": {"cases": 15, "filters": (4, 8), "steps": 10, "seeds": 2},
    "class": {"cases": 100, "filters": (16, 32, 64), "steps": 100, "seeds": 2},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 1000, "seeds": 3},
}
size = SIZES[ssl3d.scale()]
RUNS = Path("runs") / f"07-{ssl3d.scale()}"
solid = ssl3d.open_cohort("hippocampus", cases=size["cases"])  # volumes
split = solid.split()

# %% [markdown]
# ## 1. The idea in a picture
#
# A scan is a volume, but for years networks for photographs were fed with its slices, one at a
# time. Look at one scan in the three planes first, with its label: the front (*anterior*) and back
# (*posterior*) part of the hippocampus.

# %%
case = split.train[0]
image, label = solid[case]
ssl3d.show.segmentations(
    np.asarray(image[0], np.float32), {"label": np.asarray(label)}, solid.label_names
)

# %% [markdown]
# *What to look at:* in which of the three planes do you see where one part ends and the other
# begins? The same to scroll through:

# %%
ssl3d.show.Slices(image[0], label, label_names=solid.label_names, spacing=solid.spacing)

# %% [markdown]
# **Predict before you run:** of all slices that show any hippocampus, what share shows both parts,
# plane by plane? In a slice with one part alone, what could tell you which it is?

# %%
maps = solid.labels(split.train).cpu().numpy()  # (scan, x, y, z)
for axis, plane in enumerate(ssl3d.show.PLANE_NAMES):
    across = tuple(a for a in (1, 2, 3) if a != axis + 1)
    parts = np.stack([(maps == part).any(across) for part in range(1, len(solid.label_names))])
    some, all_parts = parts.any(0).sum(), parts.all(0).sum()
    empty = 1 - parts.any(0).mean()
    print(f"{plane:9} {all_parts / some:4.0%} of them; {empty:.0%} of all slices are empty")

# %% [markdown]
# ## 2. Cutting slices
#
# A recipe makes a 2D cohort of a 3D one. Each slice becomes a case, but keeps its scan's patient
# and **fold**: slices of one patient never stand on two sides. It takes all slices, and not those
# with labels: pretraining sees them too, and must not know where labels are.

# %%
folder = RUNS / f"axial-{solid.folder.name}"
ssl3d.data.make_cohort("slices", folder, cohort=solid.folder, axis=2)
device = solid.images([0]).device
flat = ssl3d.Cohort.open(folder).to(device)
flat_split = flat.split()
print(f"{len(solid)} volumes of {solid.shape} -> {len(flat)} slices of {flat.shape}")

# %%
sides = {"train": flat_split.train, "validation": flat_split.validation, "test": flat_split.test}
patients = {side: {flat.cases[n].patient for n in cases} for side, cases in sides.items()}
print({side: len(those) for side, those in patients.items()}, "patients")
print("on two sides:", patients["train"] & (patients["validation"] | patients["test"]) or "none")

# %% [markdown]
# ## 3. What changes: one number
#
# All of the library is written for $D$ space axes. An encoder says how many it has; a task asks the
# encoder. There is no second implementation that could differ on the quiet, as in the original
# code, where the 2D and the 3D version of CPC pad and skip rows differently.

# %%
SHAPES = {
    dims: ssl3d.EncoderSettings(1, spatial_dims=dims, filters=size["filters"]) for dims in (2, 3)
}
sources = {2: flat.images(flat_split.train[:4]), 3: solid.images(split.train[:4])}
for name in ("rotation", "rpl", "jigsaw", "exemplar", "cpc"):
    for dims, volumes in sources.items():
        task = ssl3d.make_task(name, SHAPES[dims], seed=0).to(device).eval()
        batch = task.make_views(
            volumes, task.sample_params(volumes, torch.Generator().manual_seed(0))
        )
        with torch.no_grad():
            prediction = task(ssl3d.make_encoder(SHAPES[dims], seed=0).to(device), batch)
        chance = task.score(prediction, batch)["chance"]
        print(f"{name:9} {dims}D  views {tuple(batch.views.shape)!s:26} chance {chance:.3f}")

# %% [markdown]
# **Predict before you run:** why has rotation 4 answers in 2D and 10 in 3D, relative location 8 and
# 26? Count, then look at the one function that decides it for rotation:

# %%
ssl3d.show.source(ssl3d.tasks.geometry.quarter_turns)

# %%
for dims in (2, 3):
    turns, places = ssl3d.tasks.geometry.quarter_turns(dims), 3**dims - 1
    print(f"{dims}D: {len(turns)} turns, {places} places about a centre")

# %% [markdown]
# The same draw can be set by hand in both: here relative location, with the query at the same place
# in the plane. First a slice from the middle of a scan. Change `PLACE` (0 to 7) and run both again.

# %%
PLACE = 2
name = f"s{solid.shape[2] // 2:03d}"
slices = flat.images([n for n in flat_split.train if flat.cases[n].id.endswith(name)][:2])
rpl = ssl3d.make_task("rpl", SHAPES[2], queries_per_scan=1)
params = rpl.sample_params(slices, torch.Generator().manual_seed(0))
params["query"][:] = PLACE
ssl3d.show.puzzle(slices, rpl.make_views(slices, params))

# %%
volumes = solid.images(split.train[:2])
rpl = ssl3d.make_task("rpl", SHAPES[3], queries_per_scan=1)
params = rpl.sample_params(volumes, torch.Generator().manual_seed(0))
cell = 3 * (PLACE + (PLACE >= 4)) + 1  # the same row and column, in the middle layer of three
params["query"][:] = cell - (cell > 13)  # places leave the centre, cell 13, out
ssl3d.show.puzzle(volumes, rpl.make_views(volumes, params))

# %% [markdown]
# *What to look at:* the blue box is the centre, the other the query. The slice has one picture, the
# volume three. In 3D the query may also lie above or below: places that no slice can ask for.
#
# ## 4. What is lost
#
# With $x \in \mathbb{R}^{X \times Y \times Z}$ a volume, a 2D network computes
#
# $$f_{2D}(x)_{\cdot,\cdot,k} = f(x_{\cdot,\cdot,k}) ,$$
#
# each slice $k$ by itself. So slices could be shuffled and every answer would stay the same: what a
# voxel's neighbours above and below show cannot enter. That is easy to check.

# %%
order = torch.randperm(len(sources[2]), generator=torch.Generator().manual_seed(1))
encoder = ssl3d.make_encoder(SHAPES[2], seed=0).to(device).eval()
with torch.no_grad():
    straight, shuffled = encoder(sources[2])[-1], encoder(sources[2][order])[-1]
print("slices shuffled, features the same:", torch.allclose(straight[order], shuffled, atol=1e-5))

stack = sources[3]
encoder = ssl3d.make_encoder(SHAPES[3], seed=0, stride=1)  # its finest level keeps every slice
encoder = encoder.to(device).eval()
with torch.no_grad():
    straight = encoder(stack)[0]
    mixed = torch.randperm(stack.shape[-1], generator=torch.Generator().manual_seed(1))
    shuffled = encoder(stack[..., mixed])[0]
print("in 3D:", torch.allclose(straight[..., mixed], shuffled, atol=1e-5))

# %% [markdown]
# And what is gained: a slice costs little, a large batch fits, networks pretrained on photographs
# can be used, and where voxels are ten times as thick as wide there is little to lose. Which is
# better is a question for measurement.
#
# ## 5. A fair comparison
#
# Fair means: all that may differ is the thing compared. Here are equal
#
# - the scans seen in pretraining, and the scans with labels (counted in **scans**, not in slices);
# - the steps, the filters of each level, the learning rate, the optimiser;
# - the score: slices are stacked again, and the Dice is that of the whole scan;
# - the baseline: each beside random encoders, and place alone, **of its own dimension**.
#
# What cannot be equal at the same time: a step's voxels, its time, and the number of weights. So
# they are printed.

# %%
RUN = {
    2: (flat, flat_split, ssl3d.TrainSettings(steps=size["steps"], batch=32, learning_rate=2e-3)),
    3: (solid, split, ssl3d.TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)),
}
tasks = {dims: ssl3d.make_task("cpc", SHAPES[dims], seed=0) for dims in RUN}
starts = {dims: ssl3d.make_encoder(SHAPES[dims], seed=0) for dims in RUN}
view = ssl3d.show.Live(tasks[3], starts[3], solid.images(split.validation[:2]))
view

# %%
encoders, histories, held_out = {2: [], 3: []}, {}, {}
for dims, (cohort, parts, settings) in RUN.items():
    begin, encoder = time.process_time(), starts[dims]
    callback = view.watch if dims == 3 else None
    history = ssl3d.pretrain(tasks[dims], encoder, cohort, settings=settings, callback=callback)
    seconds = time.process_time() - begin
    encoders[dims].append(encoder)
    histories[dims] = history
    held_out[dims] = ssl3d.evaluation.proxy_score(
        tasks[dims], encoder, cohort, parts.validation, settings.batch
    )
    weights = sum(weight.numel() for weight in encoder.parameters())
    found = held_out[dims]
    print(f"{dims}D: {weights} weights, {seconds / settings.steps:.3f} s of CPU a step;", end=" ")
    print(f"accuracy {found['accuracy']:.3f}, chance {found['chance']:.4f}")

# %%
ssl3d.show.learning_curves({"CPC in 2D": histories[2]})

# %%
ssl3d.show.learning_curves({"CPC in 3D": histories[3]})

# %% [markdown]
# *What to look at:* each curve has its own dashed line. The two accuracies cannot be compared with
# each other: the 2D puzzle has more patches to choose from. So their worth is read off elsewhere.
#
# More seeds, where the scale allows:

# %%
for seed in range(1, size["seeds"]):
    for dims, (cohort, _, settings) in RUN.items():
        start = ssl3d.make_encoder(SHAPES[dims], seed)
        again = ssl3d.make_task("cpc", start, seed)
        ssl3d.pretrain(again, start, cohort, settings=settings, seed=seed)
        encoders[dims].append(start)
print({f"{dims}D": len(each) for dims, each in encoders.items()}, "encoders")

# %% [markdown]
# ## 6. What the features are good for
#
# The linear probe, on the same labelled scans, scored scan by scan. **Predict before you run:** put
# these four in order: CPC 2D, CPC 3D, random 2D, random 3D.

# %%
labels = (2, 5) if ssl3d.scale() != "smoke" else (2,)
draws = [(n, seed) for n in labels for seed in range(2)]


def probe(candidates, cohort, parts):
    """Number of labelled scans → the Dice of each encoder and draw of labels, on test scans."""
    labelled = [cohort.subset(parts.train, n, seed) for n, seed in draws]
    seen, found = cohort.subset(parts.pretrain, 8), {n: [] for n in labels}
    for candidate in candidates:
        ready = ssl3d.evaluation.recalibrated(candidate.to(device), cohort, seen)
        results = ssl3d.evaluation.linear_probes(ready, cohort, labelled, parts.test)
        for (n, _), result in zip(draws, results, strict=True):
            found[n].append(result.mean_dice)
    return found


# %%
scores = {}
for dims in (3, 2):
    cohort, parts, _ = RUN[dims]
    scores[f"CPC {dims}D"] = probe(encoders[dims], cohort, parts)
    for norm in ("instance", "batch", "none"):
        starts = [ssl3d.make_encoder(SHAPES[dims], seed, norm=norm) for seed in (100, 101)]
        scores[f"random {dims}D, norm: {norm}"] = probe(starts, cohort, parts)
    scores[f"place alone {dims}D"] = place = {n: [] for n in labels}
    for n, seed in draws:  # no encoder: the mean label map of the same labelled scans
        known = cohort.subset(parts.train, n, seed)
        place[n].append(ssl3d.evaluation.evaluate_place(cohort, known, parts.test).score)
for name, found in scores.items():
    print(f"{name:24}", {n: round(float(np.mean(dice)), 3) for n, dice in found.items()})
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* two questions, and they are not the same. Is 3D above 2D? And is the *gain*
# over the best control of the same dimension larger in 3D? Place alone is a weaker control in 2D:
# it knows where in the slice a voxel lies, but not in which slice.

# %%
for n in labels:
    for dims in (2, 3):
        mean = {name: np.mean(found[n]) for name, found in scores.items() if f"{dims}D" in name}
        best = max((name for name in mean if "CPC" not in name), key=mean.get)
        gain = mean[f"CPC {dims}D"] - mean[best]
        print(f"{n} labelled scans: best is {best}, {mean[best]:.3f}; gain by CPC {gain:+.3f}")

# %% [markdown]
# ## 7. The paper's claim
#
# Taleb et al. fine-tune a network for brain tumours from each task in 2D and in 3D. From their
# Table 1 (Dice in %, published without seeds or error bars):

# %%
table, *_ = ssl3d.study.published.published_tables("brats")
code = ssl3d.study.published.paper_arms()
by_arm = {code[model]: scores for model, scores in table.rows.items() if model in code}
print(f"{'3D minus 2D':10}", *(f"{region:>6}" for region in table.columns))
for name in ("cpc", "rpl", "jigsaw", "rotation", "exemplar"):
    gains = np.subtract(by_arm[name], by_arm[f"2d-{name}"])
    print(f"{name:11}", *(f"{gain:+6.2f}" for gain in gains))
print("arms without pretraining:", [arm for arm in by_arm if "scratch" in arm])

# %% [markdown]
# **Ask yourself:** the table has a network from scratch in 3D. Is there one from scratch in 2D? If
# not, how would you know whether the difference comes from the *pretraining* in 3D, or from the 3D
# *network*?
#
# A study of real hippocampi of ours has both. What its rows say by the rules of notebook 11 (it is
# from before them, so it cannot tell):

# %%
kept = Path("results/hippocampus")
if kept.exists():
    ssl3d.study.show_claim(ssl3d.study.load_results(kept), "3D beats 2D")
else:
    print("the study's results lie in notebooks/results: start this notebook in its own folder")

# %% [markdown]
# The last line is the control: what 3D is ahead by *without any pretraining*. More of it, with the
# commands that made it, in [notebooks/results](results/README.md). On your own scans:
# `ssl3d study hippocampus --scale class --arms cpc 2d-cpc scratch 2d-scratch --cohort COHORT`.
#
# ## 8. Exercise
#
# Axial slices were our choice. Cut **sagittal** ones (`axis=0`) into another folder, pretrain and
# probe. Predict first, with the shares of section 1 in mind.
#
# <details><summary>Hint</summary>
#
# Two lines of section 2 change, the folder and the axis. The hippocampus runs from back to front.
# Which planes contain that direction?
#
# </details>
# <details><summary>Solution</summary>
#
# ```python
# side = RUNS / f"sagittal-{solid.folder.name}"
# ssl3d.data.make_cohort("slices", side, cohort=solid.folder, axis=0)
# sagittal = ssl3d.Cohort.open(side).to(device)
# settings, shape = RUN[2][2], SHAPES[2]
# encoder = ssl3d.make_encoder(shape, seed=0)
# ssl3d.pretrain(ssl3d.make_task("cpc", shape, seed=0), encoder, sagittal, settings=settings)
# print("CPC   ", probe([encoder], sagittal, sagittal.split()))
# print("random", probe([ssl3d.make_encoder(shape, 100)], sagittal, sagittal.split()))
# ```
#
# Axial and sagittal planes contain the direction from back to front, coronal ones do not: in a
# coronal slice nothing but the outline says which part it is. Whether sagittal beats axial is what
# your run says, for one seed. And mind that you now have two planes to choose from: choose by
# validation scans, or the better of two looks better than it is.
#
# </details>
#
# ## What the literature did next
#
# - The 3D U-Net (Çiçek et al. 2016) made whole volumes practical; nnU-Net (Isensee et al. 2021)
#   plans 2D and 3D networks for each data set and chooses by cross-validation.
# - Models Genesis (Zhou et al. 2019) made the same case for 3D pretraining, by restoring distorted
#   boxes of CT.
# - Swin UNETR (Tang et al. 2022) pretrained a transformer on some 5000 CT scans in 3D, by
#   inpainting, contrast and rotation together.
# - Wald et al. (2025) pretrained masked autoencoders on 3D MRI, with much attention to fair
#   baselines.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Çiçek et al., *3D U-Net*, MICCAI 2016. Zhou et al., *Models Genesis*, MICCAI 2019. Isensee et al.,
# *nnU-Net*, Nature Methods 2021. Tang et al., *Self-Supervised Pre-Training of Swin Transformers
# for 3D Medical Image Analysis*, CVPR 2022. Wald et al., *Revisiting MAE Pre-Training for 3D
# Medical Image Segmentation*, CVPR 2025.

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
# # Your own data, your own proxy task
#
# **You will be able to:** turn a folder of scans, however they lie and whatever is wrong with
# them, into a cohort that can be trusted; write a proxy task that nobody has written before; test
# it by the library's own laws; pretrain with it, look at it, and put it to the test.
#
# **Time:** about one minute on one core of a laptop (`SSL3D_SCALE=class`, the default), less at
# `SSL3D_SCALE=smoke`. At smoke scale every step runs, but too little is learnt to conclude
# anything.
#
# The paper's five tasks are not the end of the list. A task is a question about a scan whose
# answer comes for free. If you can ask one, forty lines turn it into a pretraining.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from dataclasses import dataclass, replace
import nibabel as nib
import torch
from matplotlib.figure import Figure

# %%
SIZES = {
    "smoke": {
        "patients": 15,
        "filters": (4, 8),
        "steps": 10,
        "seeds": 1,
        "labels": (2,),
        "draws": 1,
    },
    "class": {"patients": 60, "filters": (16, 32, 64), "steps": 120, "seeds": 2}
    | {"labels": (2, 5), "draws": 3},
    "full": {"patients": 200, "filters": (32, 64, 128), "steps": 1000, "seeds": 5}
    | {"labels": (2, 5, 20), "draws": 5},
}
size = SIZES[ssl3d.scale()]
virtual = ssl3d.data.make_cohort(
    "virtual-hippocampus", f"runs/19-{ssl3d.scale()}/virtual", cases=size["patients"]
)
RUNS = virtual.parent
RAW = RUNS / "raw"  # your own folder goes here

# %% [markdown]
# # Part 1: your own data
#
# ## A folder as it comes from a hospital
#
# We have no hospital, so we write such a folder: scans from several scanners, each with its own
# order of axes; some with slices 2 mm thick; some patients who came twice; some scans without a
# label map; and one file that broke on the way. What is in the files are virtual hippocampi. If
# you have a folder of your own, skip the next two cells, and let `RAW` point to it.

# %%
ORDERS_OF_AXES = ("RAS", "LPS", "PIR", "LAS")  # where an array's three axes point to


def write_visit(number, visit):
    """Write one scan, and for nine patients in ten its label map."""
    noise = torch.Generator().manual_seed(1000 * number + visit)
    for source, folder in (("imagesTr", "scans"), ("labelsTr", "labels")):
        if folder == "labels" and number % 10 == 0:
            continue
        nifti = nib.load(virtual / "raw" / source / f"hippocampus_{number:04d}.nii.gz")
        values = torch.tensor(nifti.get_fdata())
        if folder == "scans":
            values += 0.02 * values.std() * torch.randn(values.shape, generator=noise)
        nifti = nib.Nifti1Image(values.numpy().astype(nifti.get_data_dtype()), nifti.affine)
        here = nib.io_orientation(nifti.affine)
        there = nib.orientations.axcodes2ornt(ORDERS_OF_AXES[number % 4])
        nifti = nifti.as_reoriented(nib.orientations.ornt_transform(here, there))
        nifti = nifti.slicer[:, :, :: 1 + (number % 3 == 0)]  # every second slice of each third one
        path = RAW / folder / f"p{number:03d}_visit{visit}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nifti, path)


# %%
visits = [(n, 1) for n in range(1, size["patients"] + 1)]
visits += [(n, 2) for n in range(1, size["patients"] + 1) if n % 4 == 0]
for number, visit in visits:
    write_visit(number, visit)
whole = (RAW / "scans/p001_visit1.nii.gz").read_bytes()
(RAW / "scans/p900_visit1.nii.gz").write_bytes(whole[: len(whole) // 2])
rows = [f"p{n:03d}_visit{v}.nii.gz,p{n:03d}" for n, v in (*visits, (900, 1))]
(RAW / "patients.csv").write_text("\n".join(["image,patient", *rows, ""]))
print(*(RAW / "patients.csv").read_text().splitlines()[:3], "...", sep="\n")

# %%
some = [RAW / "scans" / f"p{n:03d}_visit1.nii.gz" for n in (1, 2, 3, 4)]
figure = Figure(figsize=(8, 2.6), layout="constrained")
for axes, path in zip(figure.subplots(1, 4), some, strict=True):
    scan = nib.load(path)
    codes = "".join(nib.aff2axcodes(scan.affine))
    sizes = " × ".join(f"{mm:.0f}" for mm in scan.header.get_zooms())
    ssl3d.show.draw_plane(axes, scan.get_fdata())
    axes.set_title(f"{path.name[:4]}: {codes}\n{scan.shape}, {sizes} mm", fontsize=8)
figure

# %% [markdown]
# *What to look at:* the same plane of the array, `array[:, :, middle]`, of four files. It is
# another plane of the head each time, and lies another way round. A network that reads arrays as
# they come learns the hospital, not the anatomy. The letters tell where the axes point: R right, A
# front (anterior), S up (superior), and L, P, I their opposites.
#
# ## From files to a cohort
#
# One recipe takes any folder. It turns every scan to RAS by its header, samples it once, to 1 mm,
# lays it into one shape, and scales each scan by itself. The table tells which scans are of one
# patient.

# %%
Folder, prepare = ssl3d.data.load_recipe("folder")
settings = Folder(
    raw=RAW / "scans",
    labels=RAW / "labels",
    table=RAW / "patients.csv",
    out=RUNS / "cohort",
    spacing=(1.0, 1.0, 1.0),
    size=(40, 56, 40),
    label_names=("background", "anterior", "posterior"),
    name="MyHippocampi",
    licence=ssl3d.data.load_recipe("virtual-hippocampus")[0].about.licence,
    workers=1,
)
summary = str(prepare(settings))
print(summary.replace(f"{RAW.resolve()}/", ""))  # shorter paths

# %% [markdown]
# The broken file was refused with its reason, and the others went on. The same from a terminal:
#
# ```
# ssl3d prepare folder --raw raw/scans --labels raw/labels --table raw/patients.csv --out cohort
#     --spacing 1 1 1 --size 40 56 40 --label-names background anterior posterior
# ```
#
# For **CT** give an intensity window in Hounsfield units, `--intensity window:-150,250`: CT has
# units, so all scans are scaled alike. **DICOM** needs no conversion by hand: let `--raw` point to
# a folder that holds a folder of slices for each series (and `pip install -e .[data]`).
# Slices are put in order by their position, not by their file name. Look at the result all the
# more closely, as a folder may hold localisers and derived series too. And DICOM headers bear
# names and birthdays: leave the raw folder where it is safe. The cohort holds no header.
#
# **Now look.**

# %%
cohort = ssl3d.Cohort.open(settings.out).to("cuda" if torch.cuda.is_available() else "cpu")
split = cohort.split()
print(f"{len(cohort)} scans of {len({case.patient for case in cohort.cases})} patients")
ssl3d.show.contact_sheet(cohort, split.train[:8])

# %% [markdown]
# *What to look at:* every scan now stands upright and looks the same way, and the outlines lie on
# the hippocampus. Blurred ones had thick slices; no resampling brings back what was not measured.
# A label beside its organ, or a head upside down, would show here, and nowhere else as plainly.
#
# One of them, to scroll through:

# %%
image, label = cohort[split.train[0]]
ssl3d.show.Slices(image, label, label_names=cohort.label_names)

# %% [markdown]
# ## Is it sound?
#
# `verify` reads every array again: checksums, shapes, values, labels, whether the raw files are
# still those it was made from, and whether a patient or a picture stands on two sides of a split.

# %%
print(ssl3d.data.verify(ssl3d.data.Verify(cohort=settings.out, raw=settings.raw, workers=1)))

# %% [markdown]
# **Predict before you run.** Leave out the table, and each scan is taken for a patient of its own.
# How many patients that came twice will then stand on two sides of a split? There are five folds.

# %%
careless = replace(settings, table=None, out=RUNS / "no-table")
prepare(careless)
folds = {}  # patient → the folds of the scans
for case in ssl3d.Cohort.open(careless.out).cases:
    folds.setdefault(case.id[:4], set()).add(case.fold)
twice = sum(visit == 2 for _, visit in visits)
torn = sum(len(sides) > 1 for sides in folds.values())
print(f"{torn} of {twice} patients with two visits are torn apart")

# %% [markdown]
# And `verify` could not know. The checksums of two visits differ; only you know whose they are.
#
# # Part 2: your own proxy task
#
# ## The idea
#
# Cut three slabs out of a scan, one behind the other, shuffle them, and ask: *in which order do
# they belong?* There are $3! = 6$ orders, so guessing is right once in six. Formally, with slabs
# $x_1, x_2, x_3$ from back to front, an order $\pi$ drawn evenly, the encoder $g_\text{enc}$ and a
# head $h$,
#
# $$\mathcal{L}_\text{stack} = -\log p(\pi \mid \hat y), \qquad
# \hat y = h\big(g_\text{enc}(x_{\pi(1)}), g_\text{enc}(x_{\pi(2)}),
# g_\text{enc}(x_{\pi(3)})\big).$$
#
# It is a jigsaw of one dimension. Notebook 08 tells what would spoil it: slabs that touch (so we
# leave gaps and move each a little), brightness (so each slab is normalised), and the rim where
# crops were padded (so we keep away from both ends).
#
# ## The code, in four pieces
#
# Settings are a frozen dataclass. The docstring under a field is its help on the command line.

# %%
ORDERS = torch.tensor([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


@dataclass(frozen=True)
class StackSettings:
    axis: int = 1
    """The slabs lie one behind the other along this axis; 1 is from back to front."""
    thickness: int = 8
    """Thickness of a slab, voxels."""
    width: int = 24
    """Edge of a slab across that axis, voxels."""
    jitter: int = 3
    """Voxels by which a slab may be moved, lest its border fit the next one's."""
    margin: int = 7
    """Voxels left out at both ends, where crops may be padded."""
    hidden: int = 64
    """Width of the head's hidden layer."""


# %% [markdown]
# `sample_params` makes **every random choice**, as small tensors on the CPU, from the generator
# that it is given. It may look at how many volumes there are and how large, and at nothing else.


# %%
def sample_params(self, volumes, generator):
    s, scans = self.settings, len(volumes)
    return {
        "order": torch.randint(len(ORDERS), (scans, 1), generator=generator),
        "column": ssl3d.tasks.geometry.random_corner(
            volumes.shape[2:], self.slab, (scans, 1), generator
        ),
        "jitter": torch.randint(s.jitter + 1, (scans, 3), generator=generator),
    }


# %% [markdown]
# `make_views` makes the views from a draw, **without any chance**, and says in `Placement` where in
# the scan each came from: a matrix, view voxel → scan voxel. All the pictures are drawn from that.


# %%
def make_views(self, volumes, params):
    s = self.settings
    room = (volumes.shape[2 + s.axis] - 2 * s.margin) // 3  # for each slab
    shown = ORDERS[params["order"][:, 0]]  # (scan, place): which slab is shown there
    corner = params["column"].repeat(1, 3, 1)  # (scan, place, axis)
    corner[..., s.axis] = s.margin + room * shown + (room - s.thickness - s.jitter) // 2
    corner[..., s.axis] += params["jitter"].gather(1, shown)
    views = ssl3d.tasks.geometry.normalised(ssl3d.tasks.geometry.cut(volumes, corner, self.slab))
    grid = [3 if axis == s.axis else 1 for axis in range(self.dims)]
    placement = ssl3d.tasks.Placement(ssl3d.tasks.geometry.shift_matrix(corner), tuple(grid))
    return ssl3d.tasks.ProxyBatch(views, params["order"].to(views.device), placement)


# %% [markdown]
# `forward` answers. Each slab is encoded once, and the head reads the three in the order in which
# they are shown. Cross-entropy and accuracy are inherited.


# %%
def forward(self, encoder, batch):
    features = ssl3d.models.global_avg_pool(
        encoder(batch.views.flatten(0, 1))
    )  # (scan · place, width)
    return self.head(features.view(len(batch.views), -1))


class Stack(ssl3d.tasks.ProxyTask):
    """In which order do three slabs belong?"""

    name, Settings = "stack", StackSettings
    sample_params, make_views, forward = sample_params, make_views, forward

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        across = [settings.width] * self.dims
        across[settings.axis] = settings.thickness
        self.slab = tuple(across)
        self.head = ssl3d.models.head(3 * encoder.width, settings.hidden, len(ORDERS))


# %% [markdown]
# One line makes it known: by its name, in presets and in studies.

# %%
ssl3d.tasks.TASKS[Stack.name] = Stack
shape = ssl3d.EncoderSettings(in_channels=len(cohort.channels), filters=size["filters"])
task = ssl3d.make_task("stack", shape, seed=0)
volumes = cohort.images(split.validation[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))
batch = task.make_views(volumes, params)
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# *What to look at:* the views know nothing of your task, and yet they show it. Three boxes, one
# behind the other, with gaps; below, the slabs in the order in which the network gets them.
#
# ## Test it by the library's laws
#
# Wrong tasks train too, and look fine. So every task of the library has to pass the same few
# tests. Here they are, for yours.
#
# **Law 1. The same draw, the same puzzle**; and posing changes no scan.

# %%
before = volumes.clone()
again = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
assert torch.equal(again.views, batch.views)
assert torch.equal(again.target, batch.target)
assert torch.equal(volumes, before)
print("same seed, same params; same params, same views")

# %% [markdown]
# **Law 2. Answers are balanced.** With 6000 puzzles each of six answers is expected 1000 times,
# give or take $\sqrt{6000 \cdot \frac16 \cdot \frac56} \approx 29$.

# %%
many = volumes[:1].expand(6000, *volumes.shape[1:])  # sample_params reads no voxel
counts = torch.bincount(task.sample_params(many, torch.Generator().manual_seed(1))["order"][:, 0])
print(counts.tolist())
assert (counts - 1000).abs().max() < 5 * 29

# %% [markdown]
# **Law 3. The placement tells the truth.** Go back into the scan by the matrix and read the voxels
# there: they must be those of the view.


# %%
def looked_up(volume, matrix, space):
    """The voxels of a scan (x, y, z) that a view of size `space` was cut from."""
    voxels = torch.cartesian_prod(*map(torch.arange, space)).T.float()
    places = matrix[:3, :3] @ voxels + matrix[:3, 3:]
    return volume[tuple(places.round().long())].view(space)


for scan in range(len(volumes)):
    for seen, matrix in zip(batch.views[scan, :, 0].cpu(), batch.placement.matrix[scan]):
        there = looked_up(volumes[scan, 0].cpu(), matrix.float(), seen.shape)
        assert torch.allclose((there - there.mean()) / there.std(correction=0), seen, atol=1e-3)
print("every view is what its matrix says")

# %% [markdown]
# **Law 4. Each scan by itself.** Several devices share a batch, so a part of the draw must give
# that part of the puzzles.

# %%
part = task.make_views(volumes[1:], ssl3d.tasks.part_of(params, slice(1, 2)))
assert torch.equal(part.views, batch.views[1:])
assert torch.equal(part.target, batch.target[1:])
print("a part of the params is a part of the batch")

# %% [markdown]
# **Law 5. No anatomy, no answer.** Trained on noise, it must stay at chance; notebook 08 tells
# why. We test this below, together with the training.
#
# ## Pretrain
#
# Nothing in `pretrain()` knows your task. **Predict before you run:** is putting three slabs in
# order easier or harder than naming one of ten turns?

# %%
encoder = ssl3d.make_encoder(shape, seed=0)
names = ["".join(str(slab + 1) for slab in order) for order in ORDERS.tolist()]
view = ssl3d.show.Live(task, encoder, volumes, names=names)
view

# %%
training = ssl3d.TrainSettings(steps=size["steps"], batch=8, learning_rate=2e-3)
history = ssl3d.pretrain(task, encoder, cohort, settings=training, callback=view.watch)


# %%
def asked_often(task, encoder, cohort):
    """Mean scores on validation scans, of which each is asked ten times."""
    times = [
        ssl3d.evaluation.proxy_score(task, encoder, cohort, split.validation, seed=seed)
        for seed in range(10)
    ]
    return {name: sum(scores[name] for scores in times) / len(times) for name in times[0]}


held_out = asked_often(task, encoder, cohort)
print({name: round(value, 3) for name, value in held_out.items()})

# %% [markdown]
# And Law 5: the same task, encoder and training, on noise.

# %%
everyone = range(len(cohort))
noise = torch.randn(cohort.images(everyone).shape, generator=torch.Generator().manual_seed(0))
resident = (noise.to(volumes.device), cohort.labels(everyone))
noisy = replace(cohort, resident=resident)  # the same cases, other images
blind_task, blind = ssl3d.make_task("stack", shape, seed=0), ssl3d.make_encoder(shape, seed=0)
noise_history = ssl3d.pretrain(blind_task, blind, noisy, settings=training)
ssl3d.show.learning_curves(
    {"on scans": history, "on noise": noise_history},
    {"on scans": held_out, "on noise": asked_often(blind_task, blind, noisy)},
)

# %% [markdown]
# *What to look at:* the dots are held-out scans, the dashed line is chance. Noise has to stay
# there.
#
# ## See it
#
# The same views as for the tasks of the library. In 3D: pull the slabs apart, put them back, and
# look at the trained network's guess beside the truth.

# %%
with torch.inference_mode():
    prediction = task(encoder, batch).argmax(1)
print("truth", [names[n] for n in batch.target[:, 0]], "prediction", [names[n] for n in prediction])
ssl3d.show.Puzzle3D(volumes, batch, prediction=ORDERS[int(prediction[0])].tolist())

# %%
ssl3d.show.puzzle_slices(volumes, batch)

# %% [markdown]
# Where does it err, on all validation scans, each asked ten times?

# %%
truth, said = [], []
with torch.inference_mode():
    for seed in range(10):
        scans = cohort.images(split.validation)
        asked = task.make_views(
            scans, task.sample_params(scans, torch.Generator().manual_seed(seed))
        )
        truth += asked.target[:, 0].tolist()
        said += task(encoder, asked).argmax(1).tolist()
ssl3d.show.confusion(truth, said, names)

# %% [markdown]
# *What to look at:* the diagonal is right. Off it: does the network confuse orders that differ by
# one swap of neighbours (123 and 213), or any?
#
# ## What are the features worth?
#
# A puzzle solved is no proof of anything. So ask the linear probe, beside random encoders of three
# kinds and place alone, the mean label map of the same labelled scans. And because one start is an
# anecdote, train your task from others too.

# %%
arms = {"stack": [encoder]}
for seed in range(1, size["seeds"]):
    other_task, other = (
        ssl3d.make_task("stack", shape, seed=seed),
        ssl3d.make_encoder(shape, seed=seed),
    )
    ssl3d.pretrain(other_task, other, cohort, settings=training, seed=seed)
    arms["stack"].append(other)
for norm in ("instance", "batch", "none"):
    starts = [ssl3d.make_encoder(shape, seed, norm=norm) for seed in (100, 101)]
    arms[f"random, norm: {norm}"] = [start.to(volumes.device) for start in starts]
scores = {arm: {n: [] for n in size["labels"]} for arm in arms}
for arm, candidates in arms.items():
    for candidate in candidates:
        for n in size["labels"]:
            result = ssl3d.probe(candidate, cohort, labels=n, draws=size["draws"], controls=0)
            scores[arm][n] += [report.score for report in result.reports]
scores["place alone"] = {  # no encoder: the mean label map of the same labelled scans
    n: [
        ssl3d.evaluation.evaluate_place(
            cohort, cohort.subset(split.train, n, draw), split.test
        ).score
        for draw in range(size["draws"])
    ]
    for n in size["labels"]
}
ssl3d.show.label_efficiency(scores)

# %%
for arm, by_amount in scores.items():
    for start in range(len(arms.get(arm, [None]))):
        own = slice(start * size["draws"], (start + 1) * size["draws"])
        means = {n: round(sum(s[own]) / len(s[own]), 3) for n, s in by_amount.items()}
        print(f"{arm:22} start {start}: {means}")

# %% [markdown]
# *What to look at:* is the line of your task above *all* dots of the random encoders? With how few
# labels? And in the lines above: how far apart are two starts of one and the same arm? Whatever is
# smaller than that is no result yet.
#
# ## Put it to the test
#
# One seed is an anecdote. A study runs every arm with the same labels, seeds and steps, and says
# what can be concluded; for a verdict it needs six seeds (notebook 11). It is a text file:

# %%
study_file = RUNS / "stack.toml"
study_file.write_text("""\
title = "Does putting slabs in order help?"
arms = ["stack", "cpc", "rotation", "scratch", "random", "random@batch", "random@none", "collapsed"]
labels = ["2", "5"]
protocols = ["finetune", "probe", "probe+place"]
seeds = 6
cohort = { recipe = "virtual-hippocampus", cases = 100 }
pretrain.steps = 120
finetune.steps = 100

[smoke]
seeds = 2
cohort.cases = 15
encoder.filters = [4, 8]
pretrain.steps = 10
finetune.steps = 10
""")
study = ssl3d.study.read_study(study_file, "class")
print(study.title, "\n", study.arms, "\n", study.seeds, "seeds,", study.labels, "labels")

# %% [markdown]
# To run it on your own cohort, move the class into `ssl3d_lite/tasks/stack.py`, add one line to
# `ssl3d_lite/tasks/__init__.py`, and type
#
# ```
# ssl3d study stack.toml --scale class --cohort cohort
# ```
#
# or, here, `ssl3d.study(study_file, "class", RUNS / "study", cohort=cohort)`. It takes some
# minutes. Notebooks 14 to 17 show how to read what it says.
#
# **Exercise.** Stack the slabs from the feet up (`axis=2`) instead of from back to front. Which
# laws still hold? What do `thickness` and `margin` have to be in a volume of 40 voxels? Are the
# features better or worse, and can you say why?
#
# <details><summary>Hint and solution</summary>
#
# Each slab gets `(40 - 2 * margin) // 3` voxels, which must hold `thickness + jitter` and leave a
# gap. `make_task("stack", shape, axis=2, margin=2, jitter=2)` gives each 12 voxels: 8, a jitter of
# 2, and a gap of 2 or more. `thickness` cannot go below 4 with three levels, as the encoder halves
# twice. All laws hold; but a margin of 2 no longer keeps away from the padded rim (notebook
# 13), so a good score may be the rim's. As to the features: the labels part the hippocampus from
# front to back, so a task that asks for front and back teaches just that. Choose a task by what
# the labels will ask for, and check it by the probe.
#
# </details>
#
# **What the literature did next.**
#
# - Misra, Zitnick and Hebert asked the same of video frames: are they in the right order?
# - Zhu et al. played a Rubik's cube with CT volumes: shuffled *and* turned pieces.
# - Zhou et al. (Models Genesis) painted over, warped and recoloured CT, and had it restored.
# - Tang et al. trained one transformer on three tasks at once: inpainting, rotation, contrast.
#
# **References.** Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
# Misra, Zitnick and Hebert, *Shuffle and Learn: Unsupervised Learning using Temporal Order
# Verification*, ECCV 2016. Zhu et al., *Rubik's Cube+: A Self-supervised Feature Learning
# Framework for 3D Medical Image Analysis*, Medical Image Analysis 2020. Zhou et al., *Models
# Genesis*, Medical Image Analysis
# 2021. Tang et al., *Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image
#       Analysis*, CVPR 2022.

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
# them, into a cohort that can be trusted; write a proxy task that nobody has written before; write
# five tests that catch a wrong task, and show that each of them can fail; and put the task to the
# test, with its controls.
#
# **Time:** 1.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where too little is learnt to conclude anything.
#
# **Before this one:** [volumes](01_volumes.ipynb), [jigsaw](04_jigsaw.ipynb),
# [shortcuts](08_shortcuts.ipynb) and [fine-tuning](11_finetuning.ipynb).
#
# One day somebody hands you a disk: six years of scans from three scanners, no labels, some files
# broken, some patients twice. And you have an idea for a puzzle that fits *those* scans better than
# any in the books. A task is a question on a scan whose answer comes for free. If you can ask
# one, forty lines turn it into a [pretraining](../docs/glossary.md#pretraining). The danger is that
# a wrong task trains just as nicely as a right one. So this notebook spends as many lines on tests
# as on the task.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from dataclasses import dataclass, replace
import nibabel as nib
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"patients": 15, "steps": 10, "seeds": 1, "labels": (2,), "draws": 1},
    "class": {"patients": 60, "steps": 120, "seeds": 2, "labels": (2, 5), "draws": 3},
    "full": {"patients": 200, "steps": 1000, "seeds": 5, "labels": (2, 5, 20), "draws": 5},
}
size = SIZES[ssl3d.scale()]
filters = (4, 8) if ssl3d.scale() == "smoke" else (16, 32, 64)
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
# The next cells write such a folder: scans from several scanners, each with its own order of axes;
# some with slices 2 mm thick; some patients who came twice; some scans without a label map; and one
# file that broke on the way. In the files are [virtual](../docs/glossary.md#virtual-twin)
# hippocampi. If you have a folder of your own, skip the next two cells, and let `RAW` point to it.

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
# *What to look at:* the same plane of the array, `array[:, :, middle]`, of four files. In three of
# them it is an axial plane, each time turned or mirrored in another way; in p002 it is a sagittal
# one. A network that reads arrays as they come learns the hospital, not the anatomy. The letters
# say where the axes point: R right, A front (anterior), S up (superior), and L, P, I their
# opposites.
#
# ## From files to a cohort
#
# One recipe takes any folder. It turns every scan to RAS by its header, samples it once, to 1 mm,
# lays it into one shape, and scales each scan by itself. The table says which scans are of one
# patient ([recipes](../docs/data.md)).

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
# The broken file was refused with its reason, and the others went on. The recipe also noticed that
# no header names the unit of the voxels' size. Here it is mm; with your own files ask those who
# exported them. The same from a terminal:
#
# ```
# ssl3d prepare folder --raw raw/scans --labels raw/labels --table raw/patients.csv --out cohort
#     --spacing 1 1 1 --size 40 56 40 --label-names background anterior posterior
# ```
#
# For **CT** give an intensity window in Hounsfield units, `--intensity window:-150,250`: CT has
# units, so all scans are scaled alike. **DICOM** needs no conversion by hand: let `--raw` point to
# a folder that holds a folder of slices for each series (and install the extra `data`).
# Slices are put in order by their position, not by their file name. Look at the result all the
# more closely, since a folder may hold localisers and derived series too. And DICOM headers hold
# names and birthdays: leave the raw folder where it is safe. The cohort holds no header.
#
# **Now look.**

# %%
cohort = ssl3d.Cohort.open(settings.out).to("cuda" if torch.cuda.is_available() else "cpu")
split = cohort.split()
print(f"{len(cohort)} scans of {len({case.patient for case in cohort.cases})} patients")
ssl3d.show.contact_sheet(cohort, split.train[:8])

# %% [markdown]
# *What to look at:* every scan now stands upright and faces the same way, and the outlines lie on
# the hippocampus. Blurred ones had thick slices (p006, p009); no resampling brings back what was
# not measured. p004 came twice: the two scans are the same but for noise. A label next to its
# organ, or a head upside down, would be seen here, and nowhere else as plainly. Grey streaks at a
# border are padding: there the raw scan had ended.
#
# One of them, to scroll through, and in 3D:

# %%
image, label = cohort[split.train[0]]
look = {"label_names": cohort.label_names, "spacing": cohort.spacing}
ssl3d.show.Slices(image, label, **look)

# %%
ssl3d.show.Volume3D(image, label, title=cohort.cases[split.train[0]].id, **look)

# %% [markdown]
# ## Is it sound?
#
# `verify` reads every array again: checksums, shapes, values, labels, whether the raw files are
# still those it was made from, and whether a patient or a picture is on two sides of a split.

# %%
print(ssl3d.data.verify(ssl3d.data.Verify(cohort=settings.out, raw=settings.raw, workers=1)))

# %% [markdown]
# Nothing is at fault. The line above that names [place alone](../docs/glossary.md#place-alone): a
# mean of label maps, which looks at no scan, already has a Dice of one half. Any network has to
# beat that first.
#
# **Predict before you run.** Leave out the table, and each scan is taken for a patient of its own.
# How many patients that came twice will then be on two sides of a split? There are five folds.

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
# <details><summary>What we saw</summary>
#
# 10 of the 15 who came twice were torn apart. With five folds, two scans that are dealt by chance
# land in different ones four times in five, so 12 were to be expected, give or take luck. And
# `verify` could not know: the checksums of two visits differ. **Only you know whose scans they
# are.** [Notebook 13](13_leakage.ipynb) shows what it does to a score.
#
# </details>
#
# # Part 2: your own proxy task
#
# ## The idea
#
# Cut three slabs out of a scan, one behind the other, shuffle them, and ask: *in which order do
# they belong?* There are $3! = 6$ orders, so guessing is right once in six
# ([chance](../docs/glossary.md#chance)). With slabs $x_1, x_2, x_3$ from back to front, an order
# $\pi$ that is drawn evenly, the encoder $g_\text{enc}$ and a [head](../docs/glossary.md#head) $h$,
#
# $$\mathcal{L}_\text{stack} = -\log p(\pi \mid \hat y), \qquad
# \hat y = h\big(g_\text{enc}(x_{\pi(1)}), g_\text{enc}(x_{\pi(2)}),
# g_\text{enc}(x_{\pi(3)})\big).$$
#
# It is a jigsaw of one dimension. [Notebook 08](08_shortcuts.ipynb) shows what would spoil it:
# slabs that touch (so there are gaps, and each slab is moved a little), brightness (so each slab is
# normalised), and the rim where crops were padded (so both ends are left out).
#
# ## The code, in four pieces
#
# [A new proxy task](../docs/own_task.md#a-new-proxy-task) has the rules. Settings are a frozen
# dataclass. The docstring under a field is its help on the command line.

# %%
ORDERS = torch.tensor([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
names = ["".join(str(slab + 1) for slab in order) for order in ORDERS.tolist()]


@dataclass(frozen=True)
class StackSettings:
    axis: int = 1
    """The slabs lie one behind the other along this axis; 1 is from back to front."""
    thickness: int = 8
    """Thickness of a slab, voxels."""
    width: int = 24
    """Edge of a slab across that axis, voxels."""
    jitter: int = 3
    """Voxels by which a slab may be moved, so that its border does not fit the next one's."""
    margin: int = 7
    """Voxels left out at both ends, where crops may be padded."""
    hidden: int = 64
    """Width of the head's hidden layer."""


# %% [markdown]
# `sample_params` makes **every random choice**, as small tensors on the CPU, from the generator
# that it is given. It may read how many volumes there are and how large, and nothing else.


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
# the scan each came from: a matrix, view voxel → scan voxel. All pictures are drawn from that.


# %%
def make_views(self, volumes, params):
    s = self.settings
    room = (volumes.shape[2 + s.axis] - 2 * s.margin) // 3  # for each slab
    shown = ORDERS[params["order"][:, 0]]  # (scan, place): which slab is shown there
    corner = params["column"].repeat(1, 3, 1)  # (scan, place, axis)
    corner[..., s.axis] = s.margin + room * shown + (room - s.thickness - s.jitter) // 2
    corner[..., s.axis] += params["jitter"].gather(1, shown)
    views = ssl3d.tasks.geometry.normalised(ssl3d.tasks.geometry.cut(volumes, corner, self.slab))
    grid = tuple(3 if axis == s.axis else 1 for axis in range(self.dims))
    matrix = ssl3d.tasks.geometry.shift_matrix(corner)
    return self.batch_of(views, params["order"], ssl3d.tasks.Placement(matrix, grid))


# %% [markdown]
# `forward` answers. Each slab is encoded once, and the head reads the three in the order in which
# they are shown. Cross-entropy and accuracy are inherited.


# %%
def forward(self, encoder, batch):
    features = encoder(batch.views.flatten(0, 1))  # each slab by itself
    pooled = ssl3d.models.global_avg_pool(features)  # (scan · place, width)
    return self.head(pooled.view(len(batch.views), -1))


class Stack(ssl3d.tasks.ProxyTask):
    """In which order do three slabs belong?"""

    name, Settings = "stack", StackSettings
    question, answers = "In which order do the slabs belong?", tuple(names)
    sample_params, make_views, forward = sample_params, make_views, forward

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        across = [settings.width] * self.dims
        across[settings.axis] = settings.thickness
        self.slab = tuple(across)
        self.head = ssl3d.models.head(3 * encoder.width, settings.hidden, len(ORDERS))


# %% [markdown]
# One line makes it known: by its name, in presets and in studies. And the views know nothing of
# your task, yet they show it. First on a whole brain, where a person can solve it:

# %%
ssl3d.tasks.TASKS[Stack.name] = Stack
# batch norm: the answer is read off the mean of each feature, which instance norm, the default,
# nearly levels out
shape = ssl3d.EncoderSettings(in_channels=len(cohort.channels), filters=filters, norm="batch")
brains = ssl3d.open_cohort("brats", cases=5, edge=48).images([0])[:, :1]
large = ssl3d.make_task("stack", shape, thickness=10, width=40, jitter=2, margin=3)
drawn = large.sample_params(brains, torch.Generator().manual_seed(1))
ssl3d.show.Puzzle3D(brains, large.make_views(brains, drawn))

# %% [markdown]
# *What to look at:* three slabs of a brain, on the left as the network gets them, on the right put
# back. Look at the left one first: **which slab is the front of the brain, and by what do you know
# it?**
#
# <details><summary>Answer</summary>
#
# The one in the middle of the left picture. Put back (on the right, nearest to you) its face shows
# a small outline, since the brain narrows to the front, and no ventricles. The slab that stands in
# front on the left has a wide outline and dark ventricles: it is from the middle.
#
# </details>
#
# Now on your cohort. (Pieces are counted from 0 in the picture, from 1 in the answer: 213 means
# that pieces 1, 0 and 2 are shown in this order.)

# %%
task = ssl3d.make_task("stack", shape, seed=0)
volumes = cohort.images(split.validation[:2])
params = task.sample_params(volumes, torch.Generator().manual_seed(0))
batch = task.make_views(volumes, params)
ssl3d.show.puzzle(volumes, batch)

# %% [markdown]
# ## Five laws, as tests
#
# Every task of the library has to pass the same few tests. Here they are, written out. Each is a
# function that raises an `AssertionError` if the law is broken.
#
# 1. **The same draw, the same puzzle**, and posing it changes no scan.
# 2. **Answers are balanced.** Of 6000 puzzles each of six answers is expected 1000 times, give or
#    take $\sqrt{6000 \cdot \frac16 \cdot \frac56} \approx 29$.
# 3. **The placement is true.** Go back into the scan by the matrix and read the voxels
#    there: but for brightness and contrast they are those of the view.
# 4. **Each scan by itself.** Several devices share a batch, so a part of the draw must give that
#    part of the puzzles.
# 5. **No anatomy, no answer.** In noise there is nothing to recognise, so nothing may name the
#    order. The noise has to be *smooth*, as scans are. In white noise neighbouring voxels have
#    nothing in common: even slabs that touch cannot be matched there, and the worst
#    [shortcut](../docs/glossary.md#shortcut) would pass.


# %%
def posed(task, volumes, seed=0):
    return task.make_views(
        volumes, task.sample_params(volumes, torch.Generator().manual_seed(seed))
    )


def law_1_same_draw(task, volumes):
    before = volumes.clone()
    first, again = posed(task, volumes), posed(task, volumes)
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.target, again.target)
    assert torch.equal(volumes, before)


def law_2_balance(task, volumes):
    many = volumes[:1].expand(6000, *volumes.shape[1:])  # sample_params reads no voxel
    drawn = task.sample_params(many, torch.Generator().manual_seed(1))
    counts = torch.bincount(drawn["order"][:, 0], minlength=6)
    assert (counts - 1000).abs().max() < 5 * 29


def law_3_placement(task, volumes):
    batch = posed(task, volumes)
    for scan in range(len(volumes)):
        for seen, matrix in zip(batch.views[scan, :, 0].cpu(), batch.placement.matrix[scan]):
            voxels = torch.cartesian_prod(*map(torch.arange, seen.shape)).T.float()
            places = matrix.float()[:3, :3] @ voxels + matrix.float()[:3, 3:]
            there = volumes[scan, 0].cpu()[tuple(places.round().long())]
            assert torch.corrcoef(torch.stack([there, seen.flatten()]))[0, 1] > 0.999


def law_4_by_itself(task, volumes):
    drawn = task.sample_params(volumes, torch.Generator().manual_seed(0))
    whole = task.make_views(volumes, drawn)
    part = task.make_views(volumes[1:], ssl3d.tasks.part_of(drawn, slice(1, None)))
    assert torch.allclose(part.views, whole.views[1:], atol=1e-5)
    assert torch.equal(part.target, whole.target[1:])


# %% [markdown]
# Law 5 needs an opponent. Training a network on noise is one, and you do that below. But a network
# that was trained too briefly misses a shortcut that a longer run would find. So the law has a
# **rule** as well, which needs no training: put the slabs into the order in which facing borders
# are most alike.


# %%
def noise_like(volumes, smooth, seed=0):
    """Noise of that shape; voxels have something in common if they are nearer than ``smooth``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(volumes.shape, generator=generator).to(volumes.device)
    for window in ((smooth, 1, 1), (1, smooth, 1), (1, 1, smooth)):  # a mean along each axis
        half = tuple(edge // 2 for edge in window)
        noise = torch.nn.functional.avg_pool3d(noise, window, 1, half)
    return noise / noise.std()


def by_borders(task, batch):
    """For each puzzle the order in which facing borders of the slabs are most alike."""
    axis = 2 + task.settings.axis  # of (scan, place, *space)
    views = batch.views[:, :, 0]
    first, last = (views.select(axis, end).flatten(2) for end in (0, -1))
    first, last = (each - each.mean(2, keepdim=True) for each in (first, last))
    fit = torch.nn.functional.cosine_similarity(last[:, :, None], first[:, None], dim=3)
    total = []
    for order in ORDERS:  # order[p] is the slab that is shown in place p
        place = order.argsort()  # place[s] is where slab s is shown
        total.append(fit[:, place[0], place[1]] + fit[:, place[1], place[2]])
    return torch.stack(total, 1).argmax(1)


def named_in_noise(task, volumes, smooth, puzzles=200):
    """Share of orders that the rule names in noise."""
    right = []
    for seed in range(puzzles // 20):  # new noise each time, or puzzles would share their borders
        noise = noise_like(volumes[:1].expand(20, *volumes.shape[1:]), smooth, seed)
        batch = posed(task, noise, seed)
        right.append((by_borders(task, batch) == batch.target[:, 0]).float())
    return float(torch.cat(right).mean())


def law_5_no_anatomy(task, volumes):
    by_luck = (1 / 6 * 5 / 6 / 200) ** 0.5  # how far a share of 200 puzzles is off by luck
    assert named_in_noise(task, volumes, smooth=3) < 1 / 6 + 4 * by_luck


LAWS = (law_1_same_draw, law_2_balance, law_3_placement, law_4_by_itself, law_5_no_anatomy)

# %% [markdown]
# ### A test that cannot fail is none
#
# So here are five wrong tasks, each with a mistake that people make. **Predict before you run:**
# which law does each break?


# %%
class Noisy(Stack):
    """Chance in the wrong place: a little noise when the views are made."""

    def make_views(self, volumes, params):
        batch = super().make_views(volumes, params)
        batch.views += 0.01 * torch.randn_like(batch.views)
        return batch


class Unfair(Stack):
    """A limit that is off by one: the last order never comes."""

    def sample_params(self, volumes, generator):
        params = super().sample_params(volumes, generator)
        params["order"] = params["order"].clamp(max=4)
        return params


class Misplaced(Stack):
    """A placement that is wrong by two voxels."""

    def make_views(self, volumes, params):
        batch = super().make_views(volumes, params)
        batch.placement.matrix[..., self.settings.axis, -1] += 2
        return batch


class Together(Stack):
    """Contrast is scaled by the whole batch."""

    def make_views(self, volumes, params):
        batch = super().make_views(volumes, params)
        batch.views *= len(volumes)
        return batch


wrong = {"noisy": Noisy, "unfair": Unfair, "misplaced": Misplaced, "together": Together}
tasks = {"stack": task} | {name: kind(StackSettings(), shape) for name, kind in wrong.items()}
tasks["touching"] = Stack(StackSettings(thickness=14, jitter=0), shape)  # no gap: two settings
print(f"{'':10}", *(f"{law.__name__[4:]:>13}" for law in LAWS))
for name, each in tasks.items():
    row = []
    for law in LAWS:
        try:
            law(each, volumes)
            row.append("holds")
        except AssertionError:
            row.append("BROKEN")
    print(f"{name:10}", *(f"{word:>13}" for word in row))
    assert (name == "stack") == (row == ["holds"] * 5)

# %% [markdown]
# *What to look at:* your task keeps all laws. Each wrong one breaks at least one, and each law is
# broken by at least one.
#
# And why the noise must be smooth. **Predict before you run:** in which column does the rule solve
# the slabs that touch? In which does it begin to solve yours?

# %%
print("share of orders that borders name in noise; chance is 16.7%")
reach = (1, 3, 5, 7, 9)
print(f"{'voxels':10}", *(f"{n:>9}" for n in reach), "  (1 is white noise)")
for name in ("touching", "stack"):
    shares = (named_in_noise(tasks[name], volumes, n) for n in reach)
    print(f"{name:10}", *(f"{share:9.1%}" for share in shares))

# %% [markdown]
# <details><summary>What we saw</summary>
#
# In white noise the rule named 20.5% of the orders of slabs that *touch*. Of 200 puzzles that is
# within luck of chance. So a law with white noise passes the worst mistake. In noise of 3 voxels
# the rule named 100.0% of them, and 19.5% of yours. In smoother noise it begins to solve yours too:
# 24.5% at 5 voxels and 53.0% at 9. A gap of a few voxels is none where the scan hardly changes over
# as many. So the law is no proof. It says that the gap suffices for noise of *this* smoothness.
# Make gaps as large as your scans are smooth.
#
# </details>
#
# ## Pretrain
#
# Nothing in `pretrain()` knows your task. **Predict before you run:** is putting three slabs in
# order easier or harder than naming one of ten turns?

# %%
encoder = ssl3d.make_encoder(shape, seed=0)
view = ssl3d.show.Live(task, encoder, volumes)
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
print(f"on scans {held_out['accuracy']:.1%} right, other patients; chance {held_out['chance']:.1%}")

# %% [markdown]
# And Law 5 once more, by training: the same encoder and steps on smooth noise, with your task, and
# with slabs that touch.

# %%
everyone = range(len(cohort))
noise = noise_like(cohort.images(everyone), smooth=3)
noisy = replace(cohort, resident=(noise, cohort.labels(everyone)))  # the same cases, other images
histories, dots, blind = {"on scans": history}, {"on scans": held_out}, {}
for name, settings in (
    ("on noise", task.settings),
    ("touching, noise", tasks["touching"].settings),
):
    torch.manual_seed(0)  # the weights of its head
    blind_task = Stack(settings, shape).to(volumes.device)
    blind[name] = ssl3d.make_encoder(shape, seed=0)
    histories[name] = ssl3d.pretrain(blind_task, blind[name], noisy, settings=training)
    dots[name] = asked_often(blind_task, blind[name], noisy)
    print(f"{name:16} {dots[name]['accuracy']:.1%} right, chance {dots[name]['chance']:.1%}")
ssl3d.show.learning_curves(histories, dots)

# %% [markdown]
# *What to look at:* the dots are held-out scans, the dashed line is chance. Your task on noise has
# to stay there.
#
# <details><summary>What we saw</summary>
#
# On scans of other patients the network was right in 97.9%, on noise in 17.1%, where chance is
# 16.7%. So what it learnt on scans is in the scans. On noise with slabs that touch it had 16.4%
# too: this short training did not find the shortcut, which the rule finds at once. A training that
# stays at chance is a weak proof.
#
# A detail decides over this. With *instance* norm, the default of this package, the same encoder
# stayed at chance after the same steps: that norm brings the features of every slab to nearly the
# same mean, and the head reads means. Try it: leave out `norm="batch"` above. If your own task
# stays at chance, look there before you give up the idea.
#
# </details>
#
# ## See it
#
# The same views as for the tasks of the library. In 3D: pull the slabs apart, put them back, and
# look at the trained network's guess and the truth.

# %%
task, encoder = task.eval(), encoder.eval()  # batch norm: with the means of pretraining
with torch.inference_mode():
    prediction = task(encoder, batch).argmax(1)
print("truth", [names[n] for n in batch.target[:, 0]], "prediction", [names[n] for n in prediction])
ssl3d.show.Puzzle3D(volumes, batch, prediction=ORDERS[int(prediction[0])].tolist())

# %% [markdown]
# Where does it err, on all validation scans, each asked ten times?

# %%
truth, said = [], []
scans = cohort.images(split.validation)
with torch.inference_mode():
    for seed in range(10):
        asked = posed(task, scans, seed)
        truth += asked.target[:, 0].tolist()
        said += task(encoder, asked).argmax(1).tolist()
errors = [(t, s) for t, s in zip(truth, said) if t != s]
swaps = sum(int((ORDERS[t] != ORDERS[s]).sum()) == 2 for t, s in errors)
print(f"{len(errors)} of {len(truth)} are wrong; {swaps} of these are one swap from the truth")
print(f"by luck it would be three of five: {0.6 * len(errors):.0f}")
ssl3d.show.confusion(truth, said, names)

# %% [markdown]
# *What to look at:* the diagonal is right. Off it: does the network confuse orders that differ by
# one swap (123 and 213) more often than by luck? (If it is hardly ever wrong, this cannot be said.)
#
# <details><summary>What we saw</summary>
#
# 3 of 150 answers were wrong, all of them one swap from the truth. Three mistakes are too few to
# say more. Naming the order of three slabs is easier than it sounds: neck, middle and crown of a
# head are told apart by their outline.
#
# </details>
#
# ## What are the features worth?
#
# A puzzle solved is no proof of anything. So ask the
# [linear probe](../docs/glossary.md#linear-probe), with and without the place among its inputs. The
# controls of your own task:
#
# - [random encoders](../docs/glossary.md#random-encoder) of three kinds, two starts of each;
# - **your task on noise**: the same steps, and no anatomy. That is what *any* training gives;
# - [place alone](../docs/glossary.md#place-alone), the mean label map of the same labelled scans.
#
# And because one start is an anecdote, train your task from others too.

# %%
arms = {"stack": [encoder], "stack on noise": [blind["on noise"]]}
for seed in range(1, size["seeds"]):
    other, again = ssl3d.make_encoder(shape, seed), ssl3d.make_task("stack", shape, seed)
    ssl3d.pretrain(again, other, cohort, settings=training, seed=seed)
    arms["stack"].append(other)
for norm in ("instance", "batch", "none"):
    arms[f"random, norm: {norm}"] = [ssl3d.make_encoder(shape, s, norm=norm) for s in (100, 101)]
labelled = {
    n: [cohort.subset(split.train, n, draw) for draw in range(size["draws"])]
    for n in size["labels"]
}
scores = {arm: {n: [] for n in labelled} for arm in arms}
for arm, candidates in arms.items():
    for start, candidate in enumerate(candidates):
        ready = candidate.to(volumes.device)
        ready = ssl3d.evaluation.recalibrated(ready, cohort, split.pretrain[:16])
        for n, draws in labelled.items():
            found = ssl3d.evaluation.probes_by_protocol(ready, cohort, draws, split.test, 1000)
            scores[arm][n] += [result.mean_dice for result in found["probe"]]
            means = {p: sum(r.mean_dice for r in each) / len(each) for p, each in found.items()}
            told = ", ".join(f"{protocol} {mean:.3f}" for protocol, mean in means.items())
            print(f"{arm:22} start {start}, {n} labels: {told}")
scores["place alone"] = {
    n: [ssl3d.evaluation.evaluate_place(cohort, draw, split.test).score for draw in draws]
    for n, draws in labelled.items()
}
for n, floor in scores["place alone"].items():
    print(f"{'place alone':22} {n} labels: {sum(floor) / len(floor):.3f}")
ssl3d.show.label_efficiency(scores)

# %% [markdown]
# *What to look at:* is the line of your task above *all* dots of the random encoders? With how few
# labels? How far apart are two starts of one and the same arm? What is smaller than that is no
# result yet.
#
# <details><summary>What we saw</summary>
#
# With two labels your task had 0.462 and 0.447 from its two starts. The best random kind, without a
# norm, had 0.317 and 0.351, the task on noise 0.345 and place alone 0.422. So without the place the
# features are well ahead of random ones, and a little ahead of place alone. With the place among
# the inputs your task had 0.576 and 0.589 against 0.529 and 0.546, and with five labels 0.631 and
# 0.634 against 0.623 and 0.628: most of the lead was knowing the place. Two starts give no
# [verdict](../docs/glossary.md#verdict). A task that is solved is not yet a task that teaches.
#
# </details>
#
# ## A scan that has just arrived
#
# What all of this is for: a new patient, on any of the scanners, and nobody has outlined anything.
# A fine-tuned network knows how the scans were prepared that it learnt from. So it can be given a
# *raw* file. `ssl3d.predict_images` turns it upright, samples it, segments it, and writes the
# answer over the file's own voxels. Three test patients play the new ones: their files are copied
# into a folder of their own, as they came from the scanner.
#
# **Predict before you run:** the arrays of these files point in different directions, and one may
# have thick slices. In which direction do the arrays of the answers point?

# %%
network = ssl3d.make_network(encoder, cohort, seed=0)  # it begins with your task's encoder
ssl3d.finetune(network, cohort, labelled[max(labelled)][0], steps=size["steps"])

arrived, answers = RUNS / "arrived", RUNS / "answers"
arrived.mkdir(exist_ok=True)
patients = [cohort.cases[case].id for case in split.test[:3]]
for name in patients:
    (arrived / f"{name}.nii.gz").write_bytes((RAW / f"scans/{name}.nii.gz").read_bytes())
said = str(ssl3d.predict_images(network, arrived, answers, workers=1))
print(said.replace(str(RUNS.resolve()), "…").replace(f"{RUNS}", "…"))
for name in patients:
    scan, answer, truth = (
        nib.load(folder / f"{name}.nii.gz") for folder in (arrived, answers, RAW / "labels")
    )
    same = scan.shape == answer.shape and abs(scan.affine - answer.affine).max() < 1e-4
    found, there = answer.get_fdata() > 0, truth.get_fdata() > 0
    dice = 2 * (found & there).sum() / (found.sum() + there.sum())
    points = "".join(nib.aff2axcodes(answer.affine))
    print(f"{name}: {points}, voxels and place as the scan's: {same}; Dice of the whole {dice:.2f}")

# %%
ssl3d.show.scan_slices(arrived / f"{patients[0]}.nii.gz", answers / f"{patients[0]}.nii.gz")

# %% [markdown]
# *What to look at:* the answer lies on the raw scan, in its own order of axes, so that any viewer
# lays it over the scan. The same from a terminal: `ssl3d predict`. It names scans that it cannot
# read, and says if voxels are far coarser than those that the network knows.
#
# <details><summary>What we saw</summary>
#
# The answers point as the scans do: LAS, LPS and LPS, each with the scan's own voxels and place.
# Dice of the whole was 0.70, 0.51 and 0.84. The second scan reaches beyond what the network knows,
# and the line says how far: 7 % of its voxels were outside and became background.
#
# </details>
#
# ## Put it to the test
#
# A study runs every arm with the same labels, seeds and steps, and says what can be concluded. For
# a verdict it needs six seeds ([notebook 11](11_finetuning.ipynb)). What stands after `@` is the
# norm: your task needs batch norm, and then so does the network from scratch that it is compared
# with. It is a text file:

# %%
study_file = RUNS / "stack.toml"
study_file.write_text("""\
title = "Does putting slabs in order help?"
arms = [
    "stack@batch", "rotation@batch", "scratch@batch", "cpc", "scratch",
    "random", "random@batch", "random@none", "collapsed",
]
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
# minutes. [Notebook 14](14_brain_tumours.ipynb) shows how to read what it says.
#
# ## Exercise
#
# Stack the slabs from the feet up (`axis=2`) instead of from back to front. Which
# laws still hold? What do `thickness` and `margin` have to be in a volume of 40 voxels? Are the
# features better or worse, and can you say why?
#
# <details><summary>Hint</summary>
#
# Each slab gets `(40 - 2 * margin) // 3` voxels. These must hold `thickness + jitter` and leave a
# gap. The five laws are functions: give them your new task.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
# upright = ssl3d.make_task("stack", shape, axis=2, margin=2, jitter=2)
# for law in LAWS:
#     law(upright, volumes)
# print("all laws hold; borders name", f"{named_in_noise(upright, volumes, 5):.1%}", "at 5 voxels")
# again = ssl3d.make_encoder(shape, seed=0)
# ssl3d.pretrain(upright, again, cohort, settings=training)
# print({name: round(value, 3) for name, value in asked_often(upright, again, cohort).items()})
# results = ssl3d.evaluation.linear_probes(again, cohort, labelled[2], split.validation, 1000)
# print([round(result.mean_dice, 3) for result in results])
# ```
#
# A margin of 2 gives each slab 12 voxels: 8, a jitter of 2, and a gap of 2 or more. The laws hold,
# as noise of 3 voxels has nothing in common over that gap. But a margin of 2 no longer keeps away
# from the padded rim ([notebook 08](08_shortcuts.ipynb)), so a good score may be the rim's: the
# laws do not know your scans' borders. As to the features: the labels part the hippocampus from
# front to back, so a task that asks for front and back is nearer to them. Choose a task by what the
# labels will ask for, and check it by the probe, on validation patients.
#
# </details>
#
# ## What the literature did next
#
# - Misra et al. ([2016](https://arxiv.org/abs/1603.08561)) asked the same of video frames: are they
#   in the right order?
# - Zhu et al. ([2020](https://doi.org/10.1016/j.media.2020.101746)) played a Rubik's cube with CT
#   volumes: shuffled *and* turned pieces.
# - Zhou et al. ([Models Genesis, 2019](https://arxiv.org/abs/1908.06912)) painted over, warped and
#   recoloured CT, and had it restored.
# - Tang et al. ([2022](https://arxiv.org/abs/2111.14791)) trained one transformer on three tasks at
#   once: inpainting, rotation, contrast.
#
# **Next:** your scans. [Your own task, data set, protocol](../docs/own_task.md) has the rules, and
# [start here](00_start_here.ipynb) the way back.
#
# ## References
#
# Taleb et al., [3D Self-Supervised Methods for Medical Imaging](https://arxiv.org/abs/2006.03829),
# NeurIPS 2020. Misra et al., [Shuffle and Learn](https://arxiv.org/abs/1603.08561), ECCV 2016. Zhu
# et al., [Rubik's Cube+](https://doi.org/10.1016/j.media.2020.101746), Medical Image Analysis 2020.
# Geirhos et al., [Shortcut Learning in Deep Neural Networks](https://arxiv.org/abs/2004.07780),
# Nature Machine Intelligence 2020.

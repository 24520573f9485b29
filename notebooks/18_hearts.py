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
# # Hearts: when the third dimension is unlike the other two
#
# **You will be able to:** see and measure what few slices, far apart, do to a volume; keep the two
# scans of a patient together, and show what happens if you do not; ask whether unlike axes give a
# 3D proxy task away; compare pretraining in 3D with pretraining on slices, fairly; and read what a
# planned study of real hearts says of it.
#
# **Time:** 6.5 minutes on one core (`SSL3D_SCALE=class`, the default), under one at
# `SSL3D_SCALE=smoke`, where nothing is learnt.
#
# **Before this one:** [volumes](01_volumes.ipynb), [2D to 3D](09_2d_to_3d.ipynb),
# [leakage](13_leakage.ipynb).
#
# A heart does not hold still. To see it, the scanner takes one slice at a time, several millimetres
# thick, while the patient holds the breath, and the next one a centimetre further on. So the volume
# that you load has pixels of a millimetre or two, and from one slice to the next it is half the
# width of a thumb. The doctor wants one number from it: how much of the blood does the heart push
# out with each beat? Is such a stack of slices a volume at all, or ten photographs? For a 3D
# network that is no play on words.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

from pathlib import Path
import nibabel as nib
import numpy as np
import torch

SIZES = {
    "smoke": {"patients": 10, "edge": 32, "pretrain": 10, "finetune": 10, "seeds": 2},
    "class": {"patients": 40, "edge": 64, "pretrain": 200, "finetune": 100, "seeds": 6},
    "full": {"patients": 100, "edge": 96, "pretrain": 1000, "finetune": 400, "seeds": 6},
}
size = SIZES[ssl3d.scale()]
filters = (4, 8) if ssl3d.scale() == "smoke" else (16, 32, 64)
RUNS = Path("runs") / f"18-{ssl3d.scale()}"

# %% [markdown]
# ## 1. Hearts, real or drawn
#
# Real ones come from ACDC: 100 patients, each scanned at two moments of the beat. At *end diastole*
# the heart is full, at *end systole* it is squeezed. Three parts are labelled: the cavity of the
# right ventricle (RV), the cavity of the left one (LV), and the *myocardium*, the muscle around the
# left one. The slices lie *across* the heart's long axis: this is the heart's short-axis view.
# So in real files the third axis leads from the base of the heart, where the great vessels leave
# it, to its tip, the *apex*. The letters S and I in the pictures then mean base and apex, and not
# head and feet. If real hearts are prepared as `cohorts/acdc`, they are used.
#
# Else the next cell **draws** hearts into files of the same form. Be clear what they are: these are
# no patients and no simulation. They are ellipsoids with noise, cut in 10 places, 10 mm apart. Each
# cut is a little off, since the breath is held anew; the base is on top (S). They show what few
# slices do to a volume, and two moments. Of anatomy they know what the cell says, and nothing else.
# You need not read it to follow the rest.


# %%
def draw_heart(patient, squeezed, slices=10, pixels=96, mm=1.8):
    """Cuts (x, y, z), infinitely thin, through a heart made of ellipsoids; and their labels."""
    own = np.random.default_rng(patient)  # the same for both moments
    chest = own.uniform(54, 70)  # mm; people differ in width
    centre = own.uniform((-40, -24), (4, 18))
    turn = own.normal(0.4, 0.3)  # where the right ventricle lies
    radius, wall, length = own.uniform((20, 7, 70), (28, 11, 90))
    squeeze = own.uniform(0.65, 0.9)  # how far the cavity narrows
    blood, muscle, lung, flesh, fat = own.normal((200, 90, 25, 100, 190), (20, 10, 6, 10, 20))
    if squeezed:
        radius, wall, length = radius * squeeze, wall * 1.4, length * 0.9
    place = (np.arange(pixels) - (pixels - 1) / 2) * mm
    image, label = np.zeros((pixels, pixels, slices)), np.zeros((pixels, pixels, slices), np.uint8)
    noise = np.random.default_rng((patient, squeezed))
    for z in range(slices):
        depth = 10.0 * (slices - 1 - z) - 8  # mm below the base; the apex lies at ``length``
        slip = noise.normal(0, 1.2, 2)  # the breath is held anew for each slice
        x, y = np.meshgrid(place - slip[0], place - slip[1], indexing="ij")
        thin = [np.sqrt(max(0, 1 - (max(depth, 0) / end) ** 2)) for end in (length - wall, length)]
        far = np.hypot(x - centre[0], y - centre[1])
        right = centre + (radius + wall + 4) * np.array([np.cos(turn), np.sin(turn)])
        beside = np.hypot(x - right[0], (y - right[1]) * 0.8) < (radius + 4) * thin[1] ** 1.5
        sheet = np.where(np.hypot(x / 1.25, y) < chest, flesh, fat)  # and fat around it
        for side in (-1, 1):
            sheet[np.hypot((x - side * chest) / 0.75, y) < chest - 14] = lung
        sheet[np.hypot(x / 1.3, y) > chest + 10] = 0  # air
        around, inside = far < (radius + wall) * thin[1], far < radius * thin[0]
        for part, grey, name in ((beside, blood, 1), (around, muscle, 2), (inside, blood, 3)):
            if depth >= 0:  # below the base, where the ventricles are
                sheet[part], label[..., z][part] = grey, name
            elif name != 2:  # above it lie the atria: blood without a thick wall
                sheet[part] = grey
        for angle in (0.6, 2.2) if depth >= 0 else ():  # papillary muscles stand in the cavity
            spot = centre + 0.55 * radius * thin[0] * np.array([np.cos(angle), np.sin(angle)])
            sheet[np.hypot(x - spot[0], y - spot[1]) < 0.16 * radius * thin[0]] = muscle
        coarse = torch.tensor(noise.normal(0, 12, (1, 1, 12, 12)))
        waves = torch.nn.functional.interpolate(coarse, (pixels, pixels), mode="bicubic")[0, 0]
        image[..., z] = np.abs(sheet + waves.numpy() + noise.normal(0, 7, sheet.shape))
    return image, label


def write_hearts(folder, patients):
    """Two frames and their masks for each patient, under the names that ACDC gives them."""
    affine = np.diag([1.8, 1.8, 10, 1])
    for patient in range(1, patients + 1):
        for moment, squeezed in (("01", False), ("10", True)):
            name = f"patient{patient:03d}_frame{moment}"
            for ending, array in zip(("", "_gt"), draw_heart(patient, squeezed)):
                file = folder / f"patient{patient:03d}" / f"{name}{ending}.nii.gz"
                file.parent.mkdir(parents=True, exist_ok=True)
                nifti = nib.Nifti1Image(array.astype(np.uint8 if ending else np.int16), affine)
                nifti.header.set_xyzt_units("mm")
                if not file.exists():
                    nib.save(nifti, file)


# %%
try:
    cohort = ssl3d.Cohort.open("cohorts/acdc")
    kind = "real hearts"
except ssl3d.InputError:  # it is not there
    write_hearts(RUNS / "raw", size["patients"])
    shape = (size["edge"], size["edge"], 16)
    folder = RUNS / "hearts"
    ssl3d.data.make_cohort("acdc", folder, raw=RUNS / "raw", size=shape, workers=1)
    cohort = ssl3d.Cohort.open(folder)
    kind = "DRAWN hearts: ellipsoids, no patients"
device = "cuda" if torch.cuda.is_available() else "cpu"
cohort, split = cohort.to(device), cohort.split()
print(f"{len(cohort)} scans of {len({case.patient for case in cohort.cases})} ({kind})")
print("prepared:", cohort.shape, "voxels; raw:", cohort.cases[0].source.shape)

# %% [markdown]
# ## 2. What a voxel is
#
# First one heart as it was scanned: ten slices, 10 mm apart, nothing filled in. The view is cut to
# the heart and its neighbourhood.


# %%
def as_scanned(number, kind="mri"):
    """A scan, or its labels ("label"), before it was prepared: few slices, far apart."""
    case = cohort.cases[number]
    file = RUNS / "raw" / case.source.files[kind]
    if file.exists():
        return nib.as_closest_canonical(nib.load(file)).get_fdata(dtype=np.float32)
    prepared = torch.tensor(np.array(cohort[number][kind == "label"])).float()  # files are not here
    shape = (1, 1, *case.shape)
    again = torch.nn.functional.interpolate(prepared.reshape(shape), case.source.shape)
    return again[0, 0].numpy()


patient = cohort.cases[split.train[0]].patient
frames = [i for i, case in enumerate(cohort.cases) if case.patient == patient]
stack, parts = as_scanned(frames[0]), as_scanned(frames[0], "label").astype(np.uint8)
box = tuple(slice(max(0, there.min() - 6), there.max() + 7) for there in np.nonzero(parts)[:2])
case = cohort.cases[frames[0]]
raw_edges = np.linalg.norm(np.array(case.source.affine)[:3, :3], axis=0)
look = {"label_names": cohort.label_names, "spacing": raw_edges}
ssl3d.show.Volume3D(stack[box], parts[box], title=f"{patient}, as it was scanned", **look)

# %% [markdown]
# *What to look at:* on the right the heart as a body: the muscle (orange) is a cup around the left
# cavity (pink), and the right ventricle (blue) lies against it. In the axial plane, the third
# picture, it was scanned: pixels are fine. The first two pictures cross the slices, and there the
# heart is a staircase. Each stair is one slice. Where the heart ends cannot be seen: between two
# slices, or, as here, below the last one.
#
# **What a real slice is.** A real slice is several millimetres thick, and each voxel is the *mean*
# over this thickness. Where a border runs obliquely through the slice, muscle and blood share a
# voxel, and the border blurs. This is called *partial volume*. If slices are thinner than their
# distance, then nothing is measured in the gaps. The drawn slices are infinitely thin: each is one
# cut. So they show the stairs, and not the blur.
#
# A network wants volumes of one size. So the recipe stretches each stack to 16 slices, and fills in
# between the measured ones. Most of what follows uses these *prepared* scans.
#
# **Predict before you run:** you load the array and draw it with square voxels. What does the heart
# look like from the side?


# %%
def edges_of(case):
    """Edges of a prepared voxel in mm; those usual in ACDC where a copy has lost them."""
    if cohort.unit == "mm":
        return np.linalg.norm(np.array(case.affine)[:3, :3], axis=0)
    return np.array(case.source.shape) * (1.5, 1.5, 10.0) / np.array(case.shape)


image, label = (np.array(part) for part in cohort[frames[0]])
image = image[0].astype(np.float32)
spacing = edges_of(case)
known = "as its file says" if cohort.unit == "mm" else "assumed: the file does not say"
print("a prepared voxel:", " × ".join(f"{edge:.1f}" for edge in spacing), f"mm ({known})")
raw = spacing * np.array(case.shape) / np.array(case.source.shape)
print("a raw voxel:     ", " × ".join(f"{edge:.1f}" for edge in raw), "mm")
names = cohort.label_names
ssl3d.show.segmentations(image, {"label": label}, names, "square voxels: wrong")

# %%
ssl3d.show.segmentations(image, {"label": label}, names, "true spacing", spacing=spacing)

# %% [markdown]
# *What to look at:* the axial row is the plane that was scanned: sharp. The other two rows are put
# together from slices. In the first figure the heart is a pancake. In the second its height is
# true, and you see how little was measured along it: steps where a slice ends, and grey between
# them that the recipe has filled in.
#
# The same to scroll through, and in 3D:

# %%
ssl3d.show.Slices(image, label, label_names=names, spacing=spacing)

# %% [markdown]
# **A beating heart.** The buttons change the moment; drag to turn it. Without a kernel you see the
# full heart here, and the squeezed one below it.

# %%
moments = {}
for frame, moment in zip(frames, ("full (end diastole)", "squeezed (end systole)")):
    scan, parts = (np.array(part) for part in cohort[frame])
    look = {"label_names": names, "spacing": edges_of(cohort.cases[frame])}
    moments[moment] = (scan[0].astype(np.float32), parts, look | {"title": f"{patient}, {moment}"})
full, squeezed = moments.values()
heart = ssl3d.show.Volume3D(*full[:2], **full[2])
button = type(heart.kind)(options=list(moments))  # one more pair of buttons, like the view's own


def beat(change):
    scan, parts, look = moments[change["new"]]
    heart.show(scan, parts, **look)


button.observe(beat, "value")
heart.children = [button, *heart.children]
heart

# %%
ssl3d.show.Volume3D(*squeezed[:2], **squeezed[2])

# %% [markdown]
# *What to look at:* the cavity of the left ventricle narrows, and the muscle around it thickens.
#
# **What the doctor wants.** The volume of the left cavity at both moments, and the share that is
# pushed out, the *ejection fraction*: $EF = (V_\text{full} - V_\text{squeezed}) / V_\text{full}$.
# Below one half a heart is weak. **Predict before you run:** you forget the spacing. Which of the
# three numbers is still right?

# %%
LV = names.index("LV cavity")
litre = {}
for moment, (_, parts, look) in moments.items():
    litre[moment] = (parts == LV).sum() * np.prod(look["spacing"]) / 1000
    print(f"{moment:22} {litre[moment]:6.1f} ml   ({(parts == LV).sum()} voxels)")
big, small = litre.values()
print(f"ejection fraction {1 - small / big:.0%}")
counts = [(parts == LV).sum() for _, parts, _ in moments.values()]
print(f"the same from voxels alone {1 - counts[1] / counts[0]:.0%}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# The cavity held 82.9 ml, and 39.9 ml when squeezed: an ejection fraction of 52 %. Millilitres
# need the true edges of a voxel. The fraction does not: it is a ratio, and the edges cancel, as
# both scans of a patient have the same ones.
#
# </details>
#
# ## 3. How unlike is the third axis?
#
# How much do neighbouring voxels differ along each axis? The next cell takes the mean difference
# over all training scans, from voxel to voxel and from millimetre to millimetre, before and after
# slices were filled in. **Predict before you run:** along which axis does a *voxel* differ most
# from the next?


# %%
def normalised(stack):
    """(1, 1, x, y, z) with mean 0 and deviation 1, as prepared scans have."""
    stack = torch.as_tensor(stack).float()
    return ((stack - stack.mean()) / stack.std())[None, None]


def scans_of(cases):
    """Prepared scans and stacks as scanned, a list of each."""
    prepared = [cohort.images([number]).cpu() for number in cases]
    return {"as scanned": [normalised(as_scanned(n)) for n in cases], "prepared": prepared}


training, validation = scans_of(split.train), scans_of(split.validation)
mean_edges = {
    "as scanned": raw_edges,
    "prepared": np.mean([edges_of(cohort.cases[i]) for i in split.train], axis=0),
}
for kind_of_scan, scans in training.items():
    for axis, name in enumerate(("left–right", "back–front", "along the slices")):
        step = np.mean([float(scan.diff(dim=2 + axis).abs().mean()) for scan in scans])
        edge = mean_edges[kind_of_scan][axis]
        said = f"{step:.3f} a voxel, of {edge:.1f} mm: {step / edge:.3f} a millimetre"
        print(f"{kind_of_scan:11} {name:17} {said}")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# As scanned, a voxel differs most from the next one *along the slices*: 0.275 against 0.160 and
# 0.203 within them, since the next slice is a centimetre further on. By the millimetre it is the
# other way round: 0.028 against 0.089 and 0.113. (That does not mean that a heart changes less
# along its axis. Over a centimetre grey values go up and down, and noise counts once a step, be the
# step short or long.) But a $3 \times 3 \times 3$ filter has no idea of millimetres; the voxel is
# all that it sees. Filling in between the slices hides it: on prepared scans the step along the
# slices (0.124) is like left–right (0.128), and back–front (0.192) is now the odd axis.
#
# </details>
#
# **A shortcut?** [Rotation](02_rotation.ipynb) in 3D turns a cube and asks how. Below is a cube of
# 10 × 10 × 10 voxels from a stack as scanned, with noise for the most part. **Predict before you
# look:** one of the two was turned within the slices, the other out of them. Which, and how can you
# tell without knowing any heart?

# %%
encoder = ssl3d.make_encoder(cohort, seed=0, filters=filters[:2])  # cubes are small
task = ssl3d.make_task("rotation", encoder, seed=0, crop_size=10, rotations_per_scan=2)
turns = ssl3d.tasks.geometry.quarter_turns(3)  # (plane, number of quarter turns)
one = training["as scanned"][0]
drawn = task.sample_params(one, torch.Generator().manual_seed(0))
drawn["rotation"] = torch.tensor([[turns.index(((0, 1), 1)), turns.index(((1, 2), 1))]])
drawn["corner"][:] = torch.tensor([20, 35, 0])
ssl3d.show.turns(one, task.make_views(one, drawn))

# %% [markdown]
# <details><summary>Answer</summary>
#
# View 0 was turned within the slices, view 1 out of them. In the first column, as it lies in the
# scan, the sagittal and the coronal plane have stripes from left to right: each row is a slice, and
# slices differ in brightness. The axial plane has no stripes. In view 0 it is the same. In view 1
# the stripes stand upright in the sagittal plane, and now the axial plane has some. (The letters
# say it too; a network does not get them.)
#
# </details>
#
# Let a rule use nothing else. It sees three numbers for each cube: how much neighbours differ along
# its three axes. **Predict before you run:** among all ten turns
# [chance](../docs/glossary.md#chance) is one in ten; among the four within the slices it is one in
# four. How far does the rule come, on stacks as scanned, and on prepared scans? (Answers about one
# patient are alike, be they of one scan or of both. So each patient's answers are averaged first,
# and ± is the standard error over patients, not over cubes.)

# %%
ten = ssl3d.make_task("rotation", encoder, seed=0, crop_size=8, rotations_per_scan=10)
# no turn at all, and the three within the slices
in_plane = torch.tensor([plane == (0, 1) or quarters == 0 for plane, quarters in turns])


def three_numbers(scans, rounds=8):
    """For each turned cube the logarithm of its three steps; and the turns."""
    x, y = [], []
    for number, scan in enumerate(scans):
        for seed in range(rounds):
            generator = torch.Generator().manual_seed(rounds * number + seed)
            batch = ten.make_views(scan, ten.sample_params(scan, generator))
            steps = [batch.views.diff(dim=3 + a).abs().mean((2, 3, 4, 5)) for a in range(3)]
            x.append((torch.stack(steps, -1) + 1e-3).log().flatten(0, 1))
            y.append(batch.target.flatten())
    x = torch.cat(x)
    return x - x.mean(1, keepdim=True), torch.cat(y)


def share_right(kind_of_scan, keep):
    """What a linear rule of the three numbers gets right, among the turns in ``keep``."""
    x, y = three_numbers(training[kind_of_scan])
    scale = x.std()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rule = torch.nn.Linear(3, 10)
    learner = torch.optim.AdamW(rule.parameters(), 0.05)
    for _ in range(400):
        loss = torch.nn.functional.cross_entropy(rule(x[keep[y]] / scale), y[keep[y]])
        learner.zero_grad()
        loss.backward()
        learner.step()
    x, y = three_numbers(validation[kind_of_scan])
    right = (rule(x[keep[y]] / scale).argmax(1) == y[keep[y]]).float()
    by_scan = right.reshape(len(split.validation), -1).mean(1).numpy()
    owners = np.array([cohort.cases[number].patient for number in split.validation])
    by_patient = np.array([by_scan[owners == owner].mean() for owner in np.unique(owners)])
    error = by_patient.std(ddof=1) / len(by_patient) ** 0.5
    return f"{by_patient.mean():.1%} ± {error:.1%} ({len(by_patient)} patients, {len(right)} cubes)"


for kind_of_scan in training:
    print(f"{kind_of_scan:11} all ten turns      {share_right(kind_of_scan, in_plane | True)}")
    print(f"{kind_of_scan:11} within the slices  {share_right(kind_of_scan, in_plane)}")
for kind_of_scan in training:
    x, y = three_numbers(training[kind_of_scan])
    largest = [float((x[y == 0].argmax(1) == axis).float().mean()) for axis in range(3)]
    said = ", ".join(f"{share:.0%}" for share in largest)
    print(f"{kind_of_scan:11} left–right, back–front, along the slices is largest in {said}")
# the same rule was once measured on real hippocampi: the file of the task has it in its first lines
notes = " ".join(ssl3d.tasks.rotation.__doc__.split())
print("elsewhere:", notes[notes.index("A logistic regression") : notes.index("; one on how many")])

# %% [markdown]
# <details><summary>What we saw</summary>
#
# On stacks as scanned, three numbers named 26.1 % of the ten turns, where guessing gives a tenth.
# They need no heart for it. They cannot do better than four in ten: no turn and the three half
# turns leave the three numbers as they are, and the two quarter turns about each axis swap the same
# two of them. So they sort ten turns into four groups, and in each group one answer can be right.
# On prepared scans it was 12.1 %: hardly anything is left. So the long step from slice to slice
# gave the turns away, and filling in between the slices took that from *this rule*. A network may
# find another one: slices that were filled in are smoother than those that were measured, and
# in a turned cube that can still be seen.
#
# But are the axes of prepared scans not unlike as well (0.192 back–front, against 0.128 and 0.124)?
# That is a mean over whole scans, and the rule sees one small cube. As scanned, the step along the
# slices is the largest of the three in 85 % of the cubes, so it is a good sign. In prepared scans
# back–front is the largest in 46 % of the cubes, and each of the others in a good fifth or more: an
# axis that is odd on average is no sign in a single cube.
#
# Among the four turns within the slices half is the most that the rule can have, and guessing gives
# a quarter. As scanned it had 27.0 % ± 2.3 %: that is within luck. On prepared scans it had 29.9 %
# ± 1.5 %, a little more than luck; there back–front is the odd axis, if not a reliable one.
#
# So turning within the slices alone is the safer remedy: the odd axis stays where it is, whatever a
# network can see of it. When it augments scans of very unlike voxels, nnU-Net does this. Preparing
# scans so that no axis is the odd one in every cube helps against rules that somebody has thought
# of.
#
# Before you believe a score at 3D rotation, ask what such a rule has on *your* scans. On real
# hippocampi, whose voxels are cubes of 1 mm, it named .38 of the turns, where four in ten
# is the most (the last line above, which is kept in
# [rotation.py](../ssl3d_lite/tasks/rotation.py)). So cubic voxels do not
# make axes alike: anatomy and the scanner do their part. What follows uses another puzzle, [masked
# reconstruction](07_masked_reconstruction.ipynb).
#
# </details>
#
# ## 4. Two scans of one patient
#
# A [split](../docs/glossary.md#fold) by patients keeps both moments of a heart on one side. A split
# by scans does not. Here is what that does, without any training. The "method" is absurd: for each
# test scan find the training scan whose grey values are nearest, and **copy its labels**. **Predict
# before you run:** how many patients are torn apart by dealing scans to five folds? What happens to
# the Dice?

# %%
everyone = [i for i, case in enumerate(cohort.cases) if case.labelled]
small = torch.nn.functional.avg_pool3d(cohort.images(everyone), (4, 4, 2)).flatten(1)
far = torch.cdist(small, small).fill_diagonal_(torch.inf).cpu().numpy()
maps = cohort.labels(everyone).cpu().numpy()
owner = [cohort.cases[i].patient for i in everyone]
dealt = np.random.default_rng(0).permutation(len(everyone)) % 5  # by scans
kept = np.array([cohort.cases[i].fold for i in everyone])  # by patients, as the cohort has it


def dice(a, b):
    """Mean over the three parts."""
    shared = [
        2 * ((a == c) & (b == c)).sum() / max(1, (a == c).sum() + (b == c).sum()) for c in (1, 2, 3)
    ]
    return float(np.mean(shared))


for name, fold in (("by patients", kept), ("by scans", dealt)):
    sides = {}
    for who, number in zip(owner, fold):
        sides.setdefault(who, set()).add(int(number))
    torn = sum(len(side) > 1 for side in sides.values())
    copied, same = [], []
    for i in range(len(everyone)):
        others = np.flatnonzero(fold != fold[i])
        nearest = others[far[i, others].argmin()]
        copied.append(dice(maps[i], maps[nearest]))
        same.append(owner[nearest] == owner[i])
    print(
        f"{name:11} {torn:3} of {len(sides)} patients are torn; the nearest scan is the patient's "
        f"own in {np.mean(same):4.0%}; Dice of copying {np.mean(copied):.3f}"
    )

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Dealt by scans, 36 of 40 patients were torn apart, and 70 % of the nearest scans were the
# patient's own. Copying then had a Dice of 0.652 instead of 0.562. Nothing was learnt in either.
# The gain is [leakage](../docs/glossary.md#leakage): a network that remembers has it too, and it is
# gone with the next patient. How large it is depends on the scans: with real hearts in
# `cohorts/acdc` the same cell measures it on them. [Notebook 13](13_leakage.ipynb) has more ways
# to leak.
#
# </details>
#
# ## 5. 3D or slices?
#
# **A fair comparison**, as in [notebook 09](09_2d_to_3d.ipynb): the same patients, puzzle, steps,
# filters and norm. The score is that of the whole stack: slices are stacked again. Each has
# controls of its own dimension. A step in 2D sees as many slices as two scans have, and so as many
# voxels as a step in 3D.
#
# Two things cannot be equal as well. One is the number of weights: a filter has 27 in 3D and 9 in
# 2D. The other is whom a step sees: its slices are drawn from all patients, so a step in 2D sees
# many patients, and a step in 3D two scans.

# %%
flat_folder = RUNS / f"slices-of-{cohort.folder.name}"
ssl3d.data.make_cohort("slices", flat_folder, cohort=cohort.folder, axis=2)
flat = ssl3d.Cohort.open(flat_folder).to(device)
worlds = {"3D": (cohort, 2), "2D": (flat, 2 * cohort.shape[2])}  # cohort, scans or slices in a step
shape = {"filters": filters, "norm": "instance"}
seeds = range(size["seeds"])
starts = {
    name: [ssl3d.make_encoder(scans, seed, **shape) for seed in seeds]
    for name, (scans, _) in worlds.items()
}
tasks = {
    name: [ssl3d.make_task("masked", own[seed], seed) for seed in seeds]
    for name, own in starts.items()
}
for name, own in starts.items():
    print(f"{name}: {sum(weight.numel() for weight in own[0].parameters())} weights")
pair = cohort.images(split.train[:2])
puzzle = tasks["3D"][0]
batch = puzzle.make_views(pair, puzzle.sample_params(pair, torch.Generator().manual_seed(0)))
ssl3d.show.Puzzle3D(pair, batch)

# %% [markdown]
# *What to look at:* hidden blocks are cubes of **voxels**, so in millimetres they are bars, long
# along the slices. (The picture counts in voxels, as the network does: so the chest is flat again.)
# In 2D each slice hides its own squares, and the slice above cannot help.

# %%
view = ssl3d.show.Live(puzzle, starts["3D"][0], cohort.images(split.validation[:2]), chance=0.0)
view

# %%
histories, held_out = {}, {}
for name, (scans, batch) in worlds.items():
    solved = []
    for seed in seeds:
        history = ssl3d.pretrain(
            tasks[name][seed],
            starts[name][seed],
            scans,
            steps=size["pretrain"],
            batch=batch,
            seed=seed,
            learning_rate=2e-3,
            callback=view.watch if (name, seed) == ("3D", 0) else None,
        )
        found = ssl3d.evaluation.proxy_score(
            tasks[name][seed], starts[name][seed], scans, scans.split().validation, batch
        )
        solved.append(found["r2"])
        if seed == 0:
            histories[name], held_out[name] = history, found
    print(f"{name}: explained on other patients {np.mean(solved):.2f}, chance 0")
ssl3d.show.learning_curves(histories, held_out)  # of the first seed

# %% [markdown]
# *What to look at:* the two scores are nearly alike, and still they cannot be compared: they are
# answers to different questions. What the features are worth is asked by labels. A seed draws the
# start of an encoder, the order of its training, and the two labelled patients; seed by seed, 3D
# and 2D have the same patients. Four things are compared in each dimension:
#
# - the probe of the pretrained encoder, told the [place](../docs/glossary.md#place-alone) of each
#   voxel;
# - the same of two kinds of random encoder;
# - [fine-tuning](../docs/glossary.md#fine-tuning) from the pretrained encoder and from
#   [scratch](../docs/glossary.md#scratch);
# - **place alone**: the mean label map of the same labelled scans, which looks at no scan. In 2D it
#   is the mean over slices, since a slice does not know its number.
#
# **Predict before you run:** put masked 3D, masked 2D, random 3D and random 2D in order. And for
# which of the lines above will 3D be ahead?

# %%
scores = {}  # what is compared → dimension → the Dice of each seed
shown = {}
interval = ssl3d.study.statistics.interval  # 95 %, over seeds


def said(differences):
    low, high = interval(differences)
    return f"{np.mean(differences):+.3f} ({low:+.3f} to {high:+.3f})"


def keep(arm, name, result):
    scores.setdefault(arm, {"3D": [], "2D": []})[name].append(result)


for name, (scans, batch) in worlds.items():
    parts = scans.split()
    for seed in seeds:
        few = scans.subset(parts.train, 4, seed)  # two patients, both moments
        keep("place alone", name, ssl3d.evaluation.evaluate_place(scans, few, parts.test).score)
        encoders = {"masked": starts[name][seed]}
        for norm in ("instance", "none"):
            random = ssl3d.make_encoder(encoders["masked"].settings, 100 + seed, norm=norm)
            encoders[f"random, norm: {norm}"] = random.to(device)
        for arm, each in encoders.items():
            found = ssl3d.evaluation.probes_by_protocol(each, scans, [few], parts.test, 1000)
            for protocol, (result,) in found.items():
                keep(f"{protocol}, {arm}", name, result.mean_dice)
        for arm in ("scratch", "masked"):
            begin = ssl3d.make_encoder(encoders["masked"].settings, seed)
            if arm == "masked":
                begin.load_state_dict(starts[name][seed].state_dict())
            network = ssl3d.make_network(begin, scans, seed)
            ssl3d.finetune(network, scans, few, steps=size["finetune"], batch=batch, seed=seed)
            result = ssl3d.evaluate(network, scans, parts.test, hausdorff=False, progress=False)
            keep(f"fine-tuned, {arm}", name, result.mean_dice)
            stack = next(iter(scans.scans(parts.test).values()))
            found = torch.stack([*ssl3d.evaluation.predict_batch(network, scans.images(stack))])
            shown[f"{name} {arm}"] = (found if name == "2D" else found[0]).cpu().numpy()
for arm, by_world in sorted(scores.items()):
    ahead = np.subtract(by_world["3D"], by_world["2D"])
    means = ", ".join(f"{name} {np.mean(dice):.3f}" for name, dice in by_world.items())
    print(f"{arm:35} {means}; 3D ahead by {said(ahead)}")

# %% [markdown]
# *What to look at:* each line has one paired difference, 3D minus 2D, and its interval over seeds.
# In `probe+place` a voxel of a volume is told three coordinates, a voxel of a slice two. So these
# lines do not compare dimensions fairly; and place alone does so even less. The fair lines are the
# fine-tuned ones and the plain probe.
#
# "3D is ahead" and "pretraining gains more in 3D" are two claims. For the second one, take in each
# dimension what pretraining gained over the best control of the *same* dimension (best on these
# test scans, which is hard on pretraining), and then the difference of the two gains, seed by seed.
# **Predict before you run:** is it above zero?

# %%
KINDS = ("scratch", "random, norm: instance", "random, norm: none")
panels = {"not pretrained": [], "after masked": [], "gain by masked": []}
for reading in ("fine-tuned", "probe", "probe+place"):
    arms = [f"{reading}, {kind}" for kind in KINDS if f"{reading}, {kind}" in scores]
    masked, best = scores[f"{reading}, masked"], {}
    for name in worlds:
        arm = max(arms, key=lambda each: np.mean(scores[each][name]))
        best[name] = scores[arm][name]
        print(f"{name} masked gains {said(np.subtract(masked[name], best[name]))} over {arm}")
    before, after = (np.subtract(each["3D"], each["2D"]) for each in (best, masked))
    print(f"   so {reading} it gains more in 3D by {said(after - before)}")
    for effects, apart in zip(panels.values(), (before, after, after - before), strict=True):
        reads = ssl3d.study.statistics.verdict(apart, 0.02)
        effect = (reading, apart.mean(), interval(apart), list(apart), reads)
        effects.append(ssl3d.show.Effect(*effect))
ssl3d.show.forest(panels, min_effect=0.02, reach=0.25, readings=True)

# %% [markdown]
# *What to look at:* all is 3D minus 2D, so to the right of 0 3D is ahead. Small dots are seeds.
# Colour says where the interval lies; the dashed line is at a gain of 0.02. These are readings of
# single intervals over seeds, and no [verdicts](../docs/glossary.md#verdict). The third panel is
# the second minus the first. What is blue, and in which panel? Is there a dot far from its like?

# %%
first = split.test[0]
image, label = (np.array(part) for part in cohort[first])
stacks = {
    arm: np.moveaxis(found, 0, -1) if arm.startswith("2D") else found
    for arm, found in shown.items()
}
look = {"label_names": names, "spacing": edges_of(cohort.cases[first])}
ssl3d.show.segmentations(image[0].astype(np.float32), {"truth": label, **stacks}, **look)

# %%
ssl3d.show.Volume3D(image[0], stacks["3D masked"], title="found by the 3D network", **look)

# %%
ssl3d.show.Volume3D(image[0], stacks["2D masked"], title="found slice by slice", **look)

# %% [markdown]
# *What to look at:* from the side, are the 2D network's answers a heart or a pile of plates? (These
# are the networks of the last seed.)
#
# <details><summary>What we saw</summary>
#
# **Is 3D ahead?** Its mean is higher in each of the nine lines. *Without pretraining* that is all
# that can be said: in the fair lines it is ahead by 0.048 (from scratch), 0.025 and 0.021 (random
# encoders), and each of these intervals includes 0: −0.033 to +0.129, −0.018 to +0.067 and −0.010
# to +0.052. The lead from scratch is mostly that of a single seed, the dot far to the right in the
# first panel: its 2D network did badly. *After pretraining* 3D was clearly ahead: by 0.038
# fine-tuned (0.018 to 0.057) and by 0.047 in the plain probe (0.017 to 0.077).
#
# **What did pretraining gain?** In the plain probe 0.060 (0.025 to 0.095) in 3D and 0.034 (0.005 to
# 0.063) in 2D, over the better random kind. After fine-tuning −0.001 (−0.024 to +0.022) in 3D and
# 0.009 (−0.072 to +0.091) in 2D: nothing that can be shown, in 2D not even roughly measured.
#
# **Did it gain more in 3D?** That is the paired difference of the two gains: −0.010 (−0.090 to
# +0.069) fine-tuned and 0.026 (−0.010 to +0.062) in the plain probe. Both intervals include 0. So
# these runs cannot say whether the dimension or the pretraining made the lead. That one panel is
# blue and another grey is no difference between them; the third panel is that difference.
#
# **And place?** Place alone has the largest lead of all: 0.285 against 0.157, that is 0.128 (0.059
# to 0.197). It looks at no scan. The mean map in 3D knows how high in the heart a voxel lies; the
# mean slice does not. So a part of what is called "3D sees more" can be: a volume knows which slice
# is which. The lines of `probe+place` have the same fault.
#
# In [notebook 09](09_2d_to_3d.ipynb) random encoders showed no lead of 3D either, but CPC
# gained more in 3D. It has another organ, other slices (sagittal ones, which
# show most of the organ) and another puzzle. One answer does not hold for both.
#
# In the picture all four find the cavities, and all make the muscle too thick at the back, where
# the tissue next to it is as grey. From the side the 2D network's muscle is there in one slice and
# gone in the next: a pile of plates. The 3D network's has one border, though not always the right
# one.
#
# </details>
#
# ## 6. Real hearts: the planned study
#
# Drawn hearts are as smooth along the slices as the cell made them. So the same question was put to
# **real** ones: ACDC, 3D against slices, six seeds, with a plan that was written down before it ran
# ([its rows and its plan](results/README.md)). The plan claims one thing: fine-tuned, a 3D task is
# ahead of the same task on slices.
#
# **Predict before you run:** slices had place alone at 0.157 in section 5, with four drawn scans.
# With *two* real ones, both of one patient, what will a network on slices make of them? And is 3D
# ahead?

# %%
kept = Path("results/heart")
study = ssl3d.study.load_results(kept) if kept.exists() else None
ARMS = {"from scratch": "scratch", "CPC": "cpc", "masked": "masked"}


def stored(arm, n, protocol="finetune"):
    """The Dice of each seed with ``n`` labelled scans, in 3D and on slices."""
    return [np.array(study.scores(protocol, name, n)) for name in (arm, f"2d-{arm}")]


if study is None:
    print("the stored rows lie in notebooks/results: start this notebook in its own folder")
else:
    for n in study.labels:
        floors = stored("place", n)
        means = "3D {:.3f}, 2D {:.3f}".format(*(floor.mean() for floor in floors))
        print(f"{n} labelled scans, place alone: {means}")
        for name, arm in ARMS.items():
            solid, slices = stored(arm, n)
            lost, flat_lost = (solid <= floors[0]).sum(), (slices <= floors[1]).sum()
            print(f"  {name:12} 3D {solid.mean():.3f}, 2D {slices.mean():.3f}", end="; ")
            print(f"3D ahead by {said(solid - slices)}", end="; ")
            print(f"not above place alone: {lost} and {flat_lost} of {len(solid)}")
    gains = [m - s for m, s in zip(stored("masked", "20"), stored("scratch", "20"), strict=True)]
    for what, gain in zip(("3D", "2D", "3D minus 2D"), (*gains, gains[0] - gains[1]), strict=True):
        print(f"fine-tuned with 20, gain by masked, {what:11}: {said(gain)}")
    (masked, _), (random, _) = (stored(a, "20", "probe") for a in ("masked", "random@none"))
    print(f"plain probe with 20, masked over random, 3D: {said(masked - random)}")


# %%
def curves(arm):
    """Dimension → number of labelled scans → the Dice of each seed."""
    return {w: {int(n): stored(arm, n)[i] for n in study.labels} for i, w in enumerate(worlds)}


study and ssl3d.show.bands(
    {f"real hearts, {name}": curves(arm) for name, arm in ARMS.items()},
    {},
    "labelled scans",
    "mean Dice",
    log=True,
    floors={f"place alone, {world}": curve for world, curve in curves("place").items()},
)

# %% [markdown]
# *What to look at:* in the lines above, the last two numbers are the failed runs, in 3D and on
# slices. In the figure bands go from the worst seed to the best. Place alone is drawn once for each
# dimension, and the shade lies below that of 3D. Is 3D ahead in the third panel alone, or in all
# three? Which bands reach below place alone *of their own dimension*?
#
# What does the plan's rule say? It counts pairs in which *both* networks learnt:

# %%
if study is not None:
    ssl3d.study.show_claim(study, "3D beats 2D")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# **With 20 labelled scans** all networks learnt, and 3D had the higher mean in each line: masked
# 0.641 against 0.590, CPC 0.619 against 0.564. But *from scratch* it is 0.622 against 0.555, the
# largest lead of the three. All three intervals just include 0. Place alone has 0.268 in 3D and
# 0.176 on slices: there it is no better than with 2 scans, since it does not know the slice.
#
# **With 2** 3D looks far ahead: masked 0.321 against 0.189, from scratch 0.282 against 0.178, and
# these intervals, which include failed runs, lie above 0. But place alone has 0.200 and 0.182, and
# on slices masked failed in 4 of 6 runs, from scratch in 4 as well, CPC in 5. So the lead says that
# most networks on slices had not learnt the task yet. How good they are where they learn, it does
# not say.
#
# **The verdict** is *cannot tell*. Where both learnt, masked in 3D was ahead by 0.047; these are 2
# pairs of 6, and the interval goes from −0.359 to +0.452.
#
# **Did pretraining gain more in 3D?** With 20 scans masked gained 0.019 in 3D and 0.035 in 2D over
# scratch, its warm-up included (scratch has none). The difference is −0.016 (−0.097 to +0.065). So
# on real hearts, too, 3D had the higher mean before any pretraining, and nothing says that
# pretraining gains more in 3D.
#
# **Drawn and real hearts differ.** In the plain probe masked gained 0.060 over random encoders on
# drawn hearts, with 4 labelled scans. On real ones, with 20, no gain can be seen: −0.003 (−0.038 to
# +0.032). The drawing, the number of labels and the training differ; which of them is the reason
# was not tested. So drawings show how to ask, and not what the answer is.
#
# </details>
#
# ## 7. What this can say, and what it cannot
#
# - That voxels are unlike, that three numbers beat chance at naming turns, and that copied labels
#   look like skill once patients are torn: these need no training, and hold for the scans at hand.
# - Which of 2D and 3D is better for hearts: not from drawn ones, and not from two labelled real
#   ones. A study that can tell needs more labels or longer training, so that networks on slices
#   learn as well.
# - Of every claim that "3D is better", ask: how thick were the slices, and how far apart? Was there
#   a 2D network from scratch? What has place alone, in each dimension? And which gained, the
#   dimension or the pretraining?
# - Some copies of ACDC have lost the size of their voxels. Then nothing is said in mm by the
#   library, and this notebook says that it assumes. Ejection fractions are safe, millilitres are
#   not.
#
# Real hearts are free for research, and for nothing commercial:
#
# ```
# ssl3d prepare acdc --raw FOLDER --out cohorts/acdc
# ```
#
# ## Exercise
#
# The hidden blocks are bars in millimetres. Their edge in voxels is a setting of the task. Pretrain
# with smaller blocks. What becomes of the score on other patients, and of the probe? Why do the two
# not have to move together?
#
# <details><summary>Hint</summary>
#
# `puzzle.settings` prints the settings and their present values. `ssl3d.make_task("masked",
# start, 0, ...)` takes any of them.
#
# </details>
#
# <details><summary>A solution</summary>
#
# ```python
# print(puzzle.settings)
# few = [cohort.subset(split.train, 4, seed) for seed in range(3)]
# for block in (4, 8):
#     begin = ssl3d.make_encoder(cohort, 0, filters=filters)
#     other = ssl3d.make_task("masked", begin, 0, block_size=block)
#     ssl3d.pretrain(other, begin, cohort, steps=size["pretrain"], learning_rate=2e-3)
#     solved = ssl3d.evaluation.proxy_score(other, begin, cohort, split.validation)
#     results = ssl3d.evaluation.linear_probes(begin.eval(), cohort, few, split.validation, 1000)
#     print(block, round(solved["r2"], 2), [round(result.mean_dice, 3) for result in results])
# ```
#
# At class scale blocks of 4 voxels gave a score of 0.90 on other patients, blocks of 8 (the
# default) 0.86. Small blocks are easier: what is hidden can be filled in from what touches it,
# within the slice or from the slices next to it. The probe had 0.653, 0.676 and 0.697 with the
# small blocks, and 0.667, 0.611 and 0.694 with the large ones: ahead in two draws, behind in one.
# So the score of the puzzle does not say which features are better. A puzzle that is easy to solve
# need not ask for hearts, and one encoder each is no verdict. The probe is read on validation
# patients, since this is a choice between settings.
#
# </details>
#
# **Next:** [your own](19_your_own.ipynb): your scans, and a proxy task that nobody has written
# before.
#
# ## References
#
# Bernard et al., [Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation
# and Diagnosis: Is the Problem Solved?](https://doi.org/10.1109/TMI.2018.2837502) (ACDC), IEEE
# Transactions on Medical Imaging 2018. Bai et al., [Self-Supervised Learning for Cardiac MR Image
# Segmentation by Anatomical Position Prediction](https://arxiv.org/abs/1907.02757), MICCAI 2019.
# Isensee et al., [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), Nature Methods 2021. Taleb
# et al., [3D Self-Supervised Methods for Medical Imaging](https://arxiv.org/abs/2006.03829),
# NeurIPS 2020.

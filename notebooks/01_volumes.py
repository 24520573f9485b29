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
# # Volumes: what the network is given
#
# **You will be able to:** say where a voxel lies in millimetres and which way a volume is turned;
# choose a window for CT and a scaling for MRI; say why a label map is sampled differently from a
# scan; and cut a volume into patches and put it together again, exactly.
#
# **Time:** half a minute on one core, at every `SSL3D_SCALE`; only the CT gets finer.
#
# **Before this one:** nothing, or [00, start here](00_start_here.ipynb) for the whole path.
#
# ---
#
# A radiologist reads "tumour in the head of the pancreas, 2 cm, on the right". A network reads 128
# × 128 × 128 numbers. Between the two lie four questions that no network asks by itself. How large
# is a voxel? Which way is up? What does a value of 40 mean? Which voxels belong together? A wrong
# answer to any of them raises no error. It only puts the tumour on the wrong side, or makes it
# eight times too small, and the loss goes down all the same.
#
# Nothing is trained here. All other notebooks train; this one is about what they take for granted,
# and each of its steps is done by hand and compared with the library's. All scans in it are
# virtual, made on the spot, so that the truth is known.

# %%
# %matplotlib inline
import ssl3d_lite as ssl3d

import nibabel as nib
import numpy as np
import torch
from matplotlib.figure import Figure

SIZES = {
    "smoke": {"edge": 64, "cases": 12},
    "class": {"edge": 128, "cases": 100},
    "full": {"edge": 256, "cases": 200},
}
size = SIZES[ssl3d.scale()]

# %% [markdown]
# ## 1. A scan is a block of numbers
#
# A **voxel** is a small box of the body, and its number says what the scanner measured in it. Here
# is a CT of a belly. A [recipe](../docs/glossary.md#recipe) wrote it as a data set would come, in
# NIfTI files: one for the scan and one for its label map (0 background, 1 pancreas, 2 tumour). Each
# holds numbers and a matrix, the *[affine](../docs/glossary.md#affine)*.

# %%
made = ssl3d.data.make_cohort(
    "virtual-abdomen", f"runs/01-ct-{size['edge']}", cases=1, unlabelled=0, edge=size["edge"]
)
file = nib.load(made / "raw/imagesTr/pancreas_001.nii.gz")
label_file = nib.load(made / "raw/labelsTr/pancreas_001.nii.gz")
ct, label, affine = np.asarray(file.dataobj), np.asarray(label_file.dataobj), file.affine
print("shape", ct.shape, "kind", ct.dtype, "from", ct.min(), "to", ct.max())
print("affine:\n", affine.round(2))

# %% [markdown]
# What the numbers are, as a body. Drag to turn it, and open it with the slider *cut open*:

# %%
NAMES = ("background", "pancreas", "tumour")
upright, upright_label = nib.as_closest_canonical(file), nib.as_closest_canonical(label_file)
ras, classes = np.asarray(upright.dataobj), np.asarray(upright_label.dataobj)
ssl3d.show.Volume3D(
    ras.clip(-160, 240),
    classes,
    label_names=NAMES,
    spacing=nib.affines.voxel_sizes(upright.affine),
    title="A virtual belly, its pancreas and the tumour in it",
)

# %% [markdown]
# *What to look at:* the small axes at the lower left of the 3D picture say how the patient lies: R
# is the patient's right, A the front (*anterior*), S the head (*superior*). The belly is cut open
# down to the pancreas. In the three planes the white column is the spine, and the large grey organ
# on the patient's right is the liver.
#
# ## 2. From voxels to millimetres
#
# The affine $A$ takes a voxel's indices $(i, j, k)$ to a point in the scanner's room, in mm (its
# *world coordinates*):
#
# $$\begin{pmatrix} x \\ y \\ z \\ 1 \end{pmatrix} = A \begin{pmatrix} i \\ j \\ k \\ 1
# \end{pmatrix}, \qquad x \text{ to the right},\; y \text{ to the front},\; z \text{ up},$$
#
# all from the patient's own view. The length of each column is the size of a voxel along that axis.
# **Predict before you run:** the first column has a minus sign. Which way does one go when $i$
# grows?

# %%
tumour = np.argwhere(label == 2).mean(0)  # the middle of the tumour, in voxels
place = affine[:3, :3] @ tumour + affine[:3, 3]  # by hand: a product and a shift
library = nib.affines.apply_affine(affine, tumour)
print(
    "middle of the tumour:", place.round(1), "mm; as nibabel has it:", np.allclose(place, library)
)
back = np.linalg.inv(affine[:3, :3]) @ (place - affine[:3, 3])
print("and back to voxels:", back.round(1), "from", tumour.round(1))

spacing = np.linalg.norm(affine[:3, :3], axis=0)  # the lengths of the columns
print("a voxel measures", spacing.round(2), "mm; i, j, k go to", nib.aff2axcodes(affine))
for voxel in ((0, 0, 0), (1, 0, 0), tuple(n // 2 for n in ct.shape)):
    print("voxel", voxel, "lies at", nib.affines.apply_affine(affine, voxel).round(1), "mm")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# When $i$ grows by one, $x$ falls by the width of a voxel: one goes to the patient's left (L). The
# second axis goes to the back (P), the third up (S). So the file's axes are LPS.
#
# </details>
#
# How large is it? Count voxels, and multiply by what one of them holds.

# %%
one = spacing.prod() / 1000  # ml
for number, name in enumerate(("background", "pancreas", "tumour")):
    print(f"{name:10} {np.sum(label == number):8} voxels  {np.sum(label == number) * one:10.1f} ml")

# %% [markdown]
# **Predict:** the same belly is scanned with voxels of half the size along every axis. How many
# times as many voxels has the tumour then, and how many millilitres?
#
# <details><summary>Answer</summary>
#
# Eight times as many voxels, of an eighth of the size each: the same millilitres. A volume in
# voxels means nothing without the voxel's size.
#
# </details>
#
# ## 3. Orientation
#
# Files differ in the order and direction of their axes. Everything in this package is turned to
# **RAS** first: axis 0 to the patient's right, axis 1 to the front, axis 2 up. This is done by
# flipping and swapping axes alone, so no value changes. The affine changes with it, and each voxel
# keeps its place in millimetres.

# %%


def planes(volumes: dict, axis: int = 2, place: int | None = None) -> Figure:
    """The plane across ``axis`` of each volume, side by side."""
    figure = Figure(figsize=(2.7 * len(volumes), 3), layout="constrained")
    columns = figure.subplots(1, len(volumes), squeeze=False)[0]
    for axes, (title, volume) in zip(columns, volumes.items()):
        ssl3d.show.draw_plane(axes, volume, axis, place)
        axes.set_title(title, fontsize=9)
    return figure


by_hand = ct[::-1, ::-1, :]  # left → right, back → front; up stays up
print("two flips, by hand, give what nibabel gives:", np.array_equal(by_hand, ras))
middle = nib.affines.apply_affine(upright.affine, np.argwhere(classes == 2).mean(0))
print(
    "now", nib.aff2axcodes(upright.affine), "and the tumour's middle lies at", middle.round(1), "mm"
)
planes({"as in the file (LPS)": ct.clip(-160, 240), "turned to RAS": ras.clip(-160, 240)})

# %% [markdown]
# *What to look at:* both pictures are drawn by the same rule, axis 0 to the right and axis 1 up.
# The file's picture is upside down. In the turned one the spine is below and the front of the belly
# above. The patient's right is on the right of the picture, as if you looked down from the head.
# Radiologists' viewers mostly show the right on the left, as seen from the feet. So ask before you
# speak of a side.
#
# <details><summary>What we saw</summary>
#
# The tumour's middle has the same millimetres in both. A flip without its affine would have moved
# it to the other side of the body, and no number in the volume would show it.
#
# </details>
#
# ## 4. Intensities of CT: windows
#
# CT has units. **Hounsfield units** (HU) set air at −1000 and water at 0; fat is near −100, soft
# tissue between 0 and 100, bone above 300. An eye can distinguish only some dozens of greys. So one
# looks through a *[window](../docs/glossary.md#window)*: everything below it is black, everything
# above it is white, and all greys are spent on the values in between. **Predict before you run:**
# in which of the three windows can you find the pancreas?

# %%
WINDOWS = {"soft tissue": (-160, 240), "lung": (-1350, 150), "bone": (-500, 1300)}
middle = int(np.argwhere(classes == 2)[:, 2].mean())  # the slice through the tumour
seen = {}
for name, (low, high) in WINDOWS.items():
    by_hand = (ras.astype(np.float32).clip(low, high) - low) / (high - low)
    library = ssl3d.data.Intensity.parse(f"window:{low},{high}").normalise(ras, ras)
    print(f"{name:12} by hand as by the library:", np.allclose(by_hand, library, atol=1e-6))
    seen[f"{name}\n{low} to {high} HU"] = by_hand
planes(seen, place=middle)

# %% [markdown]
# *What to look at:* the same slice three times, and no number of the scan has changed. In which one
# do the organs stand out from the fat around them? What is lost there? (The curved lines below the
# patient are the bed of the scanner.)
#
# <details><summary>What we saw</summary>
#
# In the soft-tissue window organs are light and fat is dark. Only there does the pancreas stand
# out. What is inside bone is lost, since all of it is white, and so is the gas in the gut and the
# scanner's bed, which are black. In the lung and the bone window the organs and the fat around them
# have nearly the same grey.
#
# </details>
#
# Where the windows lie among the scan's values:

# %%
figure = Figure(figsize=(7, 2.6), layout="constrained")
axes = figure.subplots()
axes.hist(ras.flatten(), bins=np.arange(-1030, 700, 10), log=True, color="#888888")
for row, (name, (low, high)) in enumerate(WINDOWS.items()):
    height = [10 ** (0.5 + 0.5 * row)] * 2
    axes.plot([low, high], height, linewidth=4, label=name, color=ssl3d.show.COLOURS[row])
axes.set(xlabel="HU", ylabel="voxels", xlim=(-1400, 1350))
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# *What to look at:* nearly half of the voxels are air, at the far left. Fat is the peak near −100,
# and the organs are the one just above 0: both are in a narrow range. (The axis of counts is
# logarithmic.) A window from the lowest value to the highest would spend most greys on values that
# hardly occur.
#
# One window fits all CTs, because the units are the same for all. The prepared pancreas scans of
# this package are clipped to −100 to 240 HU and scaled to [0, 1].
#
# ## 5. Intensities of MRI: percentiles
#
# MRI has no units. The same tissue can be 200 in one scan and 200,000 in the next. Five scans of
# the region around the hippocampus, scaled by hand and by the library:

# %%
made = ssl3d.data.make_cohort("virtual-hippocampus", "runs/01-mri", cases=5)
files = sorted((made / "raw/imagesTr").glob("*.nii.gz"))
scans = [np.asarray(nib.load(path).dataobj) for path in files]
zscore = ssl3d.data.Intensity.parse("zscore")


def scale_by_hand(scan: np.ndarray) -> np.ndarray:
    low, high = np.percentile(scan, (0.5, 99.5))
    kept = scan.clip(low, high)  # mean and spread are those of all but the outliers
    room = high - low  # outliers may go so far beyond, and no further
    return (scan.clip(low - room, high + room) - kept.mean()) / kept.std()


for number, scan in enumerate(scans):
    scaled = scale_by_hand(scan.astype(np.float64))
    same = np.allclose(scaled, zscore.normalise(scan, reference=scan), atol=1e-3)
    print(
        f"scan {number}: {scan.min():8.0f} to {scan.max():8.0f}   →   {scaled.min():5.2f} to"
        f" {scaled.max():4.2f}, mean {scaled.mean():5.2f}, spread {scaled.std():.2f}; same: {same}"
    )

# %% [markdown]
# So each channel of each scan is scaled by itself, to mean 0 and standard deviation 1. Outliers do
# not count for the two, and are clipped only far out, so that a small bright lesion stays bright.
# Why clip at all? **Predict before you run:** one broken voxel gets a thousand times the highest
# value. What becomes of all other voxels, with and without clipping?

# %%
broken = scans[0].astype(np.float64)
spot = tuple(n // 2 for n in broken.shape)
broken[spot] = 1000 * broken.max()
plain = (broken - broken.mean()) / broken.std()
clipped = zscore.normalise(broken, reference=broken)
others = np.ones(broken.shape, bool)
others[spot] = False
for name, scan in {"without clipping": plain, "with": clipped}.items():
    print(f"{name:17} all other voxels spread by {scan[others].std():.3f}")
figure = planes({"without clipping": plain, "with": clipped}, axis=2, place=spot[2])
for axes in figure.axes:  # a ring, so that one finds it
    axes.plot(*spot[:2], "o", markersize=16, fillstyle="none", color="#E69F00", markeredgewidth=2)
figure

# %% [markdown]
# *What to look at:* the orange ring marks the broken voxel. On the left it is the only white one,
# and everything else is the same black: one voxel of some tens of thousands has taken all the
# greys. The right picture is what the network gets.
#
# <details><summary>What we saw</summary>
#
# Without clipping the other voxels spread by 0.041: the network would see a black volume with a
# dot. With it they spread by 1.003, as if nothing had happened.
#
# </details>
#
# ## 6. Label maps
#
# A label map holds names, not amounts: class 1 is not half of class 2. So it must never be
# averaged. When a scan is brought to another voxel size its values are interpolated. Its label gets
# the class that fills *most* of each new voxel; if new voxels are smaller, that is the class at
# their centre. Do it wrongly once, with a map whose only classes are 0 and 2. **Predict before you
# run:** which classes will there be?

# %%
two = torch.tensor(2.0 * (classes == 2))[None, None]  # the tumour alone, as (1, 1, x, y, z)
finer = torch.nn.functional.interpolate  # to voxels of half the size
wrong = finer(two, scale_factor=2, mode="trilinear", align_corners=False).round()
right = finer(two, scale_factor=2, mode="nearest")
for name, values in {"interpolated and rounded": wrong, "nearest": right}.items():
    found, counts = values.unique(return_counts=True)
    print(f"{name:25}", {int(c): int(n) for c, n in zip(found, counts)})

# %% [markdown]
# <details><summary>What we saw</summary>
#
# Between 0 and 2 lies 1: a shell of 463 voxels of "pancreas" has grown around the tumour, out of
# arithmetic. With background 0 and tumour 2 one sees it. In a data set where all three classes
# occur it would only have made the scores a little worse, and nobody would have known why.
#
# </details>
#
# ## 7. Look at it yourself
#
# Scroll with the mouse wheel or the arrow keys; click to move the cross; drag with the right mouse
# button to change the window; the slider fades the labels.

# %%
view = ssl3d.show.Slices(
    ras,
    classes,
    label_names=NAMES,
    spacing=nib.affines.voxel_sizes(upright.affine),
    window=(-160, 240),
    title="Three planes through the middle of the tumour",
)
view.voxel = [int(n) for n in np.argwhere(classes == 2).mean(0)]  # python can move the cross, too
view

# %% [markdown]
# Move the cross to the aorta, a round bright spot in front of the spine (of the two it is the one
# on the patient's left), and run the next cell: python knows where you are. As committed, the cross
# is still in the tumour.

# %%
voxel = tuple(view.voxel)
print(
    "voxel",
    voxel,
    "at",
    nib.affines.apply_affine(upright.affine, voxel).round(1),
    "mm has",
    ras[voxel],
    "HU,",
    "label:",
    NAMES[classes[voxel]],
)

# %% [markdown]
# How much of the volume is background? **Predict before you run:** how often is an answer right
# that says "background" everywhere?

# %%
for number, name in enumerate(NAMES):
    print(f"{name:10} {np.mean(classes == number):.2%} of all voxels")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# "Background everywhere" is right in 99.78 % of all voxels and has found nothing. That is why the
# share of right voxels is no score in these notebooks, and why background is never averaged into
# one. The [Dice](../docs/glossary.md#dice) of the pancreas is 0 for such an answer.
#
# </details>
#
# ## 8. A cohort: many scans, one shape
#
# A *recipe* does all of the above once and writes a [cohort](../docs/glossary.md#cohort). From then
# on volumes of one shape fit into one batch: (scan, channel, right, front, up).

# %%
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
volumes = cohort.images(split.train[:2])
print("batch:", tuple(volumes.shape), "mean", round(float(volumes.mean()), 3))
case = cohort.cases[split.train[0]]
print(case.id, "was", case.source.shape, "and is", case.shape, "voxels of", cohort.spacing, "mm")

# %% [markdown]
# Scans that were smaller are padded by repeating their outermost voxels. You will see this as
# streaks at the border in the next figures, and in other notebooks. They are no anatomy, and no
# fault. Black would be worse: a sharp edge that a network could learn from.
#
# ## 9. Patches
#
# The puzzles of the next notebooks cut volumes into [patches](../docs/glossary.md#patch). Along an
# axis of $n$ voxels, patches of edge $s$ that begin every $t$ voxels (the *stride*) fit in
#
# $$g = \left\lfloor \frac{n - s}{t} \right\rfloor + 1$$
#
# times. With $t = s$ they lie side by side, with $t < s$ they overlap. **Predict before you
# run:** how many patches of 16 voxels does a volume of this cohort give, side by side, and how many
# if they overlap by half?

# %%
for patch, stride in ((16, 16), (16, 8), (8, 8)):
    grid = ssl3d.tasks.geometry.grid_shape(cohort.shape, patch, stride)
    print(f"edge {patch:2}, stride {stride:2}: grid {grid}, {np.prod(grid)} patches")

# %% [markdown]
# <details><summary>What we saw</summary>
#
# 40 × 56 × 40 voxels hold 2 × 3 × 2 = 12 patches of 16 side by side: along the second axis 56 is
# three and a half patches, and the half is lost. With a stride of 8 it is 4 × 6 × 4 = 96.
#
# </details>
#
# Cut it, and say for each patch where it came from: a matrix from the patch's voxels to the scan's.
# With that, any view can draw it. (A puzzle of a later notebook is the same, with an answer.)

# %%


def cut_up(
    volumes: torch.Tensor, patch: int, stride: int
) -> tuple[ssl3d.tasks.ProxyBatch, torch.Tensor]:
    """All patches of a regular grid, and their first voxels, (patches, 3)."""
    grid = ssl3d.tasks.geometry.grid_shape(volumes.shape[2:], patch, stride)
    corners = ssl3d.tasks.geometry.grid_corners(grid, stride)
    everywhere = corners.expand(len(volumes), -1, -1)
    views = ssl3d.tasks.geometry.cut(volumes, everywhere, (patch,) * 3)
    placement = ssl3d.tasks.Placement(ssl3d.tasks.geometry.shift_matrix(everywhere), grid)
    return ssl3d.tasks.ProxyBatch(views, torch.zeros(len(volumes), 0), placement), corners


patches, corners = cut_up(volumes, patch=16, stride=16)
print("patches (scan, patch, channel, x, y, z):", tuple(patches.views.shape))
ssl3d.show.puzzle(volumes, patches)

# %% [markdown]
# *What to look at:* drawn are the six patches through which the middle sagittal plane goes, three
# in the lower layer (blue) and three in the upper (orange). They do not reach the border
# everywhere: where 16 does not divide the edge, a rest is left out. (At the border of the scan you
# see the streaks of the padding.)

# %%
ssl3d.show.puzzle_slices(volumes, patches)

# %% [markdown]
# Click into a box: the view names the patch. What are the world coordinates of patch 3? Two
# matrices, one after the other: from the patch to the scan, from the scan to mm.

# %%
to_world = np.array(case.affine) @ patches.placement.matrix[0, 3].numpy()
print("its voxel (0, 0, 0) lies at", nib.affines.apply_affine(to_world, (0, 0, 0)).round(1), "mm")

# %% [markdown]
# The same patches in 3D, and pulled apart with the slider:

# %%
ssl3d.show.Puzzle3D(volumes, patches)

# %% [markdown]
# ## 10. And together again
#
# Lay each patch back where it came from, add up, and divide by how many lay on each voxel.

# %%


def reassemble(patches: torch.Tensor, corners: torch.Tensor, space: tuple) -> tuple:
    """(patch, channel, x, y, z) back into (channel, *space); and how many cover each voxel."""
    total, count = torch.zeros(patches.shape[1], *space), torch.zeros(space)
    for patch, corner in zip(patches, corners.tolist(), strict=True):
        box = tuple(slice(first, first + n) for first, n in zip(corner, patch.shape[1:]))
        total[(..., *box)] += patch
        count[box] += 1
    return total / count.clamp(min=1), count


counts = {}
for patch, stride in ((16, 16), (16, 8), (8, 8)):
    pieces, corners = cut_up(volumes[:1].cpu(), patch, stride)
    whole, count = reassemble(pieces.views[0], corners, cohort.shape)
    same = torch.equal(whole[:, count > 0], volumes[0].cpu()[:, count > 0])
    print(
        f"edge {patch:2}, stride {stride:2}: covered {(count > 0).float().mean():.1%},",
        f"exact there: {same}, patches on a voxel: {int(count.min())} to {int(count.max())}",
    )
    counts[f"edge {patch}, stride {stride}"] = count.numpy()

# %%
figure = Figure(figsize=(8, 3), layout="constrained")
row = figure.subplots(1, len(counts))
for axes, (title, count) in zip(row, counts.items()):
    middle = count[:, :, count.shape[2] // 2]
    drawn = axes.imshow(middle.T, origin="lower", cmap="cividis", vmin=0, vmax=8)
    axes.set(title=title, xlabel="x", ylabel="y")
figure.colorbar(drawn, ax=row, label="patches on a voxel")
figure

# %% [markdown]
# *What to look at:* how many patches lie on each voxel of the middle plane?
#
# <details><summary>What we saw</summary>
#
# Patches of 16 side by side cover only 54.9 % of the voxels: each axis has a rest of 8 voxels at
# its end, on which there is none. With a stride of 8 every voxel is covered, in the middle by eight
# patches and at the rim by fewer. Patches of 8 side by side cover each voxel once, since 8 divides
# all edges.
#
# </details>
#
# Exact means bit for bit: nothing was interpolated. (The sums are exact because prepared scans hold
# 16-bit numbers, and a few of them add up in 32 bits without rounding.)
#
# ## Exercise
#
# A network predicts each patch by itself, with an error. Add noise of spread 1 to every patch,
# reassemble with strides 16 and 8, and compare the errors in the middle of the volume. What do you
# expect where eight patches overlap? And what is unlike this in a real network?
#
# <details><summary>Hint</summary>
#
# The mean of $n$ independent errors of spread 1 has a spread of $1/\sqrt{n}$. Count the overlaps
# with `count`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# for stride in (16, 8):
#     pieces, corners = cut_up(volumes[:1].cpu(), 16, stride)
#     noisy = pieces.views[0] + torch.randn(pieces.views[0].shape)
#     whole, count = reassemble(noisy, corners, cohort.shape)
#     error = (whole - volumes[0].cpu())[0]
#     for n in count[count > 0].unique().int().tolist():
#         print(f"stride {stride}: where {n} overlap, {error[count == n].std():.3f}")
# ```
#
# Where eight overlap the error falls to roughly $1/\sqrt{8} \approx 0.35$. A real network's errors
# on overlapping patches are not independent, since it saw much of the same tissue, so it gains
# less. And it makes more errors at a patch's border, where it cannot see what lies beyond. Sliding
# windows therefore give the middle of a patch more weight than its rim; `ssl3d.predict` leaves this
# to MONAI.
#
# </details>
#
# ## What the literature did next
#
# - nnU-Net (Isensee et al., 2021) showed how far one comes by choosing voxel size, window and patch
#   from the data set by fixed rules, before any new network.
# - The Decathlon (Antonelli et al., 2022) made it usual to try a method on many organs and scanners
#   at once, in one file format.
# - TorchIO (Pérez-García et al., 2021) and MONAI (Cardoso et al., 2022) keep the affine with the
#   volume through every step, so that a result can be laid over the scan again.
#
# **Next:** [02, rotation](02_rotation.ipynb), the first puzzle.
#
# ## References
#
# - Antonelli et al., [The Medical Segmentation
#   Decathlon](https://doi.org/10.1038/s41467-022-30695-9), Nature Communications 2022.
# - Cardoso et al., [MONAI: An open-source framework for deep learning in
#   healthcare](https://arxiv.org/abs/2211.02701), 2022.
# - Isensee et al., [nnU-Net](https://doi.org/10.1038/s41592-020-01008-z), Nature Methods 2021.
# - Pérez-García et al., [TorchIO](https://arxiv.org/abs/2003.04696), Computer Methods and Programs
#   in Biomedicine 2021.
# - Taleb et al., [3D Self-Supervised Methods for Medical
#   Imaging](https://arxiv.org/abs/2006.03829), NeurIPS 2020.

"""Draws virtual_twins.png: what the virtual data sets look like, with their labels outlined."""

from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure

from data_recipes.virtual_patients.abdomen import abdomen_case
from data_recipes.virtual_patients.brain import head_case
from data_recipes.virtual_patients.fundus import fundus_case
from ssl3d_lite.show.figures.contact_sheet import outline_classes
from ssl3d_lite.show.figures.planes import draw_plane


def upright(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(values, affine)).dataobj)


figure = Figure(figsize=(12.4, 2.7), layout="constrained")
brain, abdomen, coronal, healthy, ill = figure.subplots(1, 5)

images, label, affine = head_case(seed=0, index=6, modalities=("flair",))
flair, label = upright(images["flair"], affine), upright(label, affine)
middle = int(np.argwhere(label).mean(0)[2])
draw_plane(brain, flair, axis=2, place=middle)
outline_classes(brain, label[:, :, middle])
brain.set_title("virtual-brain", fontsize=10)

image, label, affine = abdomen_case(seed=0, index=9, edge=256)
image, label = upright(image, affine).clip(-160, 240), upright(label, affine)
spacing = nib.affines.voxel_sizes(affine)
for axes, axis in ((abdomen, 2), (coronal, 1)):
    middle = int(np.argwhere(label == 2).mean(0)[axis])
    draw_plane(axes, image, axis, middle)
    outline_classes(axes, np.take(label, middle, axis))
coronal.set_aspect(spacing[2] / spacing[0])
abdomen.set_title("virtual-abdomen", fontsize=10)

for axes, grade in ((healthy, 0), (ill, 4)):
    axes.imshow(fundus_case(seed=0, index=4, grade=grade, eye="left")[0])
    axes.set_axis_off()
    axes.set_title(f"virtual-fundus, grade {grade}", fontsize=10)

figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)

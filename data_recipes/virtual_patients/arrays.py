"""Types of arrays that virtual patients are made of."""

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
Points = NDArray[np.floating]  # millimetres
Axes = tuple[NDArray[np.float64], ...]  # the x, the y and the z of a grid's voxels, mm
Affine = NDArray[np.float64]  # voxel → world, mm, (4, 4)

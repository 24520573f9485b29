"""The pieces of a puzzle in 3D in the browser: ``Puzzle3D``.

It is a small widget of its own, not NiiVue as ``Volume3D``, for three reasons:

- NiiVue resamples every further volume to the grid of the first and blends them there, so pieces
  that fly apart need a first grid as large as their flight; a piece has no outline, no number and
  no mark for correct or wrong; and in 3D only a double click reports a position.
- A piece as a solid box with slices on its sides is understood at once. Boxes without perspective
  are parallelograms, which an ordinary canvas draws exactly: no WebGL, so neither a missing GPU nor
  browsers' limit on WebGL contexts matters.
- What can go wrong lies in matrices (``places``), which are tested without a browser.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.stills.boxes import boxes_still
from ssl3d_lite.tasks import ProxyBatch

from .browser_module import browser_module
from .puzzle3d_scene import make_scene
from .saved_page import BrowserView


class Puzzle3D(BrowserView):
    """The pieces of a puzzle in 3D: as the network gets them, put back, apart.

    Where a patch is sought (CPC) it is one question: the pyramid of patches that is its context,
    and the place that is asked about. Where voxels are (masked, tissue) it is the scan as the
    network gets it, beside the truth.

    Drag (or arrow keys) to turn; click a piece to pick it; double-click to put that one back. Each
    side of a piece shows a slice of it: "look inside" moves the slice from the piece's border to
    its middle. Air around a head is drawn black, whatever value it has. Use one view and give it
    other puzzles by ``show``.

    Args:
        volumes: (batch, channel, x, y, z), as they were given to ``make_views``.
        batch: the puzzles.
        scan: index of the scan whose pieces are shown.
        prediction: a network's prediction, shown beside the truth. For a jigsaw it is the order of
            the cells (``task.permutations[n]``, or n); for relative location the place, for
            rotation the turn of each view that has a label; for CPC the patch chosen for each
            question of the batch; where voxels are asked about, the voxels.
        channel: the channel that is drawn.

    Attributes:
        picked: number of the piece under the last click, -1 if none. Like those below it can be
            set from Python and observed.
        shuffled: whether pieces are as the network gets them, or put back.
        apart: 0 together to 1 apart.
        depth: depth of the slices in edges of a piece: 0 the border, 0.5 the middle.
        turn: degrees by which the eye is turned to the patient's right, and up.

    Raises:
        InputError: 2D views, no such scan or channel, or a prediction that does not fit.
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")
    _scene = traitlets.Dict().tag(sync=True)
    _voxels = traitlets.Bytes().tag(sync=True)
    picked = traitlets.Int(-1).tag(sync=True)
    shuffled = traitlets.Bool(True).tag(sync=True)
    apart = traitlets.Float(0, min=0, max=1).tag(sync=True)
    depth = traitlets.Float(0.5, min=0, max=0.5).tag(sync=True)
    turn = traitlets.List(traitlets.Float(), [30, 25]).tag(sync=True)

    def __init__(
        self,
        volumes: Tensor,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        prediction: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ):
        super().__init__()
        self.show(volumes, batch, scan, prediction=prediction, channel=channel)

    def show(
        self,
        volumes: Tensor,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        prediction: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ) -> None:
        """Show another puzzle in the same view; arguments as above."""
        check_puzzle(volumes, batch, scan, channel)
        scene = make_scene(volumes, batch, scan % len(volumes), prediction, channel)
        with self.hold_sync():
            self.picked = -1
            self._voxels = scene.voxels
            self._scene = scene.message

    def figure(self) -> Figure:
        shape = (-1, len(self._scene["pieces"]), *self._scene["size"])
        voxels = np.frombuffer(self._voxels, np.uint8).reshape(shape)
        return boxes_still(self._scene, voxels, self.shuffled, self.apart, self.depth, self.turn)


def check_puzzle(volumes: Tensor, batch: ProxyBatch, scan: int, channel: int) -> None:
    """Raise InputError unless this is a puzzle of volumes with such a scan and channel."""
    scans, _, channels, *space = batch.views.shape
    if len(space) != 3:
        raise InputError(
            f"these views are 2D ({' x '.join(map(str, space))}), and Puzzle3D draws volumes: use "
            "puzzle(volumes, batch)"
        )
    if volumes.ndim != 5 or len(volumes) != scans:
        raise InputError(
            f"volumes have shape {tuple(volumes.shape)}, but must be those that the batch was "
            f"made from: ({scans}, channel, x, y, z)"
        )
    if not -scans <= scan < scans:
        raise InputError(f"scan is {scan}, but the batch has {scans} scans")
    if not 0 <= channel < channels:
        raise InputError(f"channel is {channel}, but the views have {channels}")

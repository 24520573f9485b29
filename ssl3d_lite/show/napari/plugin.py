"""The napari plugin: a virtual brain among the samples, and a dock widget that makes puzzles.

``napari.yaml`` beside this file tells napari of both.
"""

import ast
import inspect
import textwrap
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pooch
import torch
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    FloatSpinBox,
    LineEdit,
    PushButton,
    SpinBox,
    TextEdit,
)
from torch import Tensor

from ssl3d_lite.data.cohort import MANIFEST, Cohort
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.words import piece_told
from ssl3d_lite.tasks import TASKS, ProxyBatch, make_task

from .camera import Viewer, stand_in_3d, stand_upright
from .in_space import InSpace
from .layers import class_layer, image_layers, values_of
from .puzzle import PuzzleLayers
from .reuse import FOLLOWER, LAYER_KIND, PUZZLE, SCAN, Settings, layers_of, leave

BRAIN_EDGE = 64  # voxels
MAX_NUMBER = 2**31 - 1  # the highest that a spin box takes


# ---- sample data -------------------------------------------------------------------------------


def virtual_brain() -> list[tuple[Any, Settings, str]]:
    """A virtual head with a glioma in four contrasts, and its labels, as napari's layer tuples.

    It is made once, by the recipe of virtual brains, and kept in the user's cache folder. napari
    adds the layers itself, and knows no up: when they are there, the head is turned upright.
    """
    import napari

    folder = Path(pooch.os_cache("ssl3d_lite")) / f"virtual-brain-{BRAIN_EDGE}"
    if not (folder / MANIFEST).exists():
        make_cohort("virtual-brain", folder, cases=1, edge=BRAIN_EDGE, workers=1)
    cohort = Cohort.open(folder)
    image, label = cohort[0]
    scale = np.diag([*cohort.spacing, 1.0])
    layers = image_layers(np.asarray(image), "scan", scale)
    for number, (settings, name) in enumerate(zip(layers, cohort.channels, strict=True)):
        settings |= {"name": name, "visible": number == 0}
    if label is not None:
        layers.append(class_layer(np.asarray(label), "labels", scale, cohort.label_names))
    for settings in layers:
        settings["metadata"] = settings.get("metadata", {}) | {LAYER_KIND: SCAN}
    viewer = napari.current_viewer()
    if viewer is not None:
        from qtpy.QtCore import QTimer

        QTimer.singleShot(0, partial(turn_upright, viewer))
    return [(settings.pop("data"), settings, settings.pop("kind")) for settings in layers]


def turn_upright(viewer: Viewer) -> None:
    """Turn a viewer's sample upright, keep its head up in 3D, and select the scan."""
    shown = layers_of(viewer, SCAN)
    if shown:
        leave(viewer, SCAN)
        stand_upright(viewer)
        shown[0].metadata[FOLLOWER] = InSpace(viewer, shown[:1], crop=False)
        viewer.layers.selection.active = shown[0]


# ---- the dock widget ---------------------------------------------------------------------------


class Explorer(Container):
    """Choose a proxy task, its settings and a seed; see its puzzle in the image chosen."""

    def __init__(self, napari_viewer: Viewer):
        self.viewer = napari_viewer
        self.puzzle: PuzzleLayers | None = None
        self.drawn = ""  # the task of that puzzle
        self.image = ComboBox(label="image", choices=self._images, nullable=True)
        self.task = ComboBox(label="task", choices=list(TASKS), value="jigsaw")
        self.settings: Any = Container(label="settings")
        self.seed = SpinBox(label="seed", max=MAX_NUMBER, tooltip="the same seed, the same puzzle")
        self.draw = PushButton(text="Draw")
        self.redraw = PushButton(text="Another puzzle", tooltip="the next seed")
        self.upright = PushButton(text="Head up", tooltip="for a scan whose axes are RAS")
        self.apart = FloatSlider(label="apart", max=1, tooltip="how far the pieces fly apart")
        self.as_asked = CheckBox(
            text="as the network gets them", tooltip="shuffled, turned, warped"
        )
        self.text = TextEdit(label="answers")
        self.text.read_only = True
        widgets = [self.image, self.task, self.settings, self.seed, self.draw, self.redraw]
        moves = [self.apart, self.as_asked, self.upright]
        super().__init__(widgets=[*widgets, *moves, self.text])
        self._fill_settings()
        self.task.changed.connect(self._fill_settings)
        self.draw.clicked.connect(self.make_views)
        self.redraw.clicked.connect(self._another)
        self.upright.clicked.connect(self._head_up)
        self.apart.changed.connect(self._arrange)
        self.as_asked.changed.connect(self._arrange)
        self._follow_selection()
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._layers_changed)
        self.viewer.layers.selection.events.active.connect(self._follow_selection)

    def make_views(self) -> None:
        """Make the puzzle and show it, or say why it cannot be made."""
        layer = self.image.value
        if layer is None:
            self.text.value = "Open an image, or File > Open Sample > Virtual brain."
            return
        try:
            volumes = volumes_of(layer)
            dims: Any = volumes.ndim - 2  # 2 or 3
            shape = EncoderSettings(volumes.shape[1], dims, filters=(4, 8))
            task = make_task(self.task.value, shape, 0, **self._chosen())
            params = task.sample_params(volumes, torch.Generator().manual_seed(self.seed.value))
            batch = task.make_views(volumes, params)
        except InputError as reason:
            self.text.value = f"This puzzle cannot be made: {reason}."
            return
        volume, world = volumes[0].numpy(), world_of(layer)
        self.puzzle = PuzzleLayers(self.viewer, volume, batch, world=world)
        with self.as_asked.changed.blocked():
            if self.drawn != task.name:  # another task: as it opens
                self.as_asked.value = self.puzzle.in_row
        self.drawn = task.name
        if self.apart.value or self.as_asked.value != self.puzzle.in_row:
            self._arrange()
        self.text.value = self._text_of(self.puzzle, batch, task.note)

    @staticmethod
    def _text_of(shown: PuzzleLayers, batch: ProxyBatch, note: str) -> str:
        """The question, the answer for all, the pieces in words with their places, and a note."""
        lines = list(shown.drawing.lines)
        for piece in shown.pieces if shown.asked is None else ():
            where = ", ".join(f"{c:g}" for c in piece.centre)
            lines.append(f"{piece_told(piece, batch)} (at {where})")
        return "\n".join(filter(None, [*lines, note]))

    def _chosen(self) -> dict[str, Any]:
        """The settings, by name.

        Raises:
            InputError: a text that is no list of values.
        """
        hints = get_type_hints(TASKS[self.task.value].Settings)
        chosen = {}
        for widget in self.settings:
            chosen[widget.name] = widget.value
            if isinstance(widget, LineEdit):
                chosen[widget.name] = _read_tuple(widget.name, widget.value, hints[widget.name])
        return chosen

    def _fill_settings(self) -> None:
        self.settings.clear()
        kind = TASKS[self.task.value].Settings
        hints, help_texts = get_type_hints(kind), field_help(kind)
        for field in fields(kind):
            widget = widget_for(field.name, hints[field.name], field.default)
            widget.tooltip = help_texts.get(field.name, "")
            self.settings.append(widget)

    def _another(self) -> None:
        self.seed.value += 1
        self.make_views()

    def _arrange(self) -> None:
        if self.puzzle is not None:
            self.puzzle.arrange(self.apart.value, self.as_asked.value)

    def _head_up(self) -> None:
        """Turn napari's view, which knows no up, to that of RAS scans."""
        stand_upright(self.viewer)
        if self.viewer.dims.ndisplay == 3:
            stand_in_3d(self.viewer)
        if self.puzzle is not None:
            self.puzzle.follow()

    def _images(self, widget: Any = None) -> list[Any]:
        """The image layers that do not belong to a puzzle."""
        from napari.layers import Image

        layers = self.viewer.layers
        return [x for x in layers if isinstance(x, Image) and x.metadata.get(LAYER_KIND) != PUZZLE]

    def _layers_changed(self, event: Any = None) -> None:
        self.image.reset_choices()

    def _follow_selection(self, event: Any = None) -> None:
        """Choose the image that is selected in napari."""
        self.image.reset_choices()
        images = self._images()
        active = self.viewer.layers.selection.active
        if active in images:
            self.image.value = active
        elif self.image.value is None and images:
            self.image.value = images[0]


def volumes_of(layer: Any) -> Tensor:
    """A layer's voxels as a batch: float32 (2, channel, *space).

    Twice the same scan, because some tasks compare scans; the first is the one shown.

    Raises:
        InputError: it has neither 2 nor 3 space axes.
    """
    data = values_of(layer)
    data = np.moveaxis(data[..., :3], -1, 0) if layer.rgb else data[None]
    if data.ndim not in (3, 4):
        raise InputError(f"layer {layer.name!r} has {data.ndim - 1} axes; puzzles have 2 or 3")
    volume = torch.from_numpy(np.ascontiguousarray(data, np.float32))
    return volume[None].repeat(2, *[1] * volume.ndim)


def world_of(layer: Any) -> np.ndarray:
    """A layer's voxel → world: (D+1, D+1)."""
    dims = layer.ndim
    origin = np.asarray(layer.data_to_world((0.0,) * dims))
    world = np.eye(dims + 1)
    world[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(dims)):
        world[:-1, axis] = np.asarray(layer.data_to_world(tuple(unit))) - origin
    return world


# ---- a widget for each setting -----------------------------------------------------------------


def widget_for(name: str, kind: Any, default: Any) -> Any:
    """A magicgui widget that holds a value of this type."""
    if get_origin(kind) is Literal:
        return ComboBox(name=name, choices=list(get_args(kind)), value=default)
    if kind is bool:
        return CheckBox(name=name, value=default)
    if kind is int:
        return SpinBox(name=name, value=default, min=-MAX_NUMBER, max=MAX_NUMBER)
    if kind is float:
        return FloatSpinBox(name=name, value=default, min=-1e6, max=1e6, step=0.05)
    return LineEdit(name=name, value=", ".join(map(str, default)))


def _read_tuple(name: str, text: str, kind: Any) -> tuple[Any, ...]:
    """ "2, 3" → (2, 3), where a setting is several integers or words.

    Raises:
        InputError: the text is something else.
    """
    member = get_args(kind)[0]
    try:
        return tuple(member(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{name} is {text!r}, but must be numbers with commas between") from None


def field_help(kind: type) -> dict[str, str]:
    """The docstring under each field of a settings class, and of those that it inherits from."""
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                texts[ast.unparse(field.target)] = inspect.cleandoc(ast.literal_eval(below.value))
    return texts

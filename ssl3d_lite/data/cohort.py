"""A prepared cohort: scans of one kind, of one shape and in the same units, ready to train on.

On disk it is a folder::

    cohort.json          the manifest: what the scans are, and one record a case
    images/ID.npy        float16, (channel, *space), normalised intensities
    labels/ID.npy        uint8, (*space), class 0 is background; absent where there is no label

In an ordinal cohort (photographs of the retina) a case has one class instead of a map: its
``grade``, which stands in the manifest.

Opening reads the manifest alone. Arrays are memory-mapped when they are asked for, or all put on
a device once by :meth:`Cohort.to`. Recipes write cohorts; everything else reads them.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json

from .case import Case, array_path, case_from_json
from .label_budget import parse_label_budget
from .preparation import PreparationRecord

if TYPE_CHECKING:  # torch takes two seconds to import, and preparing a cohort needs none of it
    import torch

MANIFEST = "cohort.json"
MANIFEST_FORMAT = 1
RECORDS = "records"  # folder of what is known of each case while a recipe is at work
UNKNOWN_UNIT = "unknown"  # there is a scan whose file states none
UNLABELLED = 255  # fills the label map of a case that has none


@dataclass(frozen=True)
class Split:
    """Positions of cases in a cohort. Patients never stand on two sides.

    ``pretrain`` holds the training cases and the unlabelled ones: pretraining sees no validation
    and no test case, not even without its labels.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    pretrain: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CohortDescription:
    """What is known of a cohort before its first case is prepared."""

    name: str
    licence: str
    citation: str
    channels: tuple[str, ...]
    label_values: tuple[int, ...]  # value in the raw label map, by class: class 0 is background
    label_names: tuple[str, ...]  # by class
    regions: dict[str, tuple[int, ...]]  # region → raw label values it unites
    recipe: dict[str, Any]  # the recipe's name and settings
    description: str = ""  # what a reader of its scores should know
    ordinal: bool = False  # a label is a grade, one class a case, and no map
    # for affines and spacing: "mm"; of photographs "px", pixels of the raw picture; or UNKNOWN_UNIT
    unit: str = "mm"
    folder: Path = field(default=Path("."), compare=False)

    def with_cases(
        self,
        cases: Sequence[Case],
        spacing: Sequence[float],
        rejected: Sequence[dict[str, str]] = (),
    ) -> "Cohort":
        """The cohort that has this description and these cases."""
        about = {each.name: getattr(self, each.name) for each in fields(CohortDescription)}
        return Cohort(**about, cases=tuple(cases), spacing=tuple(spacing), rejected=tuple(rejected))

    def read(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (channel, *space) and label (*space) or None, memory-mapped and read-only.

        In an ordinal cohort the label has no axes: it is the grade.

        Raises:
            InputError: a file is missing, damaged, or of another shape than the case says.
        """
        image = self._map("images", case, (len(self.channels), *case.shape))
        if self.ordinal:
            return image, None if case.grade is None else np.array(case.grade, np.uint8)
        return image, self._map("labels", case, case.shape) if case.labelled else None

    def _map(self, kind: str, case: Case, shape: tuple[int, ...]) -> np.ndarray:
        path = array_path(self.folder, kind, case.id)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as reason:
            raise InputError(f"{path} cannot be read: {reason}; prepare the cohort again") from None
        if array.shape != tuple(shape):
            raise InputError(f"{path} has shape {array.shape}, the manifest says {tuple(shape)}")
        return array


@dataclass(frozen=True, kw_only=True)
class Cohort(CohortDescription):
    """A prepared data set. Make one with :meth:`open`; index it for its cases' arrays.

    Example::

        cohort = Cohort.open("cohorts/hippocampus")
        image, label = cohort[0]  # (channel, *space), (*space)
        volumes = cohort.images(cohort.split().train)  # (case, channel, *space)
    """

    spacing: tuple[float, ...]  # edges of a prepared voxel; the mean where cases differ
    cases: tuple[Case, ...]
    rejected: tuple[dict[str, str], ...] = ()  # {"case", "reason"}: raw cases that were refused
    resident: "tuple[torch.Tensor, torch.Tensor] | None" = field(default=None, compare=False)

    # ---- on disk -------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: str | Path) -> "Cohort":
        """Read a cohort's manifest. No array is touched.

        Raises:
            InputError: no manifest there, or not one of this format.
        """
        path = Path(folder) / MANIFEST
        if not path.exists():
            raise InputError(_no_cohort(Path(folder)))
        record = read_json(path, "cohort")
        if not isinstance(record, dict) or record.pop("format", None) != MANIFEST_FORMAT:
            raise InputError(
                f"{path} is not a manifest of format {MANIFEST_FORMAT}; prepare it again"
            )
        try:
            return cls(**_from_json(record), folder=Path(folder))
        except (TypeError, KeyError, AttributeError) as reason:
            raise InputError(f"{path} is not a valid manifest: {reason}") from None

    def save(self) -> None:
        """Write the manifest, aside first and then renamed: it is there whole or not at all."""
        record: dict[str, Any] = {"format": MANIFEST_FORMAT}
        record |= {name: getattr(self, IN_MANIFEST.get(name, name)) for name in MANIFEST_KEYS}
        # asdict would copy every number of every case
        record["cases"] = [vars(case) | {"source": vars(case.source)} for case in self.cases]
        write_json(self.folder / MANIFEST, record)

    @property
    def about(self) -> CohortDescription:
        """The cohort's description without its cases, which is small enough to send to workers."""
        return CohortDescription(
            **{each.name: getattr(self, each.name) for each in fields(CohortDescription)}
        )

    # ---- cases ---------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The arrays of case ``index``, as :meth:`read` gives them."""
        return self.read(self.cases[index])

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The one shape (*space) that all prepared volumes share; batches need it."""
        return self._one_shape(self.cases)

    def _one_shape(self, cases: Sequence[Case]) -> tuple[int, ...]:
        shapes = {case.shape for case in cases}
        if len(shapes) != 1:
            raise InputError(
                f"the cases of {self.folder} have {len(shapes)} shapes, so they cannot stand in "
                "one batch; prepare the cohort with --size"
            )
        return shapes.pop()

    @property
    def spatial_dims(self) -> int:
        return len(self.spacing)

    @property
    def region_classes(self) -> dict[str, tuple[int, ...]]:
        """Region → classes it unites (as :attr:`regions`, in classes instead of raw values)."""
        place = {value: index for index, value in enumerate(self.label_values)}
        return {name: tuple(place[v] for v in values) for name, values in self.regions.items()}

    @cached_property
    def preparation(self) -> PreparationRecord:
        """How the scans were made, and what their labels mean."""
        shapes = {case.shape for case in self.cases}
        return PreparationRecord.from_recipe(
            self.recipe,
            [np.array(case.affine) for case in self.cases],
            channels=self.channels,
            spatial_dims=self.spatial_dims,
            unit=None if self.unit == UNKNOWN_UNIT else self.unit,
            shape=shapes.pop() if len(shapes) == 1 else None,
            spacing=self.spacing,
            label_values=self.label_values,
            label_names=self.label_names,
            ordinal=self.ordinal,
        )

    # ---- batches -------------------------------------------------------------------------

    def images(self, cases: Sequence[int]) -> "torch.Tensor":
        """Volumes of ``cases`` (positions): float32 (case, channel, *space)."""
        return self._batch(cases, 0)

    def labels(self, cases: Sequence[int]) -> "torch.Tensor":
        """Label maps of ``cases``: uint8 (case, *space), ``UNLABELLED`` where there is none.

        In an ordinal cohort they are grades: uint8 (case).
        """
        return self._batch(cases, 1)

    def _batch(self, cases: Sequence[int], which: int) -> "torch.Tensor":
        import torch

        if self.resident is not None:
            from ssl3d_lite.machine.device import to_device

            store = self.resident[which]
            return store.index_select(0, to_device(torch.as_tensor(cases), store.device))
        shape = self._one_shape([self.cases[case] for case in cases] or self.cases)
        if which == 0:
            batch = np.empty((len(cases), len(self.channels), *shape), np.float32)
        else:
            shape = () if self.ordinal else shape
            batch = np.full((len(cases), *shape), UNLABELLED, np.uint8)
        for row, case in enumerate(cases):
            array = self[case][which]
            if array is not None:
                batch[row] = array
        return torch.from_numpy(batch)

    @property
    def bytes(self) -> int:
        """Size in memory of all volumes and label maps, as :meth:`to` holds them, in bytes."""
        voxels = int(np.prod(self.shape))
        return len(self) * (4 * len(self.channels) * voxels + (1 if self.ordinal else voxels))

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """A checksum of each part that a result depends on: what the cohort is made of.

        Of arrays it takes the checksums that the manifest has: ``ssl3d verify`` compares these
        with the files.
        """
        cases, about = self.cases, self.preparation.to_json()
        labels = ("label_values", "label_names", "ordinal")
        parts = {
            "scans": [[c.id, c.patient, c.slice_of] for c in cases],
            "images": [c.sha256.get("image") for c in cases],
            "labels": [[c.labelled, c.grade, c.sha256.get("label")] for c in cases],
            "folds": [c.fold for c in cases],
            "preparation": {name: value for name, value in about.items() if name not in labels},
            "meaning of labels": [self.regions, {name: about[name] for name in labels}],
        }
        return {name: _checksum(part) for name, part in parts.items()}

    @property
    def state(self) -> str:
        """What tells on disk whether the cohort is prepared again: the manifest's checksum, marked
        where the preparation is going on or was stopped. Reads no array."""
        manifest = self.folder / MANIFEST
        text = manifest.read_bytes() if manifest.exists() else b""
        return hashlib.sha256(text).hexdigest() + (" unfinished" if self._is_unfinished() else "")

    def _is_unfinished(self) -> bool:
        """Whether a recipe has left records of cases, which it removes when it is done."""
        if not (self.folder / MANIFEST).exists():
            return False
        for path in (self.folder / RECORDS).glob("*.json"):
            with suppress(OSError):  # it is removed at this moment
                if b'"terms"' in path.read_bytes():  # a user may keep other files there
                    return True
        return False

    def require_whole(self) -> None:
        """Raise InputError if the cohort is being prepared anew, or that was stopped: some arrays
        are new then, and the manifest is old."""
        if self._is_unfinished():
            raise InputError(
                f"{self.folder} is being prepared again, or that was stopped: some scans are new "
                "and some old; give the same prepare command again, and wait until it ends"
            )

    @property
    def place(self) -> str:
        """A checksum of the folder's path: whether it is the same folder, without naming it."""
        return _checksum(str(self.folder.resolve()))

    @cached_property
    def fingerprint(self) -> str:
        """Checksum of all that a result depends on: name, scans, labels, folds, preparation."""
        return _checksum([self.name, self.fingerprints])

    def to(self, device: "torch.device | str") -> "Cohort":
        """The same cohort with every volume on ``device``; later batches cost no reading."""
        everything = range(len(self))
        resident = (self.images(everything).to(device), self.labels(everything).to(device))
        return replace(self, resident=resident)

    # ---- which cases are trained on, which tested ------------------------------------------

    def require_maps(self) -> None:
        """Raise InputError unless the labels are maps, by which a network can learn to segment."""
        if self.ordinal:
            raise InputError(
                f"{self.name} is an ordinal cohort: its labels are one grade a case, and no maps "
                "to segment by"
            )

    def require_foreground(self, cases: Sequence[int]) -> None:
        """Raise InputError if the label maps of ``cases`` hold nothing but background, by which
        nothing can be learnt. Reads maps up to the first that holds more."""
        if self.ordinal or any(bool(self.labels([case]).any()) for case in cases):
            return
        every = len(cases) == sum(case.labelled for case in self.cases)
        way_out = "" if every else "; take more or other labels"
        raise InputError(
            f"the label maps of all {len(cases)} cases of {self.name} to learn from are empty: "
            f"there is nothing but background in them{way_out}; look at the maps that the cohort "
            "was prepared from"
        )

    def split(self, fold: int = 0) -> Split:
        """Fold ``fold`` is the test set, the next one validation, the others are for training.

        Patients were assigned to folds when the cohort was made, so no seed and no number of labels
        moves a case from one side to another. In a cohort without any label nothing is held out:
        all of it is for pretraining.
        """
        if not any(case.labelled for case in self.cases):
            return Split((), (), (), pretrain=tuple(range(len(self))))
        folds = sorted({case.fold for case in self.cases if case.fold is not None})
        if len(folds) < 3:
            raise InputError(
                f"{self.folder} has {len(folds)} folds, and a split needs 3: label scans of 3 "
                "patients or more and prepare them again, or leave out all labels to pretrain alone"
            )
        if fold not in folds:
            raise InputError(f"fold {fold} is not in {self.folder}, which has folds {folds}")
        after = folds[(folds.index(fold) + 1) % len(folds)]
        held_out = (fold, after)

        def labelled(wanted) -> tuple[int, ...]:
            chosen = (c.labelled and c.fold is not None and wanted(c.fold) for c in self.cases)
            return tuple(i for i, yes in enumerate(chosen) if yes)

        return Split(
            train=labelled(lambda f: f not in held_out),
            validation=labelled(lambda f: f == after),
            test=labelled(lambda f: f == fold),
            pretrain=tuple(i for i, c in enumerate(self.cases) if c.fold not in held_out),
        )

    def scans(self, cases: Sequence[int]) -> dict[str, list[int]]:
        """``cases`` by scan: one case each, or all slices of a scan together."""
        by_scan: dict[str, list[int]] = {}
        for case in cases:
            by_scan.setdefault(self.cases[case].scan, []).append(case)
        return by_scan

    def subset(self, cases: Sequence[int], labels: int | str, seed: int = 0) -> tuple[int, ...]:
        """Some of ``cases`` (positions): those whose labels there are to learn from.

        Subsets are nested: with the same seed the smaller one is the beginning of the larger, so
        5 % lies within 10 % within 25 %. Patients are drawn, and their scans come one after
        another; in a cohort of slices, scans are drawn with all their slices.

        Args:
            labels: a number of scans (12), or a share of them as a text ("5%").
            seed: number that the patients' order is drawn from.

        Raises:
            InputError: more than there are, or none at all; a float, which could mean either.

        Example::

            cohort.subset(cohort.split().train, 2)  # two scans
            cohort.subset(cohort.split().train, "100%")  # all of them
        """
        scans = self.scans(cases)
        count = parse_label_budget(labels).count(len(scans))
        by_patient: dict[str, list[str]] = {}
        for scan, (first, *_) in scans.items():
            by_patient.setdefault(self.cases[first].patient, []).append(scan)
        order = np.random.default_rng(seed).permutation(sorted(by_patient))
        drawn = [scan for patient in order for scan in by_patient[patient]][:count]
        return tuple(case for scan in drawn for case in scans[scan])


# ---- what is taken for a cohort ----------------------------------------------------------------

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def require_cohort(given: object, name: str = "cohort") -> None:
    """Raise InputError unless it is an open cohort: a folder's name is the commonest mistake."""
    if isinstance(given, CohortDescription):
        return
    if isinstance(given, str | Path):
        raise InputError(
            f"{name} is the path {str(given)!r}: open it, by Cohort.open({str(given)!r})"
        )
    raise InputError(
        f"{name} is {given if given is None else f'of type {type(given).__name__}'}, but must be a "
        'cohort, as open_cohort("hippocampus") and Cohort.open(FOLDER) give it'
    )


def takes_cohort(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """A function that refuses anything but an open cohort as its argument ``cohort``, in one line.

    All public functions that take one are marked by it, so the line is the same everywhere.
    """
    place = list(signature(function).parameters).index("cohort")

    @wraps(function)
    def checked(*args: _Params.args, **named: _Params.kwargs) -> _Result:
        if "cohort" in named or len(args) > place:  # else Python says that it is missing
            require_cohort(named["cohort"] if "cohort" in named else args[place])
        return function(*args, **named)

    return checked


def _checksum(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


# ---- as JSON -----------------------------------------------------------------------------------


IN_MANIFEST = {"graded": "ordinal"}  # key of the manifest → field, where their names differ
MANIFEST_KEYS = (
    *("name", "licence", "citation", "channels", "label_values", "label_names", "regions"),
    *("spacing", "recipe", "cases", "description", "graded", "unit", "rejected"),
)


def _from_json(record: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only: give the manifest's fields their types back."""
    for name in ("channels", "label_values", "label_names", "spacing", "rejected"):
        record[name] = tuple(record[name])
    record["ordinal"] = record.pop("graded", False)
    record["regions"] = {name: tuple(values) for name, values in record["regions"].items()}
    record["cases"] = tuple(case_from_json(case) for case in record["cases"])
    return record


def _no_cohort(folder: Path) -> str:
    """What to tell of a folder that is no cohort: the nearest that is one."""
    if folder.is_file():
        return f"{folder} is a file, where a cohort's folder is wanted"
    line = f"no cohort in {folder}: {MANIFEST} is missing"
    try:
        within = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        beside = {path.parent.name: path.parent for path in folder.parent.glob(f"*/{MANIFEST}")}
    except OSError:
        return line
    near = get_close_matches(folder.name, beside, n=1, cutoff=0.5)
    found = [*within, *(beside[name] for name in near)]
    return f"{line}; did you mean {found[0]}?" if found else line


def fits(cohort: Cohort, device: str) -> bool:
    """Whether a cohort's volumes take less than half of the memory that is free on a device."""
    import torch

    from ssl3d_lite.machine.device import free_bytes

    return cohort.bytes < free_bytes(torch.device(device)) / 2

"""Where an encoder or a network comes from: whose scans it has seen, and how those were made.

A :class:`Provenance` goes with the weights wherever they go, as ``encoder.provenance`` and
``network.provenance``; and into their folder, as ``trained_on`` in ``settings.json``. Weights that
were drawn at random have none.

Patients are known again by their scans' checksums, not by the number of a fold: a fold of another
cohort, or of the same one dealt anew, is another set of patients.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from ssl3d_lite.errors import InputError

from .case import Case
from .cohort import Cohort
from .preparation import PreparationRecord


@dataclass(frozen=True)
class SeenPatients:
    """Patients of a cohort that a training has seen."""

    cohort: str
    """The cohort's name."""
    patients: Mapping[str, tuple[str, ...]]
    """Checksum of a patient's name → marks of the scans: see :func:`scan_marks`."""
    use: Literal["training", "choosing"] = "training"
    """Whether they were trained on, or the best weights were chosen by their scores."""

    def among(self, cohort: Cohort, cases: Sequence[int]) -> set[str]:
        """Names of those patients of ``cases`` whose scans were seen.

        A scan is known again by its raw file or its voxels. Where the two cohorts share a scan of
        a patient of the same name, they name patients alike, and a name alone will do.
        """
        everyone = marks_by_patient(cohort, range(len(cohort)))
        alike = cohort.name == self.cohort and not any(everyone.values())  # a recipe without sums
        alike |= any(set(self.patients.get(who, ())) & set(m) for who, m in everyone.items())
        seen = {mark for marks in self.patients.values() for mark in marks}

        def was_seen(who: str) -> bool:
            return not seen.isdisjoint(everyone[who]) or (alike and who in self.patients)

        return {name for c in cases if was_seen(_hash(name := cohort.cases[c].patient))}


@dataclass(frozen=True)
class Provenance:
    """What weights were trained on. What is not known of it is None."""

    cohort: str | None = None
    """Name of the cohort that they saw last."""
    place: str | None = None
    """Where it lay: see :attr:`Cohort.place`."""
    fingerprints: Mapping[str, str] | None = None
    """That cohort's, as it was then: of the parts that the training depends on."""
    fold: int | None = None
    """The fold that was held out, where it is known."""
    preparation: PreparationRecord = field(default_factory=PreparationRecord)
    """How that cohort's scans were made."""
    patch: tuple[int, ...] | None = None
    """Voxels of the boxes that were trained on; None: whole volumes, or unknown."""
    seen: tuple[SeenPatients, ...] | None = None
    """All patients seen in any training so far."""
    recipe: Mapping[str, Any] | None = None
    """Settings of that cohort's recipe: enough to prepare another scan alike."""

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        cases: Sequence[int],
        chosen_by: Sequence[int] = (),
        fold: int | None = None,
        before: "Provenance | None" = None,
        patch: tuple[int, ...] | None = None,
        parts: Collection[str] | None = None,
    ) -> "Provenance":
        """The provenance of weights that were just trained on ``cases`` of a cohort.

        Args:
            chosen_by: cases by whose scores the best weights were chosen.
            before: that of the weights they started from; None, if these were random.
            parts: those of the cohort's fingerprints that the training depends on; None: all.
        """
        uses = {"training": cases, "choosing": chosen_by}
        now = [
            SeenPatients(cohort.name, marks_by_patient(cohort, seen), cast(Any, use))
            for use, seen in uses.items()
            if len(seen)
        ]
        earlier = () if before is None else before.seen
        seen = None if earlier is None else (*(s for s in earlier if s not in now), *now)
        sums = {part: cohort.fingerprints[part] for part in parts or cohort.fingerprints}
        made = cohort.preparation, patch, seen, dict(cohort.recipe)
        return cls(cohort.name, cohort.place, sums, fold, *made)

    def changes(self, cohort: Cohort) -> list[str]:
        """What of the cohort that was trained on is another now; [] if this is another cohort."""
        if cohort.place != self.place or not self.fingerprints:
            return []
        now = cohort.fingerprints
        return [part for part, then in self.fingerprints.items() if now.get(part) != then]

    def has_seen(
        self, cohort: Cohort, cases: Sequence[int], uses: Sequence[str] = ("training", "choosing")
    ) -> list[str]:
        """Names of those patients of ``cases`` whose scans were seen in one of these uses."""
        names = [each.among(cohort, cases) for each in self.seen or () if each.use in uses]
        return sorted(set().union(*names))

    def to_json(self) -> dict[str, Any]:
        """The provenance as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> "Provenance":
        """The provenance from what JSON made of it; all unknown, if there is no record."""
        record = record or {}
        seen, patch = record.get("seen"), record.get("patch")
        return cls(
            preparation=PreparationRecord.from_json(record.get("preparation", {})),
            patch=patch and tuple(patch),
            seen=None if seen is None else tuple(map(_seen_from_json, seen)),
            **{
                name: record.get(name)
                for name in ("cohort", "place", "fingerprints", "fold", "recipe")
            },
        )


def _seen_from_json(record: Mapping[str, Any]) -> SeenPatients:
    patients = {who: tuple(marks) for who, marks in record["patients"].items()}
    return SeenPatients(record["cohort"], patients, record["use"])


@contextmanager
def unchanged(cohort: Cohort) -> Iterator[None]:
    """While in it, a cohort's scans are read: at the end, see that they are still the same.

    A cohort in memory is what it was when it was opened, and it is said that the folder is not.

    Raises:
        InputError: scans that were read one by one have changed on the way.
    """
    before = cohort.state
    yield
    if cohort.state == before:
        return
    changed = f"{cohort.folder} was prepared again while it was trained on"
    if cohort.resident is None:
        raise InputError(f"{changed}: some scans were read before and some after; train again")
    from ssl3d_lite.machine.collectives import say  # torch is there by now

    say(f"{changed}: the weights are those of what it held before; train again")


def marks_by_patient(cohort: Cohort, cases: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """By what the scans of ``cases`` are known again: checksum of a patient's name → marks.

    No name goes into a file that is handed on with the weights.
    """
    found: dict[str, dict[str, None]] = {}
    for case in (cohort.cases[index] for index in cases):
        marks = found.setdefault(_hash(case.patient), {})
        marks.update((checksum[:16], None) for _, checksum in scan_marks(case))
    return {who: tuple(marks) for who, marks in found.items()}


def scan_marks(case: Case) -> Iterator[tuple[str, str]]:
    """By what the scan of a case is known again: what the mark is, and its checksum."""
    if not case.slice_of and "image" in case.sha256:  # slices beside the brain are all alike
        yield "picture, voxel for voxel", case.sha256["image"]
    for channel, checksum in case.source.sha256.items():
        if channel != "label":  # empty label maps are all alike
            yield "raw file", checksum


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]

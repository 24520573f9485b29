"""IDRiD: photographs of the retina, graded for retinopathy and for the risk of macular edema."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from data_recipes.preparing.engine import RawCase, Summary, locked_folders
from data_recipes.preparing.graded import graded_photographs
from data_recipes.preparing.photographs import GRADES, PhotographRecipe, prepare_photographs
from data_recipes.preparing.settings import About, FromRaw
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import checksum, files_below
from ssl3d_lite.machine.parallel import Workforce, for_each

EDEMA_RISKS = ("no exudates", "exudates off the macula", "exudates at the macula")  # 0 to 2
QUESTIONS = {  # the column that answers it, and what its numbers mean
    "retinopathy": ("Retinopathy grade", GRADES),
    "edema": ("Risk of macular edema", EDEMA_RISKS),
}
TABLES = {  # by part: the first half of a case's name
    "training": "a. IDRiD_Disease Grading_Training Labels.csv",
    "testing": "b. IDRiD_Disease Grading_Testing Labels.csv",
}
PHOTOGRAPHS = {"training": "a. Training Set", "testing": "b. Testing Set"}
NO_PATIENTS = (
    "IDRiD does not say whose eye a photograph shows: each is taken for a patient of its own, and "
    "two eyes of one person may stand on two sides of a split."
)
OFFICIAL = (
    "Fold 0 is the official test part, and the official training part is spread over the other "
    "folds: only a score of fold 0 is one of the official split."
)


@dataclass(frozen=True, kw_only=True)
class Idrid(PhotographRecipe, FromRaw):
    """Reads the part "B. Disease Grading": its tables, and the photographs they grade. Names occur
    in both of its sets for different eyes, so a case is called training_001 or testing_001. Whose
    eyes they are is not known: two eyes of one person may stand on two sides of a split. Copies of
    a photograph never do; those with different grades are named."""

    about: ClassVar[About] = About(
        title="IDRiD: fundus photographs, graded for retinopathy and for macular edema",
        terms="free account",
        access="with a free account at IEEE DataPort, https://doi.org/10.21227/H25W98: fetch "
        '"B. Disease Grading", unpack it, and give its folder, or one above it, to --raw',
        licence="CC BY 4.0",
        citation="Porwal et al. (2018). Indian Diabetic Retinopathy Image Dataset (IDRiD): A "
        "Database for Diabetic Retinopathy Screening Research. Data 3(3), 25. "
        "doi:10.3390/data3030025",
        size="raw 0.4 GB; prepared 0.3 MB a photograph at 224 x 224 pixels, 155 MB in all",
        time="516 photographs; about 0.8 s each and core",
        example="--split official",
    )

    question: Literal["retinopathy", "edema"] = "retinopathy"
    """What is graded: retinopathy, from 0 to 4, or the risk of macular edema, from 0 to 2."""

    split: Literal["dealt", "official"] = "dealt"
    """dealt: all photographs are spread over the folds. official: fold 0 is the official test part,
    and only fold 0 should be tested on; a training photograph that is there too is left out."""


def prepare(settings: Idrid) -> Summary:
    """Prepare IDRiD's graded photographs as an ordinal 2D cohort.

    Raises:
        InputError: a table or its photographs are not there; no test part for the official split;
            or as :func:`prepare_cohort`.
    """
    raw = settings.raw.resolve()
    tables, copies = find_tables(raw), {}
    missing = [f"{PHOTOGRAPHS[part]} is not there" for part in TABLES if part not in tables]
    cases = [case for part in tables for case in list_part(part, tables[part], settings.question)]
    if settings.split == "official":
        if missing:
            raise InputError(f"{missing[0]}, and --split official needs both; looked below {raw}")
        cases = [replace(case, held_out=case.id.startswith("testing")) for case in cases]
        copies = copies_across(cases, settings)
        cases = [case for case in cases if case.id not in copies]
    return prepare_photographs(
        {"name": "idrid", "question": settings.question, "split": settings.split},
        "IDRiD" if settings.question == "retinopathy" else "IDRiD, macular edema",
        [*cases, *locked_folders(raw)],
        raw,
        settings,
        QUESTIONS[settings.question][1],
        f"{OFFICIAL} {NO_PATIENTS}" if settings.split == "official" else NO_PATIENTS,
        missing,
        [{"case": case, "reason": reason} for case, reason in copies.items()],
    )


# ---- which files are a case --------------------------------------------------------------------


def find_tables(raw: Path) -> dict[str, Path]:
    """The tables of grades below ``raw``, by part.

    Raises:
        InputError: there is none, or two for one part; photographs are there without their table,
            or a table without its photographs.
    """
    found: dict[str, Path] = {}
    for path in files_below(raw):
        if part := next((part for part, name in TABLES.items() if name == path.name), None):
            if part in found:
                raise InputError(f"{found[part]} and {path} are both there; give one to --raw")
            found[part] = path
    if not found:
        example = TABLES["training"]
        raise InputError(f"no table of IDRiD's grades below {raw}, such as {example!r}")
    beside = next(iter(found.values()))
    for part, name in TABLES.items():
        folder = _photographs(part, found.get(part, beside))
        if part in found and not folder.is_dir():
            raise InputError(f"no folder {folder}, whose photographs {name!r} grades")
        if part not in found and folder.is_dir():
            raise InputError(f"no {name!r} in {beside.parent}, which grades those in {folder}")
    return found


def _photographs(part: str, table: Path) -> Path:
    """The folder of a part's photographs, by where a table lies."""
    return table.parents[1] / "1. Original Images" / PHOTOGRAPHS[part]


def list_part(part: str, table: Path, question: str) -> list[RawCase]:
    """All photographs of a part, named by part and number: names alone occur in both parts."""
    column, grades = QUESTIONS[question]
    folder = _photographs(part, table)
    cases = graded_photographs(folder, table, "Image name", column, grades)
    names = [f"{part}_{case.id.removeprefix('IDRiD_')}" for case in cases]
    return [replace(case, id=name, patient=name) for case, name in zip(cases, names, strict=True)]


def copies_across(cases: Sequence[RawCase], work: Workforce) -> dict[str, str]:
    """Training photographs that are, byte for byte, in the test part too → why they are left out.

    They can neither be trained on, nor join the test part, which would be another one then.
    """
    contents = dict(for_each(_content, cases, work, "copies"))
    tested = {contents[case.id]: case for case in cases if case.held_out and not case.fault}
    found = {}
    for case in cases:
        twin = tested.get(contents[case.id])
        if twin and not case.held_out:
            differ = f", where its grade is {twin.grade} and not {case.grade}"
            differ = differ if twin.grade != case.grade else ""
            found[case.id] = f"is {twin.id} of the official test part, byte for byte{differ}"
    return found


def _content(case: RawCase) -> tuple[str, str]:
    """A case's id, and its file's checksum; where there is none to read, its own fault says so."""
    try:
        return case.id, checksum(next(iter(case.images.values())))
    except (OSError, StopIteration):
        return case.id, case.id

"""APTOS 2019: photographs of the retina, graded for diabetic retinopathy."""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar

from data_recipes.preparing.engine import RawCase, Summary
from data_recipes.preparing.graded import graded_photographs
from data_recipes.preparing.patients import PatientTable, with_patients
from data_recipes.preparing.photographs import PhotographRecipe, prepare_photographs
from data_recipes.preparing.settings import About
from ssl3d_lite.errors import InputError

COMPETITION = "aptos2019-blindness-detection"


@dataclass(frozen=True, kw_only=True)
class Aptos(PhotographRecipe, PatientTable):
    """Reads train.csv with train_images/, and test.csv with test_images/, whose grades were never
    published and which serve for pretraining. Photographs that stand there twice, as some do, go to
    one fold."""

    about: ClassVar[About] = About(
        title="APTOS 2019 Blindness Detection: fundus photographs, graded 0 to 4",
        terms="Kaggle account",
        access=f"with a Kaggle account: accept the rules at https://www.kaggle.com/c/{COMPETITION},"
        " put a token in place (https://www.kaggle.com/settings), pip install -e .[data], "
        "and leave out --raw; or unpack the download by hand and give its folder to --raw",
        licence="the competition's rules: for research and education, not to be passed on",
        citation="Asia Pacific Tele-Ophthalmology Society (2019). APTOS 2019 Blindness Detection. "
        f"https://www.kaggle.com/c/{COMPETITION}",
        size="raw 10 GB; prepared 1.7 GB at 224 x 224 pixels",
        time="3662 graded and 1928 other photographs; about 0.5 s each and core",
    )

    raw: Path | None = None
    """Folder with train.csv. Downloads it with kagglehub if left out."""


def prepare(settings: Aptos) -> Summary:
    """Prepare APTOS 2019 as an ordinal 2D cohort.

    Raises:
        InputError: no photographs there; a table that cannot be read; or as
            :func:`prepare_cohort`.
    """
    raw = (settings.raw or _download()).resolve()
    cases = [*_listed(raw, "train", "diagnosis"), *_listed(raw, "test", None)]
    cases = with_patients(cases, settings.table, raw, lambda name: [name, PurePath(name).stem])
    return prepare_photographs({"name": "aptos"}, "APTOS 2019", cases, raw, settings)


def _listed(raw: Path, part: str, grade: str | None) -> list[RawCase]:
    """All that part.csv or part_images/ knows of."""
    folder, table = raw / f"{part}_images", raw / f"{part}.csv"
    if grade is None and not table.exists() and not folder.exists():
        return []  # the graded photographs alone will do
    return graded_photographs(folder, table, "id_code", grade)


def _download() -> Path:
    try:
        import kagglehub
    except ImportError:
        raise InputError(
            "without --raw the data are downloaded, for which kagglehub is needed: "
            "pip install -e .[data]"
        ) from None
    try:
        return Path(kagglehub.competition_download(COMPETITION))
    except Exception as reason:  # kagglehub raises what its HTTP and JSON libraries raise
        why = " ".join(str(reason).split())[:300]
        raise InputError(
            f"Kaggle gives {COMPETITION} to those who have an account and accepted its rules "
            f"(ssl3d prepare aptos --help says how), or give a folder to --raw: {why}"
        ) from None

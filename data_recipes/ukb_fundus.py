"""UK Biobank photographs of the retina: the paper's large unlabelled 2D corpus."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from data_recipes.preparing.engine import RawCase, Summary, locked_folders
from data_recipes.preparing.photographs import (
    COLOUR_CHANNELS,
    PhotographRecipe,
    prepare_photographs,
)
from data_recipes.preparing.settings import About, FromRaw
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

# participant_field_visit_run.png, such as 1000001_21015_0_0.png
PHOTOGRAPH_NAME = re.compile(r"(\d+)_(21015|21016)_(\d+)_(\d+)\.(png|jpe?g)", re.IGNORECASE)
EYE_OF_FIELD = {"21015": "left", "21016": "right"}  # by field


@dataclass(frozen=True, kw_only=True)
class UkbFundus(PhotographRecipe, FromRaw):
    """Reads the photographs of fields 21015 (left eye) and 21016 (right eye), wherever they lie
    below --raw. Both eyes of a participant, at all visits, are one patient's."""

    about: ClassVar[About] = About(
        title="UK Biobank fundus photographs: about 170 000 (paper), ungraded",
        terms="approved project",
        access="for approved projects (https://www.ukbiobank.ac.uk/enable-your-research); fetch "
        "bulk fields 21015 and 21016 with UK Biobank's own tools",
        licence="the project's material transfer agreement; not to be passed on",
        citation="Chua et al. (2019). Cohort profile: design and methods in the eye and vision "
        "consortium of UK Biobank. BMJ Open 9, e025077. doi:10.1136/bmjopen-2018-025077",
        size="prepared 0.3 MB a photograph at 224 x 224 pixels: 51 GB for 170 000",
        time="about 0.2 s a photograph and core",
    )


def prepare(settings: UkbFundus) -> Summary:
    """Prepare UK Biobank's fundus photographs as an ordinal 2D cohort without grades.

    Raises:
        InputError: no photographs there, or as :func:`prepare_cohort`.
    """
    raw = settings.raw.resolve()
    cases = [*find_photographs(raw), *locked_folders(raw)]
    name = "UK Biobank fundus photographs"
    return prepare_photographs({"name": "ukb-fundus"}, name, cases, raw, settings)


def find_photographs(raw: Path) -> list[RawCase]:
    """A case for each photograph.

    Raises:
        InputError: there is none.
    """
    cases = []
    for path in files_below(raw):
        if name := PHOTOGRAPH_NAME.fullmatch(path.name):
            who, field, visit, run, _ = name.groups()
            images = dict.fromkeys(COLOUR_CHANNELS, path)
            cases.append(RawCase(f"{who}_{EYE_OF_FIELD[field]}_{visit}_{run}", who, images))
    if not cases:
        raise InputError(f"no UK Biobank photographs below {raw}, such as 1000001_21015_0_0.png")
    return cases

"""Recipes of other packages: found by their entry points, without a change of this one."""

import sys
from importlib import invalidate_caches

import nibabel as nib
import numpy as np
import pytest

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.catalogue import DataListing, list_data
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import load_recipe, load_recipes, make_cohort, recipes
from ssl3d_lite.errors import InputError

STRANGER = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import Prepared, RawCase, prepare_cohort
from data_recipes.preparing.settings import About, FoldSettings, FromRaw


@dataclass(frozen=True, kw_only=True)
class Numbers(FoldSettings, FromRaw):
    """Takes every text file for a scan of one value."""

    about: ClassVar[About] = About("Numbers in files", "free", "yours", "CC0", "me", "small", "1 s")


def make(case: RawCase) -> Prepared:
    value = int(case.images["n"].read_text())
    image = np.full((1, 2, 2, 2), value, np.float16)
    return Prepared(image, None, np.eye(4), [[0, 2]] * 3, (2, 2, 2), np.eye(4))


def prepare(settings: Numbers):
    raw = settings.raw.resolve()
    cases = [RawCase(f.stem, f.stem, {"n": f}) for f in raw.glob("*.txt")]
    labels = {0: "background"}
    description = describe(settings, "numbers", ("n",), labels, {"name": "numbers"})
    return prepare_cohort(description, cases, raw, make, settings)
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package with entry points on the path, as an installation would."""

    def put(package: str, points: str, source: str) -> None:
        site = tmp_path / "site"
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(source)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ssl3d_lite.recipes]\n{points}\n")
        monkeypatch.syspath_prepend(site)
        invalidate_caches()
        monkeypatch.setitem(sys.modules, package, None)
        del sys.modules[package]  # and again when the test is over

    return put


def numbers(folder, count=3):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.txt").write_text(str(number))
    return folder


def test_a_strangers_recipe_is_listed_and_prepares_a_cohort(install, tmp_path, capsys):
    install("strange_numbers", "numbers = strange_numbers:Numbers", STRANGER)
    assert main(["prepare"]) == 0
    assert "  numbers              Numbers in files\n" in capsys.readouterr().out
    raw, out = numbers(tmp_path / "raw"), tmp_path / "cohorts/numbers"
    said = ["prepare", "numbers", "--raw", str(raw), "--out", str(out), "--workers", "1"]
    assert main(said) == 0
    image, label = Cohort.open(out)[2]
    assert label is None
    assert np.array_equal(image, np.full((1, 2, 2, 2), 2, np.float16))
    capsys.readouterr()
    assert main(["data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "numbers              prepared  free              Numbers in files\n" in said
    assert f"    {out}: numbers, 3 cases, 0 with a label\n" in said
    again = make_cohort("numbers", tmp_path / "again", raw=raw, workers=1)
    assert len(Cohort.open(again)) == 3


def test_a_strangers_recipe_tells_its_help(install, capsys):
    install("strange_numbers", "numbers = strange_numbers:Numbers", STRANGER)
    with pytest.raises(SystemExit) as left:
        main(["prepare", "numbers", "--help"])
    assert left.value.code == 0
    assert "Takes every text file for a scan of one value." in capsys.readouterr().out


def test_two_recipes_of_one_name_are_refused(install, capsys):
    install("strange_brats", "brats = strange_brats:Numbers", STRANGER)
    said = (
        "two recipes are called brats: strange_brats:Numbers and data_recipes.brats:Brats; "
        "uninstall one of the packages"
    )
    with pytest.raises(InputError, match=said):
        recipes()
    assert main(["prepare"]) == 2
    assert capsys.readouterr().err == f"ssl3d: {said}\n"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError: No module named"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def Numbers(", "SyntaxError: "),
        ("class Other: pass", "AttributeError: module 'strange_numbers' has no attribute"),
        ("class Numbers: pass", "TypeError: must be called with a dataclass type"),
        (STRANGER.replace("    about: ", "    other: "), "AttributeError: "),
        (STRANGER.replace("def prepare(", "def other("), "AttributeError: "),
    ],
)
def test_a_broken_recipe_is_one_line_and_the_others_are_listed(
    install, tmp_path, capsys, source, why
):
    install("strange_numbers", "numbers = strange_numbers:Numbers", source)
    said = f"recipe numbers (strange_numbers:Numbers) is broken: {why}"
    with pytest.raises(InputError) as refused:
        load_recipe("numbers")
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
    working, broken = load_recipes()
    assert list(broken) == ["numbers"]
    assert len(working) == len(recipes()) - 1
    assert main(["prepare"]) == 0
    listed = capsys.readouterr().out
    assert f"\n  {said}" in listed
    assert "  msd " in listed
    listed = list_data(DataListing(tmp_path))
    assert f"\n{said}" in listed
    assert "\nmsd " in listed
    assert main(["prepare", "numbers"]) == 2
    assert capsys.readouterr().err.startswith(f"ssl3d: {said}")


def test_a_recipe_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="unknown recipe 'brat'; did you mean 'brats'"):
        load_recipe("brat")


def test_a_setting_may_be_called_name(tmp_path):
    scan = np.random.default_rng(0).normal(size=(8, 8, 8))
    nib.save(nib.Nifti1Image(scan, np.eye(4)), tmp_path / "a.nii")
    folder = make_cohort("folder", tmp_path / "out", raw=tmp_path, name="mine", workers=1)
    assert Cohort.open(folder).name == "mine"

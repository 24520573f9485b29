"""What is known, prepared and missing; and what each recipe's help tells of its data set."""

from dataclasses import fields
from pathlib import Path

import pytest

from data_recipes.msd import Msd, prepare
from data_recipes.preparing.engine import RawCase
from data_recipes.virtual import VirtualHippocampus
from data_recipes.virtual import prepare as prepare_virtual
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.catalogue import DataListing, find_cohorts, list_data
from ssl3d_lite.data.registry import load_recipe, recipes
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce


def lines_about(listing: str, recipe: str) -> list[str]:
    """The recipe's line in the list, and those indented below it."""
    lines = listing.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split(" ")[0] == recipe)
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
    return lines[start:end]


def test_all_is_missing_in_an_empty_folder(tmp_path):
    listing = list_data(DataListing(folder=tmp_path))
    for name in recipes():
        (line,) = lines_about(listing, name)
        about = load_recipe(name)[0].about
        assert line[21:30].strip() == ("none yet" if name in ("folder", "slices") else "missing")
        assert about.terms in line
        assert about.title in line


def test_cohorts_are_found_by_their_recipe(make_task, tmp_path):
    raw = make_task(tmp_path / "raw", cases=4, unlabelled=1)
    (raw / "imagesTr/scan_000.nii.gz").write_bytes(b"damaged")
    prepare(Msd(out=tmp_path / "mine/blocks", raw=raw, workers=1))
    settings = {"cases": 3, "workers": 1}
    prepare_virtual(VirtualHippocampus(out=tmp_path / "virtual", raw=tmp_path / "r", **settings))
    listing = list_data(DataListing(folder=tmp_path))
    assert lines_about(listing, "msd")[1:] == [
        f"    {tmp_path / 'mine/blocks'}: Blocks, 4 cases, 3 with a label, 1 rejected"
    ]
    assert lines_about(listing, "virtual-hippocampus")[1:] == [
        f"    {tmp_path / 'virtual'}: VirtualHippocampus, 3 cases, 3 with a label"
    ]


def test_a_cohort_that_was_not_finished_is_said_to_go_on(make_task, tmp_path, monkeypatch):
    raw, seen = make_task(tmp_path / "raw", cases=4), []

    def stops(case: RawCase, how, values):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(case)
        return original(case, how, values)

    import data_recipes.msd as msd

    original = msd.prepare_scan
    monkeypatch.setattr(msd, "prepare_scan", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare(Msd(out=tmp_path / "out", raw=raw, workers=1))
    first, second = lines_about(list_data(DataListing(folder=tmp_path)), "msd")
    assert first.split()[1] == "missing"
    assert second == f"    {tmp_path / 'out'}: stopped after 2 cases; the same command goes on"


def test_what_is_damaged_or_of_no_recipe_is_listed_last(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/cohort.json").write_text("{")
    *_, last, empty, _ = list_data(DataListing(folder=tmp_path)).splitlines()
    assert empty == ""
    assert last.startswith(f"of no recipe known here: {tmp_path / 'broken'}: damaged: ")


def test_it_looks_a_few_levels_deep_and_no_deeper(make_task, tmp_path):
    raw = make_task(tmp_path / "raw", cases=3)
    for place in ("a/b/c", "a/b/c/d/e"):
        prepare(Msd(out=tmp_path / place, raw=raw, workers=1))
    assert [found.folder for found in find_cohorts(tmp_path)] == [tmp_path / "a/b/c"]


def test_no_folder():
    with pytest.raises(InputError, match="no folder nowhere"):
        list_data(DataListing(folder=Path("nowhere")))


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data"]) == 0
    assert "by registration" in capsys.readouterr().out
    assert main(["data", "nowhere"]) == 2
    assert capsys.readouterr().err == "ssl3d: no folder nowhere\n"


# ---- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipes())
def test_help_tells_licence_size_time_and_citation(name, capsys):
    with pytest.raises(SystemExit) as left:
        main(["prepare", name, "--help"])
    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    about = load_recipe(name)[0].about
    for fact in ("title", "access", "licence", "citation", "size", "time"):
        assert getattr(about, fact), fact
        assert " ".join(getattr(about, fact).split()) in said, fact
    for title in ("Access:", "Licence:", "Size:", "Time:", "Cite:"):
        assert title in said


@pytest.mark.parametrize("name", recipes())
def test_every_setting_has_a_line_of_help(name, capsys):
    with pytest.raises(SystemExit):
        main(["prepare", name, "--help"])
    said = capsys.readouterr().out
    for setting in fields(load_recipe(name)[0]):
        flag = f"--{setting.name.replace('_', '-')}"
        below = said.split(f"\n  {flag} ", 1)[1].split("--", 1)[0]
        assert any(word.isalpha() and len(word) > 3 for word in below.split()), flag


def test_recipes_that_do_work_say_who_does_it():
    for name in recipes():
        settings = load_recipe(name)[0]
        assert issubclass(settings, Workforce) or name == "slices"


def test_the_list_of_recipes_says_what_each_is_for(capsys):
    assert main(["prepare"]) == 0
    said = capsys.readouterr().out
    for name in recipes():
        assert load_recipe(name)[0].about.title in said

"""Made-up studies: what is wrong with each can be measured, for every seed, and stands nowhere."""

import csv
import json

import numpy as np
import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.study import load_results
from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.flawed import (
    FLAWS,
    MIN_GAIN,
    flawed_study,
    flaws_of,
    write_flawed_studies,
)
from ssl3d_lite.study.statistics import multi_reader

SEEDS = range(6)
each = pytest.mark.parametrize("flaw", FLAWS)


def table(study, arm, labels="2"):
    """Scores (seed, patient) of an arm, and the patients."""
    rows = [row for row in study.rows if (row["arm"], row["labels"]) == (arm, labels)]
    rows.sort(key=lambda row: row["seed"])
    patients = sorted(rows[0]["case_scores"])
    return np.array([[row["case_scores"][p] for p in patients] for row in rows]), patients


def shared(study):
    sides = {"test": set(), "seen": set()}
    for scan in study.scans:
        sides["test" if scan["side"] == "test" else "seen"].add(scan["patient"])
    return sides["test"] & sides["seen"]


def chosen(study):
    return {row["arm"] for row in study.rows if row["best_step"] is not None}


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_left_without_the_flaw_gives_the_verdict_that_was_meant(flaw, seed):
    study = flawed_study(flaw, seed)
    ours, patients = table(study, "cpc")
    theirs, _ = table(study, "scratch", "20" if chosen(study) else "2")
    clean = [n for n, name in enumerate(patients) if name not in shared(study)]
    low, high = multi_reader((ours - theirs)[:, clean]).interval()
    found = "holds" if low > 0 else "does not hold" if high < MIN_GAIN else "cannot tell"
    assert found == study.verdict == FLAWS[flaw]


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_each_flaw_shows_in_its_own_number_and_in_no_other(flaw, seed):
    study = flawed_study(flaw, seed)
    claim = study.claim
    ours, named = table(study, claim["arm"])[0], table(study, claim["against"])[0]
    strong = table(study, "scratch")[0].mean()
    estimate = multi_reader(ours - named)
    low, high = estimate.interval()
    width = (claim["high"] - claim["low"]) / (high - low)
    excess = claim["gain"] - estimate.mean
    shows = {
        "leakage": len(shared(study)) > 0,
        "hidden labels": chosen(study) == {"cpc"},
        "weak baseline": strong - named.mean() > MIN_GAIN,
        "best seed": excess > 0.001,
        "pooled": width < 0.9 and excess < 0.001,
    }
    assert [name for name, there in shows.items() if there] == [flaw] * (flaw in shows)
    if flaw == "best seed":
        assert claim["gain"] == pytest.approx((ours - named).mean(1).max(), abs=1e-4)
    if flaw not in ("best seed", "pooled"):
        assert (claim["low"], claim["high"]) == pytest.approx((low, high), abs=1e-4)


@each
def test_one_seed_gives_one_study(flaw):
    assert flawed_study(flaw, 3) == flawed_study(flaw, 3)
    assert flawed_study(flaw, 3).claim != flawed_study(flaw, 4).claim


def test_each_flaw_is_dealt_and_the_order_depends_on_the_name_alone():
    assert flaws_of("ada") == flaws_of(" Ada ")
    orders = {tuple(flaws_of(name).values()) for name in ("ada", "grace", "emmy", "sofia")}
    assert len(orders) == 4
    for order in orders:
        assert set(order) == set(FLAWS)
        assert len(order) == 8
    assert list(flaws_of("ada", studies=3)) == ["A", "B", "C"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_flawed_studies("ada", tmp_path_factory.mktemp("studies"))


def test_the_files_are_those_of_a_study_and_hold_all_that_was_made(written):
    place = written[0]
    found = load_results(place)
    made = {row["run"]: row for row in found.rows}
    assert len(made) == len(found.rows) == 120
    for row in found.rows:
        mean = np.mean(list(row["case_scores"].values()))
        assert row["score"] == pytest.approx(mean)
    with open(place / "scans.csv") as file:
        sides = [row["side"] for row in csv.DictReader(file)]
    assert found.facts["validation"] == sides.count("validation") == 18
    assert set(json.loads((place / "claim.json").read_text())) == {
        *("arm", "against", "labels", "gain", "low", "high")
    }


def test_the_house_itself_finds_what_rows_and_patients_can_show(written):
    key = {"none": "holds", "weak baseline": "does not hold", "best seed": "does not hold"}
    asked = {place: flaws_of("ada")[place.name] for place in written}
    for place, flaw in asked.items():
        (claim,) = (c for c in claims(load_results(place)) if c.name == "better with few labels")
        found = next(f.comparison for f in claim.findings if f.arm == "cpc")
        if flaw in key:
            assert found.verdict == key[flaw], flaw
        if flaw == "leakage":  # rows do not say who was seen before
            assert found.verdict == "holds"


def test_no_file_names_its_flaw(written):
    for place in written:
        for path in place.iterdir():
            text = path.read_text()
            assert not [flaw for flaw in FLAWS if flaw != "none" and flaw in text], path


def test_what_is_there_stays_and_what_is_not_ours_is_not_touched(tmp_path):
    first = write_flawed_studies("ada", tmp_path, studies=2)
    before = {path: path.read_bytes() for place in first for path in place.iterdir()}
    (first[0] / "notes.txt").write_text("mine")
    assert write_flawed_studies("ada", tmp_path, studies=2) == first
    assert {path: path.read_bytes() for path in before} == before
    assert (first[0] / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    (other / "A").mkdir(parents=True)
    (other / "A/results.csv").write_text("mine")
    with pytest.raises(InputError, match=r"results\.csv"):
        write_flawed_studies("ada", other)
    assert (other / "A/results.csv").read_text() == "mine"

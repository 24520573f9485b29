import csv
import json

import pandas as pd
import pytest
from made_up_study import make_study

from ssl3d_lite.errors import InputError
from ssl3d_lite.study import ledger as module
from ssl3d_lite.study.ledger import Ledger, settings_key, typed


def row(key, score=0.5, **more):
    return {
        "run": key,
        "arm": "cpc",
        "labels": "2",
        "seed": 0,
        "score": score,
        "failure": "",
    } | more


def test_rows_are_read_as_they_were_put(tmp_path):
    ledger = Ledger(tmp_path)
    first, second = row("a", 0.1 + 0.2, best_step=20), row("b", None, failure="collapsed, at 10")
    ledger.put("a", [first])
    assert ledger.done() == {"a"}
    ledger.collect()
    assert ledger.rows() == [first]
    ledger.put("b", [second, second | {"steps": 50}])
    ledger.collect()
    assert ledger.rows() == [
        first | {"steps": None},
        second | {"best_step": None, "steps": None},
        second | {"best_step": None, "steps": 50},
    ]
    assert not list((tmp_path / "rows").iterdir())


@pytest.mark.parametrize("point", ["before the table", "after the table"])
def test_killed_while_rows_are_moved_none_is_lost_and_none_comes_twice(
    tmp_path, monkeypatch, point
):
    ledger = Ledger(tmp_path)
    ledger.put("a", [row("a"), row("a", 0.6)])

    def killed(path, rows):
        if point == "after the table":
            write(path, rows)
        raise KeyboardInterrupt

    write = module.write_csv
    monkeypatch.setattr(module, "write_csv", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.collect()
    monkeypatch.undo()
    assert ledger.done() == {"a"}
    for _ in range(2):
        ledger.collect()
        assert [r["score"] for r in ledger.rows()] == [0.5, 0.6]


def test_the_table_is_an_ordinary_csv(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.put("a", [row("a", failure='said "no", twice')])
    ledger.collect()
    with open(tmp_path / "results.csv") as file:
        (read,) = csv.DictReader(file)
    assert read["failure"] == 'said "no", twice'


def test_cells_have_the_type_of_their_column():
    assert list(typed("labels", pd.Series(["2", ""]))) == ["2", ""]
    assert list(typed("seed", pd.Series(["2", ""]))) == [2, pd.NA]
    scores = typed("score", pd.Series(["0.30000000000000004", "1e-300", ""]))
    assert list(scores) == [0.1 + 0.2, 1e-300, pd.NA]


def test_rows_of_earlier_versions_stay_as_they_were_written(tmp_path):
    """Moving new rows in must not round old ones, and old names of columns are understood."""
    old = "run,arm,reading,labels,seed,score,fault\nold,cpc,probe,2,0,0.50,\n"
    (tmp_path / "results.csv").write_text(old)
    ledger = Ledger(tmp_path)
    ledger.put("a", [row("a", protocol="probe")])
    ledger.collect()
    text = (tmp_path / "results.csv").read_text().splitlines()
    assert text[:2] == ["run,arm,protocol,labels,seed,score,failure", "old,cpc,probe,2,0,0.50,"]
    assert [r["score"] for r in ledger.rows()] == [0.5, 0.5]


def test_a_cell_that_is_no_number_is_said(tmp_path):
    (tmp_path / "results.csv").write_text("run,score\na,high\n")
    with pytest.raises(InputError, match="no number"):
        Ledger(tmp_path).rows()


def test_a_key_knows_the_order_of_nothing_but_lists():
    assert settings_key({"a": 1, "b": [1, 2]}) == settings_key({"b": [1, 2], "a": 1})
    assert settings_key({"a": 1, "b": [1, 2]}) != settings_key({"a": 1, "b": [2, 1]})


def test_rows_that_a_user_keeps_there_are_left_alone(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.put("a", [row("a")])
    own = {"x.json": '{"mine": 1}', "y.json": "no json", "b.json": '[{"run": "another"}]'}
    for name, text in own.items():
        (tmp_path / "rows" / name).write_text(text)
    assert ledger.done() == {"a"}
    ledger.collect()
    assert [r["run"] for r in ledger.rows()] == ["a"]
    assert {p.name: p.read_text() for p in (tmp_path / "rows").iterdir()} == own


def test_a_row_cannot_name_a_folder_elsewhere(tmp_path):
    (tmp_path / "results.csv").write_text("run,score\n../../mine,1\n/etc,1\n..,1\na1b2,1\n")
    assert Ledger(tmp_path).done() == {"a1b2"}


def test_the_patients_scores_stand_beside_in_a_table_of_their_own(tmp_path):
    ledger = Ledger(tmp_path)
    scores = {"p 1": 0.1 + 0.2, "=p2": 0.5}
    ledger.put("a", [row("a", protocol="finetune", steps=50, case_scores=scores)])
    ledger.put("b", [row("b", None, protocol="probe", failure="it diverged")])
    ledger.collect()
    assert "case_scores" not in (tmp_path / "results.csv").read_text()
    with open(tmp_path / "patients.csv") as file:
        (read,) = csv.DictReader(file)
    assert (read["run"], read["protocol"], read["patient p 1"]) == (
        "a",
        "finetune",
        "0.30000000000000004",
    )
    first, second = ledger.rows()
    assert first["case_scores"] == scores
    assert "case_scores" not in second


def test_killed_between_the_two_tables_no_patient_is_lost_and_none_comes_twice(
    tmp_path, monkeypatch
):
    ledger, write = Ledger(tmp_path), module.write_csv
    ledger.put("a", [row("a", protocol="probe", case_scores={"p1": 0.5})])

    def killed(path, rows):
        write(path, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_csv", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.collect()
    monkeypatch.undo()
    for _ in range(2):
        ledger.collect()
        assert [r["case_scores"] for r in ledger.rows()] == [{"p1": 0.5}]
    assert (tmp_path / "patients.csv").read_text().count("probe") == 1


def test_looks_are_counted_at_numbers_of_seeds_that_give_verdicts(tmp_path):
    ledger = Ledger(tmp_path)
    for seeds in (2, 6, 6, 10, 6, 8):
        ledger.note_look(seeds)
    assert ledger.looks() == [6, 10, 8]
    (tmp_path / "looks.json").unlink()
    (tmp_path / "study.json").write_text('{"study": {}, "facts": {"looks": [6, 10, 8]}}')
    assert ledger.looks() == [6, 10, 8]  # a list that was lost is no first look
    ledger.note_look(12)
    assert ledger.looks() == [6, 10, 8, 12]
    (tmp_path / "looks.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="no list of numbers of seeds"):
        ledger.looks()


def test_the_first_plan_is_that_of_the_first_look(tmp_path):
    def finish(claims, first):
        known = {"study": {"claims": claims}, "facts": {"first plan": first} if first else {}}
        (tmp_path / "study.json").write_text(json.dumps(known))

    ledger, now = Ledger(tmp_path), make_study(("scratch",), ("2",), claims=("faster",))
    plan = {"claims": ["faster"], "claim_arms": []}
    assert ledger.first_plan(now) == plan
    finish(["transfer"], None)
    assert ledger.first_plan(now) == plan  # no verdict was read yet
    ledger.note_look(6)
    assert ledger.first_plan(now)["claims"] == ["transfer"]
    finish(["faster"], {"claims": [], "claim_arms": []})
    assert ledger.first_plan(now) == {"claims": [], "claim_arms": []}  # all of them

import inspect
import re
import statistics

import pytest
from made_up_study import all_rows, lost, make_row, make_rows, make_study, results_of

from ssl3d_lite.study import limits, report, sentences, tables
from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.sentences import each_arm, overall
from ssl3d_lite.study.statistics import interval

ARMS = ("cpc", "scratch", "random", "collapsed")


def score(arm, protocol, place, steps, seed, fold):
    return 0.3 + 0.1 * place + 0.02 * seed * len(arm) + 0.001 * steps + 0.01 * fold


@pytest.fixture(scope="module")
def results():
    study = make_study(ARMS, ("2", "5"), milestones=(20, 40), published="pancreas")
    rows = all_rows(study, score)
    for row in rows:
        if row["protocol"] == "finetune":
            row |= {"dice front": row["score"] + 0.1, "dice back": row["score"] - 0.1}
    rows += make_rows("cpc", [0.5, 0.7, 0.02], protocol="proxy", task="cpc", labels="", chance=0.03)
    return results_of(study, rows)


def cell_of(table, arm, column):
    header, rows = table
    (row,) = (row for row in rows if row[0] == arm)
    return row[header.index(column)]


@pytest.mark.parametrize("protocol", ["finetune", "probe", "frozen"])
def test_a_cell_is_the_mean_of_its_rows(results, protocol):
    table = tables.score_table(results, protocol)
    for arm in tables.shown(results, protocol):
        for labels in ("2", "5"):
            scores = [
                row["score"]
                for row in results.rows
                if (row["protocol"], row["arm"], row["labels"]) == (protocol, arm, labels)
            ]
            mean, deviation = statistics.mean(scores), statistics.stdev(scores)
            assert cell_of(table, arm, labels) == f"{mean:.3f} ± {deviation:.3f} (3)"


def test_convergence_has_a_column_a_milestone(results):
    header, rows = tables.score_table(results, "convergence")
    assert header == ["arm", "20 steps", "40 steps"]
    assert [row[0] for row in rows] == ["cpc", "scratch", "collapsed"]
    expected = [score("cpc", "convergence", 0, 20, seed, 0) for seed in range(3)]
    assert rows[0][1].startswith(f"{statistics.mean(expected):.3f} ")


def test_differences_are_paired_and_carry_their_interval(results):
    table = tables.gain_table(results, "finetune")
    gains = [0.02 * seed * (len("cpc") - len("scratch")) for seed in range(3)]
    low, high = interval(gains)
    said = f"{statistics.mean(gains):+.3f} ({low:+.3f} to {high:+.3f})"
    assert cell_of(table, "cpc", "5") == said
    assert cell_of(table, "cpc", "against") == "scratch"
    assert cell_of(tables.gain_table(results, "probe"), "cpc", "against") == "random"


def test_regions_are_those_at_the_most_labels(results):
    table = tables.part_table(results)
    assert table[0] == ["arm", "front", "back"]
    mean = statistics.mean(score("cpc", "finetune", 1, 100, seed, 0) for seed in range(3))
    assert cell_of(table, "cpc", "front").startswith(f"{mean + 0.1:.3f} ")


def test_a_puzzle_that_is_not_learnt_shows(results):
    table = tables.proxy_table(results)
    assert cell_of(table, "cpc", "guessing gives") == "0.030"
    assert cell_of(table, "cpc", "above that") == "2 of 3"


def test_one_score_has_no_deviation_and_failed_runs_are_said():
    rows = [
        *make_rows("cpc", [0.5]),
        lost("cpc", seed=1),
        lost("exemplar"),
        lost("exemplar", seed=1),
    ]
    results = results_of(make_study(("cpc", "exemplar", "rpl")), rows)
    table = tables.score_table(results, "finetune")
    assert table[1] == [["cpc", "0.500 ± – (1), 1 failed", "–"], ["exemplar", "2 failed", "–"]]
    assert tables.failure_table(results)[1] == [
        ["cpc", "1 run", "1", "the exemplar collapsed"],
        ["exemplar", "2 runs", "0, 1", "the exemplar collapsed"],
    ]


def test_a_score_that_is_missing_is_no_zero():
    rows = [make_row("cpc", 0.5), make_row("cpc", None, 1), make_row("cpc", 0.7, 2)]
    results = results_of(make_study(("cpc",)), rows)
    assert tables.score_table(results, "finetune")[1][0][1].startswith("0.600 ± 0.141 (2)")


def test_the_text_holds_facts_tables_verdicts_and_what_was_published(results):
    text = tables.table_text(results)
    assert "Study: Made up (made-up), scale smoke" in text
    assert "20 to train on, 5 validation, 10 test, 25 to pretrain on scans" in text
    assert "an abacus" in text
    assert f"{len(results.rows)} scores; 0 runs failed" in text
    for protocol in results.study.protocols:
        assert tables.as_markdown(tables.score_table(results, protocol)) in text
    for claim in claims(results):
        assert overall(results, claim) in text
        assert all(f"- {line}" in text for line in each_arm(results, claim))
    assert "read off the paper's Fig. 3" in text
    assert "| from scratch | the paper | 0.36 |" in text


def test_markdown_cells_cannot_be_broken():
    assert tables.as_markdown((["a|b"], [["c\nd"]])) == "| a\\|b |\n| --- |\n| c d |"


def test_folds_and_kappa_are_named():
    study = make_study(("cpc", "scratch"), ("5%",), seeds=1, folds=(0, 1, 2, 3, 4))
    rows = all_rows(study, score)
    for row in rows:
        row["measure"] = "kappa"
    text = tables.table_text(results_of(study, rows))
    assert "1 seed, folds 0, 1, 2, 3, 4: 5 pairs when complete" in text
    assert "## Fine-tuning: quadratic weighted kappa" in text
    assert "(5) |" in text


@pytest.mark.parametrize("module", [tables, sentences, limits, report])
def test_no_score_is_typed(module):
    said = re.findall(r'"[^"\n]*"', inspect.getsource(module))
    assert not [
        text for text in said if re.search(r"\d\.\d(?!rem|em)", re.sub(r"\{.*?\}", "", text))
    ]

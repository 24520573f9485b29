from importlib import resources

import pytest
from made_up_study import make_rows, make_study, results_of

from ssl3d_lite.study.arms import parse_arm
from ssl3d_lite.study.published import beside_paper, paper_arms, published_tables

BENCHMARKS = ("brats", "pancreas", "retina")


@pytest.mark.parametrize(
    ("benchmark", "place", "model", "column", "score"),
    [
        ("brats", 0, "3D-RPL", "ET", 81.28),
        ("brats", 0, "2D-Exemplar", "WT", 84.82),
        ("brats", 0, "3D supervised (FAST labels)", "WT", 90.11),
        ("brats", 1, "from scratch", "10%", 0.42),
        ("brats", 1, "Jigsaw", "100%", 0.90),
        ("pancreas", 0, "Rotation", "5%", 0.46),
        ("pancreas", 0, "from scratch", "50%", 0.49),
        ("retina", 0, "from scratch", "25%", 0.10),
        ("retina", 0, "Exemplar", "5%", 0.49),
        ("retina", 0, "CPC", "10%", 0.61),
    ],
)
def test_published_numbers(benchmark, place, model, column, score):
    block = published_tables(benchmark)[place]
    assert block.rows[model][block.columns.index(column)] == score


def test_table_1_has_all_models_that_the_authors_trained():
    table, efficiency = published_tables("brats")
    assert len(table.rows) == 12
    assert len(efficiency.rows) == 6


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_block_names_its_source_and_every_row_is_as_long_as_the_header(benchmark):
    for block in published_tables(benchmark):
        assert "paper" in block.source or "authors' code" in block.source
        assert all(len(scores) == len(block.columns) for scores in block.rows.values())


def test_other_benchmarks_have_nothing_published():
    assert published_tables("") == []


def test_every_model_is_an_arm_of_ours():
    for model, arm in paper_arms().items():
        assert parse_arm(arm).flat == model.startswith("2D-")
    models = {
        model for name in BENCHMARKS for block in published_tables(name) for model in block.rows
    }
    assert models == set(paper_arms())


def test_arms_that_the_paper_does_not_have_come_last():
    arms = ("masked", "2d-masked", "collapsed", "cpc", "scratch", "2d-scratch")
    study = make_study(arms, ("10%", "100%"), published="brats")
    rows = []
    for arm in arms:
        parts = dict.fromkeys(("dice ET", "dice WT", "dice TC"), 0.5 if arm == "scratch" else 0.6)
        rows += make_rows(arm, [0.6, 0.6], labels="100%", **parts)
    table, _ = (beside_paper(results_of(study, rows), each) for each in published_tables("brats"))
    ours = [row for row in table[1] if row[1] == "here"]
    assert [row[0] for row in ours] == ["scratch", "cpc", "masked"], "on slices: another scratch"
    assert ours[-1][2:] == ["60.00 (+10.00)"] * 3
    assert table[1][-1] == ours[-1]


def test_ours_stand_below_the_papers_and_each_beside_its_scratch():
    study = make_study(("cpc", "scratch"), ("10%", "100%"), published="brats")
    rows = []
    for labels, cpc, scratch in (("10%", 0.5, 0.4), ("100%", 0.8, 0.75)):
        for arm, score in (("cpc", cpc), ("scratch", scratch)):
            parts = {"dice ET": score - 0.1, "dice WT": score + 0.1, "dice TC": score}
            rows += make_rows(arm, [score, score], labels=labels, **parts)
    regions, shares = (
        beside_paper(results_of(study, rows), block) for block in published_tables("brats")
    )
    assert regions[0] == ["model", "whose", "ET", "WT", "TC"]
    assert ["cpc", "here", "70.00 (+5.00)", "90.00 (+5.00)", "80.00 (+5.00)"] in regions[1]
    assert ["scratch", "here", "65.00", "85.00", "75.00"] in regions[1]
    assert ["3D-CPC", "the paper", "80.83 (+4.45)", "89.88 (+2.06)", "85.11 (+2.00)"] in regions[1]
    assert ["CPC", "the paper", "0.76 (+0.34)", "0.78 (+0.20)", "0.82 (+0.10)", "0.91 (+0.03)"] in (
        shares[1]
    )
    assert ["cpc", "here", "0.600 (+0.100)", "–", "–", "0.900 (+0.050)"] in shares[1]
    assert sum(row[1] == "here" for row in shares[1]) == 2, "only arms that were run"


def test_kappa_stands_beside_kappa():
    study = make_study(("rpl",), ("5%",), published="retina")
    rows = make_rows("rpl", [0.4, 0.5], labels="5%", measure="kappa")
    (block,) = published_tables("retina")
    assert ["rpl", "here", "0.450", "–", "–", "–", "–"] in beside_paper(
        results_of(study, rows), block
    )[1]


def test_the_numbers_come_with_the_package():
    assert (resources.files("ssl3d_lite.study") / "published.toml").is_file()

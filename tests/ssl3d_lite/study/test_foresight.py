"""What a study says before it runs of what it could find."""

from dataclasses import asdict

import pytest
from made_up_study import FACTS, all_rows, make_study, place_rows, results_of, with_patients

from ssl3d_lite.files import write_json
from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.foresight import foresight
from ssl3d_lite.study.ledger import Ledger
from ssl3d_lite.study.rehearsal import planned_comparisons


def finished(folder, study, rows):
    """Leave a study as one that has been run."""
    ledger = Ledger(folder)
    for place, row in enumerate(rows):
        ledger.put(f"run{place}", [row | {"run": f"run{place}"}])
    ledger.collect()
    runs = [f"run{place}" for place in range(len(rows))]
    write_json(folder / "study.json", {"study": asdict(study), "facts": FACTS | {"runs": runs}})


def earlier(study, noise):
    def score(arm, protocol, place, steps, seed, fold):
        return 0.5 + 0.1 * place + (noise * (-1) ** seed if arm == "cpc" else 0)

    rows = [row for row in all_rows(study, score) if row["protocol"] == "finetune"]
    return with_patients(rows)


def test_it_comes_from_earlier_results_of_the_same_cohort(tmp_path):
    study, gains = make_study(seeds=6), []
    for noise in (0.01, 0.04):
        folder = tmp_path / f"{noise}" / "before"
        finished(folder, study, earlier(study, noise))
        said = foresight(study, "Made-up scans", 12, folder.parent / "now")
        assert said.startswith("With 6 seeds, 12 test patients and 2 comparisons, the smallest")
        assert str(folder) in said
        gains.append(float(said.split("four times in five is ")[1].split()[0]))
    assert gains[1] > 3 * gains[0] > 0
    assert "is not known" in foresight(study, "Other scans", 12, folder.parent / "now")


def test_without_earlier_results_it_is_not_known(tmp_path):
    said = foresight(make_study(seeds=6), "Made-up scans", 12, tmp_path / "now")
    assert "is not known, as no earlier results of Made-up scans" in said


@pytest.mark.parametrize("seeds", [2, 5])
def test_too_few_seeds_can_tell_nothing(tmp_path, seeds):
    said = foresight(make_study(seeds=seeds), "Made-up scans", 12, tmp_path)
    assert said == (
        "It will give no verdict, whatever it finds, because it has "
        f"{seeds} of the 6 seeds that one needs."
    )


@pytest.mark.parametrize(
    "lacks",
    [
        {"arms": ("cpc", "random")},
        {"arms": ("cpc", "2d-scratch")},
        {"protocols": ("probe", "probe+place")},
    ],
)
def test_without_training_from_scratch_it_says_before_it_runs_that_it_cannot_tell(tmp_path, lacks):
    """And what it says is so: the same study with every row has no verdict."""
    study = make_study(**{"arms": ("cpc", "scratch"), "seeds": 6} | lacks)
    said = foresight(study, "Made-up scans", 12, tmp_path)
    assert said == (
        "It will give no verdict, whatever it finds, because no pretrained arm has a twin that is "
        "fine-tuned from scratch, to show that this can be learnt."
    )
    rows = with_patients(all_rows(study, lambda *_: 0.5) + place_rows(study))
    found = [f for claim in claims(results_of(study, rows)) for f in claim.findings]
    assert {each.verdict for each in found} <= {"cannot tell"}


def test_what_is_scored_on_the_way_is_a_comparison_more(tmp_path):
    study = make_study(seeds=6, milestones=(20, 100))
    said = foresight(study, "Made-up scans", 12, tmp_path)
    assert "and 3 comparisons" in said


def test_what_cannot_be_tested_is_no_comparison(tmp_path):
    """An arm on slices has no twin from scratch: nothing can be said of it."""
    study = make_study(("cpc", "2d-cpc", "scratch"), seeds=6, claims=("better final score",))
    assert planned_comparisons(study) == [("better final score", "cpc")]
    assert "and 1 comparison, the" in foresight(study, "Made-up scans", 12, tmp_path)

import numpy as np
import pytest
from made_up_study import all_rows, lost, make_rows, make_study, results_of

from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.sentences import each_arm, overall
from ssl3d_lite.study.statistics import compare

CORPUS = {"recipe": "virtual-ukb-brain"}


def noise(*which: object) -> float:
    return float(np.random.default_rng([ord(c) for c in str(which)]).normal(0, 0.003))


def judged(study, score):
    """Claims by name, of a study with every row."""
    results = results_of(study, all_rows(study, score))
    return results, {claim.name: claim for claim in claims(results)}


def verdicts(claim) -> dict[str, str]:
    return {finding.arm: finding.verdict for finding in claim.findings}


ARMS = ("cpc", "rpl", "scratch", "random", "random@group", "collapsed", "oracle")


@pytest.fixture(scope="module")
def planted():
    """CPC is ahead of everything by 0.1, relative location of nothing."""
    study = make_study(ARMS, ("2", "5", "20"), seeds=4, milestones=(20, 100))

    def score(arm, protocol, place, steps, seed, fold):
        ahead = 0.1 if arm == "cpc" else 0
        return 0.4 + 0.1 * place + 0.05 * seed + ahead + noise(arm, protocol, place, steps, seed)

    return judged(study, score)


@pytest.mark.parametrize(
    "name", ["better features", "fewer labels", "better final score", "faster"]
)
def test_a_planted_gain_holds_and_none_does_not(planted, name):
    results, found = planted
    assert verdicts(found[name]) == {"cpc": "holds", "rpl": "does not hold"}
    text = overall(results, found[name])
    assert text == (
        f"{name.capitalize()}: Of 2 arms it holds for 1 (cpc) and does not hold for 1 (rpl), at 4 "
        "paired seeds."
    )
    ahead, level, control = each_arm(results, found[name])
    assert ahead.startswith("cpc against ")
    assert ": holds at 4 paired seeds." in ahead
    assert "does not hold at 4 paired seeds. A gain of 0.02 can be ruled out." in level
    assert control.startswith("Noise: collapsed against ")


def test_what_a_study_has_not_is_not_put_to_the_test(planted):
    results, found = planted
    assert overall(results, found["3D beats 2D"]) == (
        "3D beats 2D: not put to the test, as the study has no task both in 3D and on slices."
    )
    assert "the benchmark's own scans" in overall(results, found["transfer"])


def test_the_sentences_numbers_are_those_of_the_rows(planted):
    results, found = planted
    compared = compare(
        ("cpc", results.of("finetune", "cpc", ("20",))),
        ("scratch", results.of("finetune", "scratch", ("20",))),
        0.02,
    )
    said = each_arm(results, found["better final score"])[0]
    assert f"{compared.mean:+.3f} on average" in said
    assert f"(95 % interval {compared.low:+.3f} to {compared.high:+.3f})" in said


def test_fewer_labels_leaves_out_the_most_and_says_how_many_scratch_needs(planted):
    results, found = planted
    claim = found["fewer labels"]
    assert claim.trial.where.labels == ("2", "5")
    fewest, reached, enough = claim.findings[0].saved
    assert (fewest, enough) in {("2", "5"), ("2", "20")}, "0.1 a step is what CPC is ahead by"
    assert reached == pytest.approx(np.mean(results.scores("finetune", "cpc", "2")))
    assert f"reaches that with {enough} labelled scans" in each_arm(results, claim)[0]


def test_a_milestone_at_the_end_of_fine_tuning_is_not_on_the_way(planted):
    _, found = planted
    assert found["faster"].trial.where.steps == (20,)


def test_the_best_random_encoder_is_chosen_at_each_number_of_labels():
    study = make_study(("cpc", "random", "random@group"), ("2", "5"), protocols=("probe",))

    def score(arm, protocol, place, steps, seed, fold):
        return {"cpc": (0.6, 0.6), "random": (0.3, 0.5), "random@group": (0.4, 0.4)}[arm][place]

    results, found = judged(study, score)
    (finding,) = found["better features"].findings
    assert finding.comparison.mean == pytest.approx((0.2 + 0.1) / 2)
    assert [each.mean for each in finding.more] == pytest.approx([0.2, 0.1])
    assert [each.against for each in finding.more] == ["random@group", "random"]
    said = each_arm(results, found["better features"])[0]
    assert "the best random encoder (random@group with 2; random with 5): +0.150" in said
    assert "no protocol 'finetune'" in overall(results, found["better final score"])


def test_random_encoders_of_the_same_network_come_first():
    arms = ("cpc@densenet121", "cpc", "random", "random@densenet121")
    study = make_study(arms, ("2",), protocols=("probe",))
    _, found = judged(study, lambda arm, *_: 0.5 if arm == "random" else 0.4)
    against = {f.arm: f.comparison.against for f in found["better features"].findings}
    assert against == {"cpc@densenet121": "random@densenet121", "cpc": "random"}


def test_noisy_pairs_are_undecided():
    study = make_study(labels=("2",), protocols=("finetune",))
    rows = make_rows("cpc", [0.6, 0.4, 0.5]) + make_rows("scratch", [0.5, 0.5, 0.45])
    results = results_of(study, rows)
    claim = claims(results)[2]
    assert verdicts(claim) == {"cpc": "undecided"}
    assert "undecided at 3 paired seeds" in each_arm(results, claim)[0]


def test_nothing_is_claimed_from_one_seed():
    study = make_study(ARMS, ("2", "5"), seeds=1, milestones=(20, 100))
    results, found = judged(study, lambda arm, *_: 0.9 if arm == "cpc" else 0.1)
    for claim in found.values():
        assert "holds" not in verdicts(claim).values()
        assert all(finding.saved is None for finding in claim.findings)
    said = each_arm(results, found["fewer labels"])[0]
    assert "in one pair, which shows nothing: undecided at 1 paired seed." in said


def test_a_gain_too_small_to_matter_holds_but_is_called_so():
    study = make_study(labels=("2",))
    rows = make_rows("cpc", [0.505, 0.506, 0.505]) + make_rows("scratch", [0.5, 0.5, 0.5])
    results = results_of(study, rows)
    claim = claims(results)[2]
    assert verdicts(claim) == {"cpc": "holds"}
    assert "smaller than the 0.02 that is worth having" in each_arm(results, claim)[0]
    assert "Ahead by less than is worth having: cpc." in overall(results, claim)


def test_an_arm_no_better_than_a_collapsed_one_may_be_noise():
    study = make_study(("cpc", "scratch", "collapsed"), ("2",))
    rows = make_rows("cpc", [0.6, 0.61, 0.6]) + make_rows("scratch", [0.5, 0.5, 0.5])
    results = results_of(study, rows + make_rows("collapsed", [0.6, 0.6, 0.61]))
    claim = claims(results)[2]
    assert claim.findings[0].indistinguishable_from_control
    assert "not clearly ahead of collapsed, which learns nothing" in each_arm(results, claim)[0]
    assert "Not clearly ahead of the collapsed control: cpc." in overall(results, claim)
    assert "Noise: collapsed against scratch: +0.103" in each_arm(results, claim)[-1]


def test_a_control_that_falls_behind_casts_no_doubt_on_an_arm_that_holds():
    """It failed in one seed, so the arm is not clearly ahead of it: the control's failure."""
    study = make_study(("cpc", "scratch", "collapsed"), ("2",))
    rows = make_rows("cpc", [0.6, 0.61, 0.6]) + make_rows("scratch", [0.5, 0.5, 0.5])
    results = results_of(study, rows + make_rows("collapsed", [0.5, 0.5, 0.1]))
    claim = claims(results)[2]
    assert claim.findings[0].verdict == "holds"
    assert not claim.findings[0].indistinguishable_from_control


def test_3d_is_compared_with_the_same_task_on_slices_whatever_the_steps():
    arms = ("cpc", "2d-cpc", "rpl", "scratch", "2d-scratch")
    study = make_study(arms, ("2",), protocols=("finetune",))
    rows = make_rows("cpc", [0.6, 0.61, 0.6]) + make_rows("2d-cpc", [0.5, 0.5, 0.5], steps=7)
    rows += make_rows("scratch", [0.4, 0.41, 0.4]) + make_rows("2d-scratch", [0.4, 0.4, 0.41])
    results = results_of(study, rows)
    claim = claims(results)[4]
    assert verdicts(claim) == {"cpc": "holds"}
    assert claim.findings[0].comparison.against == "2d-cpc"
    said = each_arm(results, claim)[-1]
    assert said.startswith("Without any pretraining: scratch against 2d-scratch: +0.000")


def test_transfer_is_compared_with_scratch_and_with_the_benchmarks_own_scans():
    study = make_study(("cpc", "cpc@own", "scratch"), ("2",), corpus=CORPUS)
    rows = make_rows("cpc", [0.6, 0.61, 0.6]) + make_rows("cpc@own", [0.5, 0.5, 0.5])
    results = results_of(study, rows + make_rows("scratch", [0.4, 0.4, 0.4]))
    claim = claims(results)[5]
    assert verdicts(claim) == {"cpc": "holds"}, "cpc@own is not moved"
    said = each_arm(results, claim)[0]
    assert "cpc against scratch: +0.203" in said
    assert "Beside pretraining on the benchmark itself: cpc against cpc@own: +0.103" in said


def test_twins_share_dimension_norm_and_network_or_else_are_the_plain_ones():
    arms = ("cpc@group", "rpl@batch", "2d-cpc", "scratch", "scratch@group")
    results = results_of(make_study(arms), [])
    cpc, rpl, flat, *_ = results.arms
    assert results.twin(cpc, "scratch") == "scratch@group"
    assert results.twin(rpl, "scratch") == "scratch"
    assert results.twin(flat, "scratch") is None
    said = each_arm(results, claims(results)[2])
    assert "2d-cpc: the study has no arm to compare it with here." in said


def test_failed_and_missing_runs_are_said():
    study = make_study(("exemplar", "cpc", "scratch"), ("2",))
    rows = [*make_rows("exemplar", [0.5, 0.52]), lost("exemplar", seed=2)]
    results = results_of(study, rows + make_rows("scratch", [0.5, 0.5, 0.5]))
    claim = claims(results)[2]
    exemplar, cpc = each_arm(results, claim)
    assert "at 2 of 3 paired seeds. Left out: 1 score that only one side has." in exemplar
    assert exemplar.endswith("1 of its runs failed.")
    assert "no pair of scores yet, so undecided" in cpc
    assert "Without a pair of scores: cpc." in overall(results, claim)


def test_a_failure_that_was_mended_is_forgotten_and_a_run_done_again_counts_once():
    rows = [lost("cpc"), *make_rows("cpc", [0.4]), *make_rows("cpc", [0.5])]
    results = results_of(make_study(), rows)
    assert results.scores("finetune", "cpc", "2") == [0.5]
    assert not results.failed()


def test_folds_are_pairs_of_their_own():
    study = make_study(labels=("2",), seeds=1, folds=(0, 1, 2))
    results, found = judged(study, lambda arm, *_: 0.6 if arm == "cpc" else 0.5)
    said = each_arm(results, found["better final score"])[0]
    assert "holds at 3 pairs of seed and fold" in said


@pytest.mark.parametrize("rows", [[], [lost("cpc")]])
def test_a_study_without_a_score_says_so(rows):
    results = results_of(make_study(), rows)
    assert [overall(results, claim).split(": ", 1)[1] for claim in claims(results)[:3]] == [
        "nothing to compare yet.",
    ] * 3


def test_labels_are_ordered_by_how_many_scans_they_are():
    study = make_study(labels=("100%", "5", "10%"))
    assert results_of(study, []).labels == ("10%", "5", "100%"), "20 scans to train on"
    rows = make_rows("cpc", [0.5], labels="10%", scans=7)
    results = results_of(study, rows)
    assert results.labels == ("5", "10%", "100%")
    assert results.amount("10%") == "10% (7)"
    assert results.labelled("10%") == "7 labelled scans (10%)"

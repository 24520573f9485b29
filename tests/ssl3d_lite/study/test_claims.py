from dataclasses import replace

import numpy as np
import pytest
from made_up_study import (
    all_rows,
    lost,
    make_rows,
    make_study,
    place_rows,
    results_of,
    with_patients,
)

from ssl3d_lite.errors import InputError
from ssl3d_lite.study.baselines import Where, best_random, floor_of
from ssl3d_lite.study.claims import claims, savings_of
from ssl3d_lite.study.comparison import compare
from ssl3d_lite.study.sentences import each_arm, overall, stated
from ssl3d_lite.study.statistics import LEVEL, level_of_look

CORPUS = {"recipe": "virtual-ukb-brain"}


def noise(*which: object) -> float:
    return float(np.random.default_rng([ord(c) for c in str(which)]).normal(0, 0.003))


def judged(study, score, place=0.3, **facts):
    """Claims by name, of a study with every row, every patient's score and place alone."""
    rows = with_patients(all_rows(study, score) + (place_rows(study, place) if place else []))
    results = results_of(study, rows, **facts)
    return results, {claim.name: claim for claim in claims(results)}


def verdicts(claim) -> dict[str, str]:
    return {finding.arm: finding.verdict for finding in claim.findings}


def reasons(claim) -> str:
    return "; ".join(each for finding in claim.findings for each in finding.comparison.why)


ARMS = ("cpc", "rpl", "scratch", "random", "random@group", "collapsed", "oracle")
LABELS = ("2", "5", "20")


def planted_score(arm, protocol, place, steps, seed, fold):
    """CPC is ahead of everything by 0.1, relative location of nothing."""
    ahead = 0.1 if arm == "cpc" else 0
    return 0.4 + 0.1 * place + 0.05 * seed + ahead + noise(arm, protocol, place, steps, seed)


@pytest.fixture(scope="module")
def planted():
    return judged(make_study(ARMS, LABELS, seeds=6, milestones=(20, 100)), planted_score)


@pytest.mark.parametrize(
    "name", ["better features", "better with few labels", "better final score", "faster"]
)
def test_a_planted_gain_holds_and_none_does_not(planted, name):
    results, found = planted
    assert verdicts(found[name]) == {"cpc": "holds", "rpl": "does not hold"}
    text = overall(results, found[name])
    assert text == (
        f"{name.capitalize()}: Of 2 arms it holds for 1 (cpc) and does not hold for 1 (rpl), at 6 "
        "paired seeds."
    )
    ahead, level, control, *noise = each_arm(results, found[name])
    assert ahead.startswith("cpc against ")
    assert "6 paired seeds and 12 test patients (95 % interval over seeds and patients" in ahead
    assert ": holds (one-sided p below 0.001 after Holm)." in ahead
    assert "A gain of 0.02 can be ruled out." in level
    assert "It could have found a gain of 0.0" in level
    assert control.startswith("Any training at all: collapsed against ")
    assert all(line.startswith("Noise: two random starts of ") for line in noise)


# ---- when an experiment cannot tell ------------------------------------------------------------


def test_fewer_than_six_seeds_give_no_verdict():
    for seeds in (2, 5):
        _, found = judged(make_study(ARMS, LABELS, seeds=seeds), planted_score)
        for name in ("better features", "better with few labels", "better final score"):
            assert set(verdicts(found[name]).values()) == {"cannot tell"}
            assert f"{seeds} of the 6 paired seeds" in reasons(found[name])


def test_without_the_patients_scores_there_is_an_interval_of_seeds_and_no_verdict():
    study = make_study(ARMS, LABELS, seeds=6)
    results = results_of(study, all_rows(study, planted_score) + place_rows(study))
    claim = claims(results)[2]
    assert verdicts(claim)["cpc"] == "cannot tell"
    assert "the patients' scores were not stored" in overall(results, claim)
    assert "95 % interval over seeds alone" in each_arm(results, claim)[0]


def test_without_place_alone_the_floor_is_unknown():
    results, found = judged(make_study(ARMS, LABELS, seeds=6), planted_score, place=None)
    assert set(verdicts(found["better final score"]).values()) == {"cannot tell"}
    assert "place alone was not scored, so the floor is unknown" in overall(
        results, found["better final score"]
    )


def test_where_scratch_does_not_beat_place_alone_nothing_can_be_told():
    """Not even with all labels: the networks have learnt nothing, whatever their differences."""
    _, found = judged(make_study(ARMS, LABELS, seeds=6), planted_score, place=0.72)
    for name in ("better features", "better final score"):
        assert set(verdicts(found[name]).values()) == {"cannot tell"}
        assert "training from scratch is not clearly ahead of place alone" in reasons(found[name])


def test_where_few_labels_are_as_good_as_all_nothing_is_left_to_be_gained():
    def score(arm, protocol, place, steps, seed, fold):
        return 0.8 + 0.01 * place + noise(arm, protocol, place, seed)

    _, found = judged(make_study(ARMS, LABELS, seeds=6), score)
    assert set(verdicts(found["better with few labels"]).values()) == {"cannot tell"}
    assert "less than 2 times 0.02 is left to be gained" in reasons(found["better with few labels"])
    assert set(verdicts(found["better final score"]).values()) == {"does not hold"}


def test_one_kind_of_random_encoder_is_too_weak_a_control():
    arms = ("cpc", "scratch", "random")
    _, found = judged(make_study(arms, LABELS, seeds=6), planted_score)
    assert verdicts(found["better features"]) == {"cpc": "cannot tell"}
    assert "one kind of random encoder (random)" in reasons(found["better features"])


def test_features_must_beat_place_alone_too():
    def score(arm, protocol, place, steps, seed, fold):
        low = 0.3 if protocol.startswith("probe") else 0
        return planted_score(arm, protocol, place, steps, seed, fold) - low

    _, found = judged(make_study(ARMS, LABELS, seeds=6), score)
    assert verdicts(found["better features"])["cpc"] != "holds"
    _, found = judged(make_study(ARMS, LABELS, seeds=6), score, place=0.1)
    assert verdicts(found["better features"])["cpc"] == "holds"


# ---- failures apart ----------------------------------------------------------------------------


def failing(arm, which, planted=0.0):
    """Scores of an arm that fails with some seeds and is ahead by ``planted`` otherwise."""

    def score(each, protocol, place, steps, seed, fold):
        if each == arm and seed in which and protocol == "finetune":
            return 0.1
        ahead = planted if each == "cpc" else 0
        return 0.5 + 0.1 * place + ahead + noise(each, protocol, place, seed)

    return score


def test_failed_runs_are_counted_apart_and_are_in_no_interval():
    study = make_study(("cpc", "scratch"), LABELS, seeds=7)
    results, found = judged(study, failing("scratch", {2}, 0.1))
    (finding,) = found["better with few labels"].findings
    compared = finding.comparison
    assert compared.failures[:3] == (0, 1, 7)
    assert compared.mean == pytest.approx(0.1, abs=0.01)
    assert compared.overall == pytest.approx((6 * 0.1 + 0.55) / 7, abs=0.01)
    assert compared.estimate.seeds == 6
    assert finding.verdict == "holds"
    said = each_arm(results, found["better with few labels"])[0]
    assert "cpc in 0 of 7 pairs, scratch in 1 (exact McNemar p 1.000)" in said
    assert "among pairs in which both learnt" in said


def test_an_arm_that_is_ahead_only_without_its_failed_runs_does_not_hold():
    study = make_study(("cpc", "scratch"), LABELS, seeds=7)
    _, found = judged(study, failing("cpc", {2}, 0.04))
    assert verdicts(found["better with few labels"]) == {"cpc": "undecided"}
    assert "with its failed runs counted" in reasons(found["better with few labels"])


def test_a_run_that_is_slow_has_not_failed():
    """Scratch is below place alone on its way, and above it at its end."""

    def score(arm, protocol, place, steps, seed, fold):
        slow = 0.3 if protocol == "convergence" and arm == "scratch" else 0
        return 0.5 + 0.1 * place - slow + noise(arm, protocol, place, steps, seed)

    study = make_study(("cpc", "scratch"), LABELS, seeds=6, milestones=(20, 100))
    _, found = judged(study, score)
    (finding,) = found["faster"].findings
    assert finding.comparison.failures[:3] == (0, 0, 6)
    assert finding.comparison.mean == pytest.approx(0.3, abs=0.01)
    assert finding.verdict == "holds"
    assert verdicts(found["better with few labels"]) == {"cpc": "does not hold"}


def test_too_few_pairs_that_learnt_tell_nothing():
    study = make_study(("cpc", "scratch"), LABELS, seeds=7)
    _, found = judged(study, failing("cpc", {0, 1, 2, 3}, 0.1))
    assert verdicts(found["better with few labels"]) == {"cpc": "cannot tell"}
    assert "both arms learnt with only 3 of 7 seeds" in reasons(found["better with few labels"])


def test_a_run_that_broke_off_has_failed():
    study = make_study(("cpc", "scratch"), ("2", "20"), seeds=7)
    rows = [r for r in all_rows(study, failing("", ())) if r["protocol"] == "finetune"]
    rows = [r for r in rows if (r["arm"], r["seed"], r["labels"]) != ("cpc", 3, "2")]
    rows = with_patients([*rows, lost("cpc", seed=3), *place_rows(study)])
    (finding,) = claims(results_of(study, rows))[1].findings
    assert finding.comparison.failures[:3] == (1, 0, 7)
    assert finding.comparison.differences[3, 0] == pytest.approx(0.3 - 0.5, abs=0.01)


def test_place_alone_is_that_of_the_same_seed_where_there_is_one():
    study = make_study(("cpc", "scratch"), ("2",), seeds=2)
    rows = make_rows("place", [0.3, 0.6])
    rows += make_rows("cpc", [0.5, 0.5])
    floor = floor_of(results_of(study, rows))
    assert [floor.failed(row) for row in rows[2:]] == [False, True]


def test_channels_by_name_are_compared_with_channels_in_turn():
    arms = ("cpc", "cpc@unnamed", "rpl", *ARMS[2:])
    study = make_study(arms, LABELS, seeds=6, corpus=CORPUS)
    _, found = judged(study, planted_score)
    claim = found["channels by name"]
    assert verdicts(claim) == {"cpc": "holds"}
    assert claim.findings[0].comparison.against == "cpc@unnamed"
    assert claim.findings[0].comparison.mean == pytest.approx(0.1, abs=0.01)
    _, found = judged(make_study(ARMS, LABELS, seeds=6, corpus=CORPUS), planted_score)
    assert "channels by name" not in found


# ---- several claims, several looks -------------------------------------------------------------


def test_a_plan_with_one_claim_is_judged_by_it_alone():
    def score(arm, protocol, place, steps, seed, fold):  # a gain that is hardly seen
        ahead = {0: 0.011, 1: 0.009}[seed % 2] if arm == "cpc" else 0
        return 0.4 + 0.1 * place + ahead + 3 * noise(arm, protocol, place, seed)

    every = make_study(ARMS, LABELS, seeds=6, milestones=(20, 100))
    one = replace(every, claims=("better with few labels",), claim_arms=("cpc",))
    ps = []
    for study in (every, one):
        results, found = judged(study, score)
        ps.append(found["better with few labels"].findings[0].comparison.p)
        others = [each.comparison for each in found["better final score"].findings]
        assert {each.p is None for each in others} == {study is one}
    assert 0 < ps[1] < ps[0] / 4  # of eight comparisons one is left
    assert set(verdicts(found["better final score"]).values()) == {"cannot tell"}
    assert "not among the claims of the plan, and only shown" in reasons(found["faster"])
    assert stated(found["faster"]).startswith("Shown, not claimed: On the way")
    assert stated(found["better with few labels"]).startswith("Claimed: ")
    said = overall(results, found["faster"])
    assert "shown and not judged for 2 (cpc, rpl)" in said
    assert said.endswith("It is not among the claims of the plan.")
    assert "cannot" not in said
    assert all(": shown, not judged." in line for line in each_arm(results, found["faster"])[:2])
    rival = found["better with few labels"].findings[1]
    assert (rival.arm, rival.verdict) == ("rpl", "cannot tell")
    assert rival.comparison.interval


def test_a_claim_that_is_dropped_after_a_look_is_judged_on():
    every = make_study(ARMS, LABELS, seeds=6)
    one = replace(every, claims=("better final score",), claim_arms=("cpc",))
    _, before = judged(every, planted_score)
    plan = {"claims": [], "claim_arms": []}
    _, after = judged(one, planted_score, **{"first plan": plan})
    for name in ("better features", "better final score"):
        assert verdicts(after[name]) == verdicts(before[name])


def test_an_arm_cannot_read_channels_in_turn_where_there_is_no_corpus():
    with pytest.raises(InputError, match="cpc@unnamed: without a corpus"):
        make_study(("cpc@unnamed", "scratch"), LABELS)


def test_a_claim_or_arm_that_there_is_none_of_is_named():
    study = make_study(ARMS, LABELS, seeds=6)
    with pytest.raises(InputError, match="claims"):
        replace(study, claims=("better looks",))
    with pytest.raises(InputError, match="cpcc"):
        replace(study, claim_arms=("cpcc",))


def test_the_more_is_claimed_the_more_each_claim_must_show():
    def ahead_by(gain):
        def score(arm, protocol, place, steps, seed, fold):
            own = 0.02 * np.random.default_rng([seed, *map(ord, arm)]).normal()
            return 0.5 + 0.1 * place + (gain if arm == "cpc" else 0) + own

        return score

    few = make_study(("cpc", "scratch"), LABELS, seeds=6, protocols=("finetune",))
    many = make_study(
        ("cpc", "rpl", "jigsaw", "rotation", "masked", "exemplar", "scratch"),
        LABELS,
        seeds=6,
        protocols=("finetune",),
    )
    p = [
        judged(study, ahead_by(0.05))[1]["better final score"].findings[0].comparison.p
        for study in (few, many)
    ]
    assert p[1] > 2 * p[0]


def test_a_second_look_must_show_more():
    study = make_study(("cpc", "scratch"), LABELS, seeds=8, protocols=("finetune",))

    def score(arm, protocol, place, steps, seed, fold):
        own = 0.03 * np.random.default_rng([seed, *map(ord, arm)]).normal()
        return 0.5 + 0.1 * place + (0.07 if arm == "cpc" else 0) + own

    said = {}
    for looks in ([8], [6, 8], [6, 7, 8]):
        _, found = judged(study, score, looks=looks)
        said[len(looks)] = found["better final score"].findings[0].comparison
    assert level_of_look(3) < said[1].p < LEVEL
    assert said[1].verdict == "holds"
    assert said[3].verdict == "undecided"
    assert "but not after" in said[3].why[0]


# ---- fewer labels ------------------------------------------------------------------------------


def test_how_many_labels_an_arm_saves(planted):
    """One step of the curve of 0.1 is what CPC is ahead by: from 2 to 5 and from 5 to 20."""
    results, found = planted
    saved, seeds, patients = savings_of(results, "cpc")
    assert (seeds, patients) == (6, 12)
    assert 2.5 < saved.low < saved.factor < saved.high < 4
    none, *_ = savings_of(results, "rpl")
    assert none.low < 1 < none.high
    ahead, level, *_ = each_arm(results, found["better with few labels"])
    assert f"scratch needs {saved.factor:.2f} times as many labels" in ahead
    assert ahead.endswith("fewer labels are shown.")
    assert level.endswith("fewer labels are not shown.")


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
    assert f"seeds and patients {compared.low:+.3f} to {compared.high:+.3f})" in said


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


def test_the_best_random_encoder_is_chosen_on_other_patients():
    """One kind is good on every second patient, the other on the rest: who chose on the patients
    that are compared would find an encoder that is good on all of them."""
    study = make_study(("cpc", "random", "random@group"), ("2",), seeds=6, protocols=("probe",))
    rows = with_patients(all_rows(study, lambda *_: 0.5), own=0.0, spread=0.0)
    for row in rows:
        for place, patient in enumerate(row["case_scores"]):
            good = place % 2 if row["arm"] == "random" else 1 - place % 2
            row["case_scores"][patient] += 0.1 * (good - 0.5) if row["arm"] != "cpc" else 0
    results = results_of(study, rows)
    (cpc,) = [arm for arm in results.arms if arm.name == "cpc"]
    name, chosen = best_random(results, Where("probe", ("2",)), cpc)
    assert "random or random@group" in name or "random@group or random" in name
    assert [row["score"] for row in chosen] == pytest.approx([0.45] * 6)


def test_random_encoders_of_every_network_compete():
    arms = ("cpc@densenet121", "cpc", "random", "random@densenet121")
    study = make_study(arms, ("2",), protocols=("probe",))
    _, found = judged(study, lambda arm, *_: 0.5 if arm == "random" else 0.4)
    against = {f.arm: f.comparison.against for f in found["better features"].findings}
    assert against == {"cpc@densenet121": "random", "cpc": "random"}


def six(mean, own=0):
    """Six scores around a mean."""
    return [mean + 0.002 * ((seed + own) % 3) for seed in range(6)]


def judged_rows(study, rows, place=0.3):
    results = results_of(study, with_patients(rows + place_rows(study, place)))
    return results, {claim.name: claim for claim in claims(results)}


def test_noisy_pairs_are_undecided():
    study = make_study(("cpc", "scratch"), ("2",), seeds=6, protocols=("finetune",))
    rows = make_rows("cpc", [0.6, 0.4, 0.5, 0.55, 0.62, 0.45])
    results, found = judged_rows(study, rows + make_rows("scratch", six(0.5)))
    assert verdicts(found["better final score"]) == {"cpc": "undecided"}
    said = each_arm(results, found["better final score"])[0]
    assert "It could have found a gain of 0." in said


def test_a_gain_too_small_to_matter_holds_but_is_called_so():
    study = make_study(("cpc", "scratch"), ("2",), seeds=6)
    rows = make_rows("cpc", six(0.506, 1)) + make_rows("scratch", six(0.5))
    results, found = judged_rows(study, rows)
    claim = found["better final score"]
    assert verdicts(claim) == {"cpc": "holds"}
    assert "smaller than the 0.02 that is worth having" in each_arm(results, claim)[0]
    assert "Ahead by less than is worth having: cpc." in overall(results, claim)


def test_an_arm_no_better_than_a_collapsed_one_may_owe_it_to_any_training():
    study = make_study(("cpc", "scratch", "collapsed"), ("2",), seeds=6)
    rows = make_rows("cpc", six(0.6)) + make_rows("scratch", six(0.5))
    results, found = judged_rows(study, rows + make_rows("collapsed", six(0.6, 1)))
    claim = found["better final score"]
    assert claim.findings[0].may_be_any_training
    assert "Any training at all may do this" in each_arm(results, claim)[0]
    assert "Not clearly ahead of any training at all: cpc." in overall(results, claim)
    assert "Any training at all: collapsed against scratch: +0.100" in " ".join(
        each_arm(results, claim)
    )


@pytest.mark.parametrize(("gain_of_warm_up", "doubted"), [(0.1, True), (0.03, False)])
def test_a_gain_that_the_warm_up_has_too_may_be_the_warm_ups(gain_of_warm_up, doubted):
    study = make_study(("cpc", "scratch", "scratch@warm"), ("2",), seeds=6)
    rows = make_rows("cpc", six(0.6)) + make_rows("scratch", six(0.5))
    warm = make_rows("scratch@warm", six(0.5 + gain_of_warm_up, 1))
    results, found = judged_rows(study, rows + warm)
    claim = found["better final score"]
    assert [each.arm for each in claim.findings] == ["cpc"]
    assert claim.findings[0].comparison.against == "scratch", "the warmed one is nobody's twin"
    assert claim.findings[0].may_be_the_warm_up == doubted
    text = " ".join(each_arm(results, claim))
    assert "Against scratch@warm, which has the warm-up too: +0.0" in text
    assert ("So the gain may be the warm-up's." in text) == doubted
    assert f"The warm-up by itself: scratch@warm against scratch: +{gain_of_warm_up:.3f}" in text
    alone = "Not clearly ahead of the warm-up by itself: cpc." in overall(results, claim)
    assert alone == doubted


def test_noise_is_one_random_start_against_another():
    study = make_study(("cpc", "scratch"), ("2",), seeds=3)
    rows = make_rows("cpc", [0.6, 0.6, 0.6]) + make_rows("scratch", [0.5, 0.53, 0.56])
    results, found = judged_rows(study, rows)
    (noise,) = found["better final score"].noise
    assert noise.mean == pytest.approx((0.03 + 0.06 + 0.03) / 3)
    assert (
        "Noise: two random starts of scratch lie 0.040 apart on average (3 seeds"
        in (each_arm(results, found["better final score"])[-1])
    )


def test_3d_is_compared_with_the_same_task_on_slices_whatever_the_steps():
    arms = ("cpc", "2d-cpc", "rpl", "scratch", "2d-scratch")
    study = make_study(arms, ("2",), seeds=6, protocols=("finetune",))
    rows = make_rows("cpc", six(0.6)) + make_rows("2d-cpc", six(0.5), steps=7)
    rows += make_rows("scratch", six(0.41)) + make_rows("2d-scratch", six(0.41))
    results, found = judged_rows(study, rows)
    claim = found["3D beats 2D"]
    assert verdicts(claim) == {"cpc": "holds"}
    assert claim.findings[0].comparison.against == "2d-cpc"
    said = each_arm(results, claim)[1]
    assert said.startswith("Without pretraining: scratch against 2d-scratch: +0.000")


def test_an_arm_on_slices_fails_by_the_floor_of_slices():
    study = make_study(("cpc", "2d-cpc"), ("2",), seeds=6, protocols=("finetune",))
    rows = make_rows("cpc", six(0.6)) + make_rows("2d-cpc", six(0.25))
    places = make_rows("place", six(0.3)) + make_rows("2d-place", six(0.2))
    found = claims(results_of(study, with_patients(rows + places)))
    (compared,) = (c.findings[0].comparison for c in found if c.name == "3D beats 2D")
    assert (compared.failures.ours, compared.failures.theirs) == (0, 0)
    places = make_rows("place", six(0.2)) + make_rows("2d-place", six(0.3))
    found = claims(results_of(study, with_patients(rows + places)))
    (compared,) = (c.findings[0].comparison for c in found if c.name == "3D beats 2D")
    assert (compared.failures.ours, compared.failures.theirs) == (0, 6)


def test_a_whole_network_from_elsewhere_stands_beside_a_whole_network_of_the_own_scans():
    arms = ("masked", "masked@network", "masked@own", "masked@own@network", "scratch")
    study = make_study(arms, ("2",), seeds=6, corpus=CORPUS)
    rows = [row for arm in arms for row in make_rows(arm, six(0.5))]
    _, found = judged_rows(study, rows)
    beside = {f.arm: f.more[0].against for f in found["transfer"].findings}
    assert beside == {"masked": "masked@own", "masked@network": "masked@own@network"}


def test_transfer_is_compared_with_scratch_and_with_the_benchmarks_own_scans():
    study = make_study(("cpc", "cpc@own", "scratch"), ("2",), seeds=6, corpus=CORPUS)
    rows = make_rows("cpc", six(0.6)) + make_rows("cpc@own", six(0.5))
    results, found = judged_rows(study, rows + make_rows("scratch", six(0.4)))
    claim = found["transfer"]
    assert verdicts(claim) == {"cpc": "holds"}, "cpc@own is not moved"
    said = each_arm(results, claim)[0]
    assert "cpc against scratch: +0.200" in said
    assert "Beside pretraining on the benchmark itself: cpc against cpc@own: +0.100" in said


def test_missing_runs_are_said():
    study = make_study(("exemplar", "cpc", "scratch"), ("2",))
    rows = [*make_rows("exemplar", [0.5, 0.52]), lost("exemplar", seed=2)]
    results = results_of(study, rows + make_rows("scratch", [0.5, 0.5, 0.5]))
    claim = claims(results)[2]
    exemplar, cpc, *_ = each_arm(results, claim)
    assert "at 2 of 3 paired seeds" in exemplar
    assert "Left out: 1 score that only one side has." in exemplar
    assert exemplar.endswith("1 of its runs broke off.")
    assert cpc == "cpc against scratch: no pair of scores yet."
    assert "Without a pair of scores: cpc." in overall(results, claim)


def test_the_folds_of_a_seed_are_one_reader():
    """Each patient is tested in one fold, so folds add patients, and seeds alone add seeds."""
    study = make_study(("cpc", "scratch"), ("2",), seeds=6, folds=(0, 1, 2))
    results, found = judged(study, lambda arm, *_: 0.6 if arm == "cpc" else 0.5)
    compared = found["better final score"].findings[0].comparison
    assert (compared.estimate.seeds, compared.estimate.cases) == (6, 36)
    said = each_arm(results, found["better final score"])[0]
    assert "18 pairs of seed and fold and 36 test patients" in said
    alone = make_study(("cpc", "scratch"), ("2",), seeds=1, folds=(0, 1, 2, 3, 4, 5, 6))
    _, found = judged(alone, lambda arm, *_: 0.6 if arm == "cpc" else 0.5)
    assert verdicts(found["better final score"]) == {"cpc": "cannot tell"}


def test_twins_share_dimension_norm_and_network_or_else_are_the_plain_ones():
    arms = ("cpc@group", "rpl@batch", "2d-cpc", "scratch", "scratch@group")
    results = results_of(make_study(arms), [])
    cpc, rpl, flat, *_ = results.arms
    assert results.twin(cpc, "scratch") == "scratch@group"
    assert results.twin(rpl, "scratch") == "scratch"
    assert results.twin(flat, "scratch") is None
    said = each_arm(results, claims(results)[2])
    assert "2d-cpc: the study has no arm to compare it with here." in said


def test_a_failure_that_was_mended_is_forgotten_and_a_run_done_again_counts_once():
    rows = [lost("cpc"), *make_rows("cpc", [0.4]), *make_rows("cpc", [0.5])]
    results = results_of(make_study(), rows)
    assert results.scores("finetune", "cpc", "2") == [0.5]
    assert not results.failed()


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

"""What a study says before it runs of claims that it plans and cannot test."""

import pytest
from made_up_study import all_rows, make_study, place_rows, results_of, with_patients

from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.rehearsal import untestable
from ssl3d_lite.study.settings import read_study, shipped_studies

ARMS = ("cpc", "scratch", "random", "random@group")
START = "Planned, but not to be tested: "


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"claims": ("faster",)}, "'faster', as fine-tuning was not scored on its way."),
        (
            {"claims": ("faster",), "milestones": (20,), "protocols": ("finetune",)},
            "'faster', as the study has no protocol 'convergence'.",
        ),
        (
            {"claims": ("better features",), "protocols": ("finetune",)},
            "'better features', as the study has no protocol 'probe'.",
        ),
        (
            {"claims": ("better features",), "arms": ("cpc", "jigsaw", "scratch")},
            "'better features' of cpc, jigsaw, as no random encoder is run beside it.",
        ),
        (
            {"claims": ("better features",), "arms": ("cpc", "scratch", "random")},
            "'better features' of cpc, as one kind of random encoder (random) is too weak a "
            "control.",
        ),
        (
            {"claims": ("better final score",), "arms": ("cpc", "2d-cpc", "scratch")},
            "'better final score' of 2d-cpc, as its twin from scratch is not run.",
        ),
        (
            {"claims": ("better with few labels",), "labels": ("2",)},
            "'better with few labels', as the study has one number of labels.",
        ),
        (
            {"claims": ("3D beats 2D",)},
            "'3D beats 2D', as the study has no task both in 3D and on slices.",
        ),
        (
            {"claims": ("channels by name",)},
            "'channels by name', as the same with @unnamed is not run.",
        ),
        (
            {"claim_arms": ("cpc", "jigsaw", "scratch")},
            "claims for jigsaw, which is not among the arms; claims for scratch, which is a "
            "control.",
        ),
        (
            {"claims": ("better final score",), "claim_arms": ("jigsaw",)},
            "claims for jigsaw, which is not among the arms; 'better final score', as none of its "
            "arms is run.",
        ),
    ],
)
def test_a_planned_claim_that_has_nothing_to_be_tested_by_is_told(changes, said):
    """And it is so: with every row there, no verdict is given on it."""
    study = make_study(**{"arms": ARMS, "seeds": 6} | changes)
    assert untestable(study) == START + said
    rows = with_patients(all_rows(study, lambda arm, *_: 0.5) + place_rows(study))
    asked = [claim for claim in claims(results_of(study, rows)) if claim.name in study.claims]
    found = {f.arm: f.verdict for claim in asked for f in claim.findings}
    assert "cannot tell" in found.values() or not found


def test_nothing_is_said_where_all_can_be_tested():
    every = ("better features", "better with few labels", "better final score", "faster")
    plan = {"claims": every, "claim_arms": ("cpc",), "milestones": (20,)}
    assert untestable(make_study(ARMS, **plan)) == ""
    none_by_name = make_study(ARMS, protocols=("finetune",))
    assert untestable(none_by_name) == ""


@pytest.mark.parametrize("name", shipped_studies())
def test_the_shipped_studies_plan_nothing_in_vain(name):
    assert untestable(read_study(name)) == ""


def test_it_is_said_before_the_study_runs(monkeypatch, capsys, tmp_path):
    from ssl3d_lite.study import running

    def stop(*_):
        raise KeyboardInterrupt

    study = read_study("hippocampus", "smoke", claims=("3D beats 2D",), arms=("cpc", "scratch"))
    monkeypatch.setattr(running, "run_here", stop)
    with pytest.raises(KeyboardInterrupt):
        running.run_experiment(study, tmp_path / "study")
    assert capsys.readouterr().out.count(START + "'3D beats 2D'") == 1

import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.study.arms import parse_arm
from ssl3d_lite.study.settings import build_settings, merged, read_study, shipped_studies
from ssl3d_lite.study.statistics import MIN_SEEDS
from ssl3d_lite.training.settings import STEPS_PER_ROW, FinetuneSettings

SMALL = """
title = "Small"
arms = ["cpc", "scratch"]
labels = ["2"]
[cohort]
recipe = "virtual-hippocampus"
[pretrain]
steps = 10
[smoke]
seeds = 2
cohort.cases = 30
[full]
cohort.cases = 300
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "small.toml"
        path.write_text(text)
        return path

    return write


def test_a_scale_changes_what_it_names_and_leaves_the_rest(write):
    path = write(SMALL)
    smoke, full = read_study(path, "smoke"), read_study(path, "full")
    assert smoke.cohort == {"recipe": "virtual-hippocampus", "cases": 30}
    assert full.cohort == {"recipe": "virtual-hippocampus", "cases": 300}
    assert (smoke.seeds, full.seeds) == (2, 6)
    assert (smoke.name, smoke.scale) == ("small", "smoke")
    assert smoke.arms == ("cpc", "scratch")


def test_what_is_asked_for_counts_before_the_file(write):
    assert read_study(write(SMALL), "smoke", seeds=7, arms=("random",)).seeds == 7


def test_tables_are_merged_and_all_else_is_replaced():
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2]}
    assert merged(base, {"a": {"y": 3}, "b": [4]}) == {"a": {"x": 1, "y": 3}, "b": [4]}
    assert base == {"a": {"x": 1, "y": 2}, "b": [1, 2]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Small"', 'titel = "Small"', "did you mean 'title'"),
        ("[smoke]", "[smok]", "unknown setting .*'smok'"),
        ("steps = 10", "step = 10", "did you mean 'steps'"),
        ("steps = 10", 'steps = "many"', "steps.* 'many'"),
        ("steps = 10", "steps = 10\nseed = 4", "unknown setting .*'seed'"),
        ("steps = 10", "steps = -1", "steps is -1"),
        ("steps = 10", "learning_rate = 0.1", r"\[pretrain\] needs steps"),
        ('labels = ["2"]', 'labels = "2"', "labels is '2'"),
        ('labels = ["2"]', "labels = []", "labels .*needs 1 or more"),
        ('labels = ["2"]', 'labels = ["2", "2"]', "something twice"),
        ('labels = ["2"]', 'labels = ["few"]', "'few'"),
        ('labels = ["2"]', "", "labels is missing"),
        ('"cpc", "scratch"', '"cpcc", "scratch"', "did you mean 'cpc'"),
        ('"cpc", "scratch"', '"cpc@grup"', "did you mean 'group'"),
        ('labels = ["2"]', 'labels = ["2"]\nwarm_up = 1.5', "warm_up is 1.5, but must be below 1"),
        ('labels = ["2"]', 'labels = ["2"]\nmilestones = [15]', "multiple of 10"),
        (
            'labels = ["2"]',
            'labels = ["2"]\nmilestones = [500]',
            "among the 100 steps of fine-tuning",
        ),
        ('labels = ["2"]', 'labels = ["2"]\nreadings = ["convergence"]', "name finetune among"),
        ('labels = ["2"]', 'labels = ["2"]\ntasks.cpc.pach = 4', "did you mean 'patch'"),
        ('labels = ["2"]', 'labels = ["2"]\ntasks.pcp.patch = 4', "did you mean 'cpc'"),
        ("title", "title title", "cannot be read"),
        ('labels = ["2"]', 'labels = ["2"]\nseeds = -1', "seeds is -1"),
        ('labels = ["2"]', 'labels = ["2"]\nprobe.draws = 0', "draws is 0"),
        ('labels = ["2"]', 'labels = ["2"]\nprobe.draws = "3"', "draws is '3'"),
        ('labels = ["2"]', 'labels = ["2"]\ntasks."cpc+masked".patch = 4', "one task at a time"),
        ('labels = ["2"]', 'labels = ["2"]\nclass = 3', "class is a scale"),
    ],
)
def test_a_faulty_file_is_refused_in_one_line(write, old, new, said):
    assert old in SMALL
    with pytest.raises(InputError, match=said) as refusal:
        read_study(write(SMALL.replace(old, new, 1)), "smoke")
    assert "\n" not in str(refusal.value)


def test_a_fault_in_one_scale_shows_at_every_other(write):
    with pytest.raises(InputError, match="scale full: seeds is 'x'"):
        read_study(write(SMALL + 'seeds = "x"\n'), "smoke")


def test_a_study_or_scale_that_is_not_there_is_named_with_the_nearest(write, tmp_path):
    with pytest.raises(InputError, match="did you mean 'hippocampus'"):
        read_study("hipocampus")
    with pytest.raises(InputError, match="did you mean 'class'"):
        read_study("brats", "clas")
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path / "none.toml")


def test_the_shipped_studies_read_at_every_scale():
    names = {
        "best",
        "tour",
        "brats",
        "hippocampus",
        "pancreas",
        "retina",
        "transfer",
        "virtual_to_real",
    }
    assert set(shipped_studies()) == names
    for name in names:
        for scale in ("smoke", "class", "full"):
            study = read_study(name, scale)
            assert study.milestones or name in ("best", "tour")
            assert all(m % STEPS_PER_ROW == 0 for m in study.milestones)


def test_shipped_studies_have_strong_random_controls_and_choose_nothing_by_hidden_labels():
    for name in shipped_studies().keys() - {"tour"}:
        for scale in ("smoke", "class", "full"):
            study = read_study(name, scale)
            arms = study.parsed_arms()
            sources = {"scratch", "random"} | ({"collapsed"} if scale != "class" else set())
            assert sources <= {arm.source for arm in arms}
            assert {arm.norm for arm in arms if arm.source == "random"} >= {None, "none"}
            assert "validate_every" not in study.finetune
            assert study.seeds >= MIN_SEEDS or scale == "smoke"


def test_in_shipped_studies_a_pretrained_arm_has_a_twin_from_scratch_with_few_and_many_labels():
    """Or no verdict could come of them: the gate asks how far all labels get from scratch."""
    for name in shipped_studies().keys() - {"tour"}:
        for scale in ("smoke", "class", "full"):
            study = read_study(name, scale)
            arms = study.parsed_arms()
            assert len(study.labels_of("finetune")) >= 2
            scratch = {arm.alike("") for arm in arms if arm.source == "scratch"}
            assert scratch & {arm.alike("") for arm in arms if arm.tasks and not arm.is_control}


def test_full_studies_hold_every_task_of_the_paper():
    for name in shipped_studies():
        if name not in ("best", "virtual_to_real", "tour"):
            arms = {arm.source for arm in read_study(name, "full").parsed_arms()}
            assert arms >= {"cpc", "rpl", "jigsaw", "rotation", "exemplar", "masked", "oracle"}


def test_build_gives_a_dataclass_its_types():
    settings = build_settings(FinetuneSettings, {"steps": 7, "patch": [8, 8, 8]}, "here")
    assert (settings.steps, settings.patch) == (7, (8, 8, 8))


# ---- arms --------------------------------------------------------------------------------------


def test_an_arm_is_read_as_it_is_written():
    arm = parse_arm("2d-cpc+masked@group@own")
    assert (arm.flat, arm.tasks, arm.norm, arm.own) == (True, ("cpc", "masked"), "group", True)
    assert (arm.network, arm.is_control) == (None, False)
    assert arm.slug == "2d-cpc-masked-group-own"
    assert parse_arm("cpc@densenet121").network == "densenet121"


def test_controls_are_no_pretraining_of_which_a_claim_is_made():
    for name in ("scratch", "random@group", "collapsed", "oracle"):
        assert parse_arm(name).is_control
    assert parse_arm("collapsed").tasks == ("collapsed",)  # it is trained like the others
    for name in ("scratch", "random", "oracle"):
        assert parse_arm(name).tasks == ()


def test_the_oracle_learns_on_the_benchmark_whatever_the_corpus():
    assert parse_arm("oracle").own


def test_an_arms_twin_has_its_dimensions_norm_and_network():
    arm, twin = parse_arm("2d-cpc@group"), parse_arm("2d-scratch@group")
    assert arm.alike("scratch") == twin.kind
    assert arm.alike("scratch") != parse_arm("scratch@group").kind


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cpc+cpc", "twice"),
        ("cpc@group@group", "twice"),
        ("2d-", "unknown source"),
        ("", "unknown"),
    ],
)
def test_an_arm_that_means_nothing_is_refused(name, said):
    with pytest.raises(InputError, match=said):
        parse_arm(name)

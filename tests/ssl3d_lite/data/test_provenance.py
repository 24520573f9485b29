import json
from dataclasses import replace

import pytest
from helpers import make_cohort, make_graded

from data_recipes.slices import SliceSettings
from data_recipes.slices import prepare as cut_slices
from ssl3d_lite.data.case import Source
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.data.provenance import Provenance, unchanged
from ssl3d_lite.errors import InputError

FOLDER = {"crop": False, "spacing": None, "size": None, "fit": "pad", "intensity": "zscore"}


def sourced(cohort, salt=""):
    """The same cohort, each case of which has a raw file and an array of its own."""
    cases = [
        replace(
            case,
            source=Source({}, {"image": f"raw {salt}{i}".ljust(16)}, case.shape, case.affine),
            sha256={"image": f"image {salt}{i}".ljust(16), "label": f"label {i}".ljust(16)},
        )
        for i, case in enumerate(cohort.cases)
    ]
    return replace(cohort, cases=tuple(cases))


@pytest.fixture
def made(tmp_path):
    return sourced(make_cohort(tmp_path / "made", 10, (8, 8, 8)))


# ---- how scans were made -----------------------------------------------------------------------


def test_a_record_says_how_the_scans_were_made(made):
    record = replace(made, recipe={"name": "folder", **FOLDER}).preparation
    assert record == PreparationRecord(
        channels=("channel 0",),
        spatial_dims=3,
        orientation="RAS",
        unit="mm",
        intensity="zscore",
        crop=False,
        fit=None,  # of no size
        shape=(8, 8, 8),
        fixed_spacing=False,
        spacing=(1.0, 1.0, 1.0),
        spacing_range=((1.0, 1.0),) * 3,
        label_values=(0, 1, 2),
        label_names=("background", "front", "back"),
        ordinal=False,
    )
    assert PreparationRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_slices_are_made_as_their_volumes_and_know_their_plane(made, tmp_path):
    volumes = replace(
        make_cohort(tmp_path / "v", 5, (8, 8, 8)), recipe={"name": "folder", **FOLDER}
    )
    volumes.save()
    planes = {0: "AS", 1: "RS", 2: "RA"}
    for axis, letters in planes.items():
        out = tmp_path / f"s{axis}"
        cut_slices(SliceSettings(volumes.folder, out, axis=axis, first=0.4, last=0.6))
        record = Cohort.open(out).preparation
        assert (record.orientation, record.intensity, record.unit) == (letters, "zscore", "mm")
        assert record.spacing_range == ((1.0, 1.0), (1.0, 1.0))


def test_a_picture_has_its_own_directions(tmp_path):
    pictures = make_graded(tmp_path, [0, 1, 2])
    turned = [replace(c, affine=[[2, 0, 0], [0, -2, 9], [0, 0, 1]]) for c in pictures.cases]
    assert replace(pictures, cases=tuple(turned)).preparation.orientation == "RU"
    mixed = replace(pictures, cases=(*turned[:2], pictures.cases[2]))
    assert mixed.preparation.orientation == "mixed"


def test_what_an_older_file_does_not_say_is_unknown_and_differs_from_nothing(made):
    unknown = PreparationRecord.from_json({"channels": ["a", "b"], "of a later version": 1})
    assert unknown == PreparationRecord(channels=("a", "b"))
    assert made.preparation.differences(PreparationRecord()) == {}
    assert PreparationRecord().differences(made.preparation) == {}


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ({"intensity": "zscore"}, {"intensity": "unit"}, {"intensity": "zscore, not unit"}),
        ({"intensity": "window:0,300"}, {"intensity": "window:0.0,3e2"}, {}),
        ({"crop": True}, {"crop": False}, {"crop": "yes, not no"}),
        ({"shape": (8, 8, 4)}, {"shape": (8, 8, 8)}, {"shape": "8 × 8 × 4, not 8 × 8 × 8"}),
        ({"fit": "pad"}, {"fit": "stretch"}, {"fit": "pad, not stretch"}),
        ({"orientation": "LPS"}, {"orientation": "RAS"}, {"orientation": "LPS, not RAS"}),
        ({"channels": ("t1", "t2")}, {"channels": ("t2", "t1")}, {}),
        ({"channels": ("t1",)}, {"channels": ("t1", "t2")}, {"channels": "t1, not t1 t2"}),
    ],
)
def test_each_difference_is_named(here, there, said):
    assert PreparationRecord(**here).differences(PreparationRecord(**there)) == said


@pytest.mark.parametrize(
    ("here", "there", "fits"),
    [
        ((1.0, None), (1.0, None), True),
        ((1.2, None), (1.0, None), True),  # scans bring their own
        ((1.3, None), (1.0, None), False),
        ((0.7, None), (1.0, None), False),
        ((1.2, True), (1.0, None), False),  # set for one of them
        ((1.0, None), (1.2, True), False),
        ((1.005, True), (1.0, True), True),
    ],
)
def test_spacing_is_exact_where_it_was_set(here, there, fits):
    records = [
        PreparationRecord(
            unit="mm", spacing=(e,), spacing_range=((e, e),), fixed_spacing=bool(fixed)
        )
        for e, fixed in (here, there)
    ]
    assert ("spacing" not in records[0].differences(records[1])) == fits


@pytest.mark.parametrize(
    ("here", "there", "fits"),
    [
        ((("background", "a"), (0, 1)), (("background", "a"), (0, 7)), True),
        ((("background", "a"), (0, 1)), (("background", "b"), (0, 1)), False),
        ((("0", "1"), (0, 1)), (("background", "b"), (0, 1)), True),  # only numbered
        ((("0", "2"), (0, 2)), (("background", "b"), (0, 1)), False),
        ((("background", "a", "b"), (0, 1, 2)), (("background", "b", "a"), (0, 2, 1)), False),
    ],
)
def test_classes_are_what_they_are_called(here, there, fits):
    records = [PreparationRecord(label_names=n, label_values=v) for n, v in (here, there)]
    for one, other in (records, records[::-1]):
        assert ("classes" not in one.differences(other)) == fits


# ---- what a result depends on ------------------------------------------------------------------


def test_a_fingerprint_follows_each_part_of_a_cohort(made):
    def with_case(**changes):
        return replace(made, cases=(replace(made.cases[0], **changes), *made.cases[1:]))

    parts = {
        "labels": with_case(sha256=made.cases[0].sha256 | {"label": "mended"}),
        "images": with_case(sha256=made.cases[0].sha256 | {"image": "other"}),
        "folds": with_case(fold=3),
        "scans": with_case(patient="another"),
        "preparation": replace(made, recipe={"name": "test", "intensity": "unit"}),
        "meaning of labels": replace(made, label_names=("background", "back", "front")),
    }
    for part, changed in parts.items():
        differ = [p for p, s in changed.fingerprints.items() if made.fingerprints[p] != s]
        assert differ == [part]
        assert changed.fingerprint != made.fingerprint
    again = replace(made, recipe={"name": "test"})
    assert again.fingerprint == made.fingerprint


def test_a_cohort_that_is_half_prepared_is_refused(made):
    made.require_whole()
    (made.folder / "records").mkdir()
    (made.folder / "records" / "notes.json").write_text('{"a user": "own"}')
    made.require_whole()
    (made.folder / "records" / "case_000.json").write_text('{"terms": {}}')
    with pytest.raises(InputError, match="is being prepared again, or that was stopped"):
        made.require_whole()


def test_a_cohort_that_changes_while_it_is_read_is_told(made, capsys):
    with unchanged(made):
        pass
    with unchanged(made.to("cpu")):
        (made.folder / "cohort.json").write_text("{}")
    assert "was prepared again while it was trained on" in capsys.readouterr().out
    told = "some scans were read before and some after"
    with pytest.raises(InputError, match=told), unchanged(made):
        (made.folder / "cohort.json").write_text("[]")


# ---- whose scans were seen ---------------------------------------------------------------------


def names(cohort, cases):
    return sorted({cohort.cases[i].patient for i in cases})


def test_provenance_goes_through_json(made):
    split = made.split(1)
    known = Provenance.of(made, split.train, split.validation, fold=1, patch=(4, 4, 4))
    again = Provenance.from_json(json.loads(json.dumps(known.to_json())))
    assert again == known
    assert "patient_0" not in json.dumps(known.to_json())
    assert Provenance.from_json(None) == Provenance()


def test_patients_are_told_by_their_scans_in_any_cohort_made_of_them(made):
    split = made.split()
    known = Provenance.of(made, split.train, split.validation)
    assert known.has_seen(made, split.test) == []
    assert known.has_seen(made, split.train) == names(made, split.train)
    assert known.has_seen(made, split.validation) == names(made, split.validation)
    assert known.has_seen(made, split.validation, ("training",)) == []
    # dealt into other folds, called otherwise, prepared otherwise
    cases = [
        replace(c, fold=None, patient=f"x{i}", id=f"x{i}", sha256={"image": f"y{i}"})
        for i, c in enumerate(made.cases)
    ]
    other = replace(made, name="other", cases=tuple(cases))
    assert known.has_seen(other, split.test) == []
    assert known.has_seen(other, split.train) == names(other, split.train)
    # by their voxels, where the raw file was compressed anew
    cases = [replace(c, source=Source({}, {"image": "z"}, (), [])) for c in made.cases]
    assert known.has_seen(replace(made, cases=tuple(cases)), split.train[:1]) != []


def test_another_data_sets_patients_may_have_the_same_names(made):
    known = Provenance.of(made, range(len(made)))
    assert known.has_seen(sourced(made, salt="other"), range(len(made))) == []


def test_a_patient_whose_scan_was_replaced_is_known_by_name_beside_others(made):
    known = Provenance.of(made, range(len(made)))
    new = sourced(made, salt="new").cases[0]
    mended = replace(made, cases=(new, *made.cases[1:]))
    assert known.has_seen(mended, [0]) == [new.patient]


def test_earlier_trainings_count_and_do_not_lend_their_names(made):
    other = replace(sourced(made, salt="other"), name="other")
    first = Provenance.of(other, range(10))
    split = made.split()
    both = Provenance.of(made, split.train, before=first)
    assert both.has_seen(made, split.test) == []
    assert both.has_seen(other, range(10)) == names(other, range(10))
    assert both.has_seen(made, split.train) == names(made, split.train)
    assert Provenance.of(made, split.train, before=Provenance()).seen is None  # unknown stays so


def test_slices_are_their_patients_scans(made, tmp_path):
    out = tmp_path / "slices"
    made.save()
    cut_slices(SliceSettings(made.folder, out, first=0.4, last=0.6))
    slices = Cohort.open(out)
    known = Provenance.of(slices, slices.split(0).pretrain)
    assert known.has_seen(made, made.split(0).test) == []
    assert known.has_seen(made, made.split(2).test) == names(made, made.split(2).test)


def test_what_changed_is_named_of_the_same_cohort_alone(made):
    known = Provenance.of(made, made.split().train)
    assert known.changes(made) == []
    label = made.cases[0].sha256 | {"label": "mended"}
    mended = replace(made, cases=(replace(made.cases[0], sha256=label), *made.cases[1:]))
    assert known.changes(mended) == ["labels"]
    assert known.changes(replace(mended, folder=made.folder / "elsewhere")) == []
    images = Provenance.of(made, made.split().pretrain, parts=("scans", "images"))
    assert images.changes(mended) == []

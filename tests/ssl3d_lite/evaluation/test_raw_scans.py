"""A network and a folder of raw scans: the answer is that of a prepared cohort, bit for bit."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers import write_prediction
from torch import nn

from data_recipes.folder import Folder
from data_recipes.folder import prepare as prepare_folder
from data_recipes.slices import SliceSettings, positions
from data_recipes.slices import prepare as prepare_slices
from ssl3d_lite.cli import commands
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.prediction import origin_of, predict, predict_batch
from ssl3d_lite.evaluation.raw_scans import predict_images
from ssl3d_lite.files import write_json
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.training.checkpoint import digest, load_network
from ssl3d_lite.training.finetuning import finetune

SHAPES = ((14, 18, 12), (15, 13, 16), (12, 20, 11), (17, 14, 13))
AXES = ("RAS", "LPS", "PIR", "LAS")
SETTINGS: dict[str, dict[str, Any]] = {
    "pad": {"size": (12, 12, 12)},
    "cropped and resized": {"size": (12, 16, 12), "fit": "resize", "crop": True},
    "stretched": {"size": (12, 12, 16), "fit": "stretch", "intensity": "unit"},
    "of one voxel size": {"spacing": (1 / 0.7, 1.3, 2), "size": (12, 12, 12)},
    "of any size": {"intensity": "window:-1,4"},
}


def write_scan(folder: Path, name: str, number: int, channels: Sequence[str] = ("",)) -> Path:
    """A noisy scan with a bright block, oblique and in an order of axes of its own; and its map."""
    shape, rng = SHAPES[number % 4], np.random.default_rng(number)
    label = np.zeros(shape, np.uint8)
    label[4:9, 4:9, 3:8] = 7
    turn = nib.orientations.axcodes2ornt(AXES[number % 4])
    affine = nib.orientations.inv_ornt_aff(turn, shape) @ np.diag([1, 1.2, 1.5, 1])
    affine[:3, 3] += (7, -3, 11)
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.05)) @ affine
    for channel in channels:
        scan = rng.normal(0, 1, shape) + (label > 0) * 4
        image = nib.Nifti1Image(scan.astype(np.float32), affine)
        image.set_qform(affine, 1)
        image.header.set_xyzt_units("mm")
        (folder / "scans").mkdir(parents=True, exist_ok=True)
        nib.save(image, folder / f"scans/{name}{channel}.nii.gz")
    (folder / "maps").mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(label, affine), folder / f"maps/{name}.nii.gz")
    return folder / f"scans/{name}{channels[0]}.nii.gz"


def prepared(folder: Path, channels: Sequence[str] = (), **settings: Any) -> Cohort:
    """Six scans in ``folder``/scans, and the cohort that is prepared from them."""
    for number in range(6):
        write_scan(folder, f"p{number}", number, [f"_{name}" for name in channels] or [""])
    more = {"channels": tuple(channels)} if channels else {}
    scans, maps, out = folder / "scans", folder / "maps", folder / "cohort"
    prepare_folder(Folder(raw=scans, labels=maps, out=out, workers=1, **more, **settings))
    return Cohort.open(out)


def knowing(cohort: Cohort) -> Any:
    """A network that was drawn at random, and says that it has learnt from a cohort.

    About half of the voxels are 1 to it, so that no answer is blank; none lies on the border
    between the classes, where rounding would decide.
    """
    network: Any = make_network(make_encoder(cohort, seed=0, filters=(4, 8)), cohort).eval()
    network.provenance = Provenance.of(cohort, range(len(cohort)))
    with torch.no_grad():
        logits = network(cohort.images([len(cohort) // 2]))
        lead = (logits[:, 1] - logits[:, 0]).flatten().sort().values
        network.last.conv.bias[0] += lead[len(lead) // 2 - 1 : len(lead) // 2 + 1].mean()
    return network


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cohort]:
    """The folder of a network that was trained on a cohort of raw scans, and that cohort."""
    folder = tmp_path_factory.mktemp("learnt")
    cohort = prepared(folder, size=(12, 12, 12))
    network = make_network(make_encoder(cohort, seed=0, filters=(8, 16)), cohort)
    finetune(network, cohort, out=folder / "model", steps=40, learning_rate=0.01)
    return folder, cohort


# ---- the answers -------------------------------------------------------------------------------


def test_a_trained_network_segments_raw_scans_as_those_of_a_cohort(learnt, tmp_path):
    folder, cohort = learnt
    network = load_network(folder / "model")
    wanted = predict(network, cohort, tmp_path / "a", range(len(cohort)))
    found = predict_images(network, folder / "scans", tmp_path / "b", workers=1)
    assert [path.name for path in found.paths] == [f"p{number}.nii.gz" for number in range(6)]
    assert [p.read_bytes() for p in found.paths] == [p.read_bytes() for p in wanted]
    assert found.exit_code == 0
    see = f"see one: ssl3d show {folder}/scans/p0.nii.gz --prediction {tmp_path}/b/p0.nii.gz"
    assert str(found).splitlines()[1] == see
    for path in found.paths:
        answer, raw = nib.load(path), nib.load(folder / "scans" / path.name)
        truth = np.asarray(nib.load(folder / "maps" / path.name).dataobj)
        for form in (nib.Nifti1Header.get_sform, nib.Nifti1Header.get_qform):
            np.testing.assert_array_equal(form(answer.header), form(raw.header))
        assert answer.header.get_xyzt_units()[0] == "mm"
        said = answer.header["descrip"].item().decode()
        origin = f"ssl3d-lite: network {digest(network)} scan "
        assert re.fullmatch(re.escape(origin) + "[0-9a-f]{16}", said)
        values = np.asarray(answer.dataobj)
        assert set(np.unique(values)) == {0, 7}
        assert 2 * ((values == 7) & (truth == 7)).sum() / ((values == 7).sum() + 125) > 0.8


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_scans_are_prepared_as_the_network_knows_it(settings, tmp_path):
    cohort = prepared(tmp_path, **settings)
    network = knowing(cohort)
    wanted = predict(network, cohort, tmp_path / "a", range(len(cohort)))
    found = predict_images(network, tmp_path / "scans", tmp_path / "b", workers=1)
    assert [p.read_bytes() for p in found.paths] == [p.read_bytes() for p in wanted]
    assert len({p.read_bytes() for p in wanted}) == 6, "no answer is blank"


def test_channels_are_told_by_their_names_and_stand_in_the_networks_order(tmp_path):
    cohort = prepared(tmp_path, channels=("t2", "flair"), size=(12, 12, 12))
    network = knowing(cohort)
    wanted = predict(network, cohort, tmp_path / "a", range(len(cohort)))
    (tmp_path / "scans/p3_flair.nii.gz").unlink()
    found = predict_images(network, tmp_path / "scans", tmp_path / "b", workers=1)
    assert [r["case"] for r in found.rejected] == ["p3"]
    assert "flair missing; there is p3_t2.nii.gz" in found.rejected[0]["reason"]
    assert found.exit_code == 1
    assert "p3 rejected" in str(found)
    del wanted[3]
    assert [p.read_bytes() for p in found.paths] == [p.read_bytes() for p in wanted]


def test_a_single_file_and_one_that_is_damaged(learnt, tmp_path):
    folder, cohort = learnt
    network = load_network(folder / "model")
    (wanted,) = predict(network, cohort, tmp_path / "a", [2])
    (found,) = predict_images(network, folder / "scans/p2.nii.gz", tmp_path / "b").paths
    assert found.name == wanted.name
    assert nib.load(found).affine.tolist() == nib.load(wanted).affine.tolist()
    damaged = tmp_path / "bad" / "x.nii.gz"
    damaged.parent.mkdir()
    damaged.write_bytes((folder / "scans/p2.nii.gz").read_bytes()[:500])
    with pytest.raises(InputError, match=r"none of 1 cases can be prepared; .*damaged") as error:
        predict_images(network, damaged, tmp_path / "c")
    assert str(damaged) in str(error.value), "the user's path, and not that of a link to it"
    assert not (tmp_path / "c").exists()
    shutil.copy(folder / "scans/p1.nii.gz", damaged.parent)
    rest = predict_images(network, damaged.parent, tmp_path / "d", workers=1)
    assert [path.name for path in rest.paths] == ["p1.nii.gz"]
    assert str(damaged) in rest.rejected[0]["reason"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_network_of_slices_answers_slice_by_slice(axis, tmp_path):
    volumes = prepared(tmp_path, size=(12, 14, 16))
    settings = SliceSettings(
        volumes.folder, tmp_path / "flat", axis, first=0.25, last=0.75, every=2
    )
    prepare_slices(settings)
    network = knowing(Cohort.open(settings.out))
    found = predict_images(network, tmp_path / "scans", tmp_path / "b", workers=1)
    assert "slices before 0.25 and after 0.75" in found.notes[-1]
    for case, path in zip(volumes.cases, found.paths, strict=True):
        image = torch.from_numpy(volumes.read(case)[0].astype(np.float32))
        wanted = np.zeros(case.shape, np.uint8)
        for position in positions(case.shape[axis], replace(settings, every=1)):
            plane = predict_batch(network, image.select(axis + 1, position)[None])[0]
            wanted[(slice(None),) * axis + (position,)] = plane.numpy()
        origin = origin_of(digest(network), case)
        write_prediction(tmp_path / "wanted.nii.gz", wanted, case, (0, 7), origin)
        answer, expected = nib.load(path), nib.load(tmp_path / "wanted.nii.gz")
        assert answer.header == expected.header
        other = np.asanyarray(answer.dataobj) != np.asanyarray(expected.dataobj)
        assert other.mean() < 1e-3, "slices in one batch are rounded otherwise than one alone"


def test_a_prepared_cohort_without_labels_means_what_the_network_does(learnt, tmp_path):
    folder, cohort = learnt
    network = load_network(folder / "model")
    prepare_folder(Folder(raw=folder / "scans", out=tmp_path / "c", size=(12, 12, 12), workers=1))
    bare = Cohort.open(tmp_path / "c")
    wanted = predict(network, cohort, tmp_path / "a", range(6))
    found = predict(network, bare, tmp_path / "b", range(6))
    assert [p.read_bytes() for p in found] == [p.read_bytes() for p in wanted]
    with pytest.raises(InputError, match=r"has no such cases; predict all of them"):
        predict(network, bare, tmp_path / "d")


def test_a_window_of_a_network_of_slices(tmp_path):
    volumes = prepared(tmp_path, size=(16, 16, 12))
    prepare_slices(SliceSettings(volumes.folder, tmp_path / "flat"))
    network = knowing(Cohort.open(tmp_path / "flat"))
    whole = predict_images(network, tmp_path / "scans", tmp_path / "a", (16, 16), workers=1)
    boxes = predict_images(network, tmp_path / "scans", tmp_path / "b", (8, 8), workers=1)
    for one, other in zip(whole.paths, boxes.paths, strict=True):
        same = np.asarray(nib.load(one).dataobj) == np.asarray(nib.load(other).dataobj)
        assert same.mean() > 0.5


# ---- what to know of them ----------------------------------------------------------------------


def test_what_lies_outside_the_networks_field_is_counted(learnt, tmp_path):
    folder, _ = learnt
    network = load_network(folder / "model")
    found = predict_images(network, folder / "scans/p0.nii.gz", tmp_path / "b")
    outside = 14 * 18 * 12 - 12 * 12 * 12
    assert found.notes == (
        f"outside the network's field of 12 × 12 × 12 voxels, so background: "
        f"p0 {outside} voxels (43%)",
    )


def test_voxels_of_a_size_that_the_network_has_not_met_are_named(learnt, tmp_path):
    folder, _ = learnt
    network = load_network(folder / "model")
    image = nib.load(folder / "scans/p0.nii.gz")
    for name, factor in (("near", 1.15), ("far", 1.3), ("small", 0.001)):
        affine = image.affine @ np.diag([factor] * 3 + [1])
        (tmp_path / "new").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(image.dataobj, affine), tmp_path / f"new/{name}.nii.gz")
    found = predict_images(network, tmp_path / "new", tmp_path / "b", workers=1)
    (note,) = (note for note in found.notes if "far from" in note)
    assert note.endswith("trust: far 1.3 × 1.56 × 1.95, small 0.001 × 0.0012 × 0.0015")
    assert len(found.paths) == 3


# ---- what cannot be done -----------------------------------------------------------------------


def test_a_network_that_does_not_know_its_preparation_is_refused(learnt, tmp_path):
    folder, cohort = learnt
    network = load_network(folder / "model")
    network.provenance = replace(network.provenance, recipe=None)
    with pytest.raises(InputError, match="does not say how its scans were prepared"):
        predict_images(network, folder / "scans", tmp_path / "b")
    untrained = make_network(make_encoder(cohort, seed=0, filters=(4, 8)), cohort)
    with pytest.raises(InputError, match="does not say how its scans were prepared"):
        predict_images(untrained, folder / "scans", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_recipe_that_does_more_than_its_settings_say_is_refused(learnt, tmp_path):
    folder, cohort = learnt
    network = knowing(replace(cohort, recipe=cohort.recipe | {"name": "ukb-brain"}))
    with pytest.raises(InputError, match="recipe ukb-brain, which does more"):
        predict_images(network, folder / "scans", tmp_path / "b")


def test_places_that_would_mix_scans_and_predictions_are_refused(learnt, tmp_path):
    folder, cohort = learnt
    network = load_network(folder / "model")
    for out in (folder / "scans", folder / "scans/new"):
        with pytest.raises(InputError, match="would be taken for scans of"):
            predict_images(network, folder / "scans", out)
    with pytest.raises(InputError, match="is a prepared cohort"):
        predict_images(network, cohort.folder, tmp_path / "b")
    with pytest.raises(InputError, match="no folder and no file"):
        predict_images(network, tmp_path / "none", tmp_path / "b")


class Stopping(nn.Module):
    provenance: Provenance | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt


def test_nothing_of_the_temporary_cohort_remains_when_it_is_stopped(learnt, tmp_path):
    folder, cohort = learnt
    network: Any = Stopping()
    network.provenance = Provenance.of(cohort, (0,))
    network.weight = nn.Parameter(torch.zeros(1))
    with pytest.raises(KeyboardInterrupt):
        predict_images(network, folder / "scans", tmp_path / "b", workers=1)
    assert not (tmp_path / "b").exists()


def test_what_a_killed_process_left_is_removed_and_what_is_a_users_stays(learnt, tmp_path):
    folder, _ = learnt
    network = load_network(folder / "model")
    out, image = tmp_path / "b", folder / "scans/p0.nii.gz"
    predict_images(network, image, out)
    (out / ".prepared-killed/cohort").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    predict_images(network, image, out)
    assert sorted(path.name for path in out.iterdir() if path.name[:6] != ".ssl3d") == [
        "notes.txt",
        "p0.nii.gz",
    ]
    (out / "p0.nii.gz").write_bytes(b"corrected by hand")
    with pytest.raises(InputError, match=r"p0\.nii\.gz, which `ssl3d predict` did not write"):
        predict_images(network, image, out)
    with pytest.raises(InputError, match=r"holds p0\.nii\.gz"):
        predict_images(network, image, folder / "maps")


def test_scans_of_another_version_of_the_program_are_refused(learnt, tmp_path):
    folder, cohort = learnt
    network = knowing(replace(cohort, recipe=cohort.recipe | {"version": 1}))
    with pytest.raises(InputError, match="were prepared by another version of this program"):
        predict_images(network, folder / "scans", tmp_path / "b", workers=1)
    assert not (tmp_path / "b").exists()


def test_files_that_are_no_scans_are_named_and_are_no_failure(learnt, tmp_path):
    folder, _ = learnt
    network = load_network(folder / "model")
    (tmp_path / "new").mkdir()
    shutil.copy(folder / "scans/p0.nii.gz", tmp_path / "new")
    shutil.copy(folder / "maps/p0.nii.gz", tmp_path / "new/p0_seg.nii.gz")
    found = predict_images(network, tmp_path / "new", tmp_path / "b", workers=1)
    assert [path.name for path in found.paths] == ["p0.nii.gz"]
    assert found.exit_code == 0
    assert "p0_seg.nii.gz" in str(found)


def test_a_scan_that_states_no_unit_is_named(learnt, tmp_path):
    folder, _ = learnt
    network = load_network(folder / "model")
    image = nib.load(folder / "scans/p0.nii.gz")
    image.header["xyzt_units"] = 0
    nib.save(image, tmp_path / "ann.nii.gz")
    (path,) = (found := predict_images(network, tmp_path / "ann.nii.gz", tmp_path / "b")).paths
    assert "state no unit of length, so mm are taken for granted: ann" in found.notes
    assert nib.load(path).header.get_xyzt_units()[0] == "unknown"


# ---- on the command line -----------------------------------------------------------------------


def test_a_scan_that_is_too_small_for_the_network_costs_itself_alone(tmp_path):
    network, new, out = knowing(prepared(tmp_path)), tmp_path / "new", tmp_path / "out"
    new.mkdir()
    shutil.copy(tmp_path / "scans/p0.nii.gz", new / "b.nii.gz")
    for name in "ac":
        flat = np.random.default_rng(0).normal(size=(12, 12, 1)).astype(np.float32)
        nib.save(nib.Nifti1Image(flat, np.eye(4)), new / f"{name}.nii")
    result = predict_images(network, new, out, workers=1)
    assert [path.name for path in result.paths] == ["b.nii.gz"]
    why = "its 12 × 12 × 1 voxels are too few: the network needs edges of at least 2 voxels"
    assert result.rejected == ({"case": "a", "reason": why}, {"case": "c", "reason": why})
    assert result.exit_code == 1
    with pytest.raises(InputError, match=f"^no scan can be predicted; a: {why}$"):
        predict_images(network, new / "a.nii", tmp_path / "none", workers=1)
    assert not (tmp_path / "none").exists()
    boxes = predict_images(network, new, tmp_path / "boxes", window=(8, 8, 8), workers=1)
    assert len(boxes.paths) == 3  # a box is padded


def test_a_case_of_a_cohort_that_is_too_small_costs_itself_alone(tmp_path, monkeypatch, capsys):
    cohort = prepared(tmp_path)
    network = knowing(cohort)
    flat = replace(cohort.cases[0], shape=(12, 12, 1))
    cases = (flat, *cohort.cases[1:])
    mixed = replace(cohort, cases=cases)
    monkeypatch.setattr(commands.Cohort, "open", lambda folder: mixed)
    monkeypatch.setattr(commands, "load_network", lambda folder: network)
    write_json(tmp_path / "settings.json", {"training": {"patch": None}})
    words = ["--model", tmp_path, "--cohort", cohort.folder, "--out", tmp_path / "p", "--cases"]
    assert main(["predict", *map(str, words), "all"]) == 1
    why = "its 12 × 12 × 1 voxels are too few: the network needs edges of at least 2 voxels"
    said = capsys.readouterr().out.splitlines()
    out = tmp_path / "p"
    see = f"RAW/scans/p1.nii.gz --prediction {out}/p1.nii.gz --labels RAW/maps/p1.nii.gz"
    assert said[0] == f"{len(cohort) - 1} predictions in {out}"
    assert said[1] == f"see one: ssl3d show {see}  (RAW: the folder of the raw files)"
    assert said[2:] == [f"  p0 left out: {why}"]
    mixed = replace(cohort, cases=(flat,))
    assert main(["predict", *map(str, words), "all"]) == 2
    assert capsys.readouterr().err == f"ssl3d: no scan can be predicted; p0: {why}\n"


def test_a_prediction_of_another_scan_of_that_name_is_not_replaced(learnt, tmp_path):
    folder, cohort = learnt
    network, out = load_network(folder / "model"), tmp_path / "out"
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
        shutil.copy(folder / f"scans/p{number}.nii.gz", tmp_path / f"{number}/p.nii.gz")
    (path,) = predict_images(network, tmp_path / "0", out, workers=1).paths
    first = path.read_bytes()
    with pytest.raises(InputError, match=r"p\.nii\.gz is the prediction of another scan of"):
        predict_images(network, tmp_path / "1", out, workers=1)
    assert path.read_bytes() == first
    assert predict_images(network, tmp_path / "0", out, workers=1).paths == (path,)
    assert path.read_bytes() == first
    # a raw scan is the same scan in a cohort that was prepared of it
    found = predict_images(network, folder / "scans", tmp_path / "both", workers=1).paths
    assert predict(network, cohort, tmp_path / "both", range(len(cohort))) == list(found)


def test_an_answer_over_a_nifti_2_scan_is_known_again(learnt, tmp_path):
    folder, _ = learnt
    image = nib.load(folder / "scans/p0.nii.gz")
    (tmp_path / "scans").mkdir()
    nib.save(nib.Nifti2Image(image.get_fdata(), image.affine), tmp_path / "scans/p.nii")
    network, out = load_network(folder / "model"), tmp_path / "out"
    (path,) = predict_images(network, tmp_path / "scans", out, workers=1).paths
    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert predict_images(network, tmp_path / "scans", out, workers=1).paths == (path,)


def test_label_maps_are_no_scans_also_where_only_their_folder_says_so(learnt, tmp_path):
    folder, _ = learnt
    shutil.copytree(folder / "maps", tmp_path / "labelsTr")
    network = load_network(folder / "model")
    with pytest.raises(InputError, match="is a label map or a mask by its name and values"):
        predict_images(network, tmp_path / "labelsTr", tmp_path / "out", workers=1)
    # scans in a folder of that name are scans
    shutil.copytree(folder / "scans", tmp_path / "new" / "labels")
    found = predict_images(network, tmp_path / "new" / "labels", tmp_path / "out", workers=1)
    assert len(found.paths) == len(list((folder / "scans").iterdir()))


def test_predictions_of_an_earlier_run_are_not_taken_for_this_ones(learnt, tmp_path, capsys):
    folder, cohort = learnt
    command = ["predict", "--model", str(folder / "model"), "--out", str(tmp_path / "p")]
    both = [["--images", str(folder / "scans" / f"p{n}.nii.gz"), "--workers", "1"] for n in (4, 5)]
    assert main([*command, *both[0]]) == 0
    assert "still holds" not in capsys.readouterr().out
    assert main([*command, *both[1]]) == 0
    line = f"{tmp_path / 'p'} still holds 1 predictions of earlier runs, such as p4.nii.gz\n"
    assert line in capsys.readouterr().out
    assert main([*command, "--cohort", str(cohort.folder), "--cases", "all"]) == 0
    assert "still holds" not in capsys.readouterr().out
    assert main([*command, "--cohort", str(cohort.folder)]) == 0
    assert "still holds " in capsys.readouterr().out


def test_the_command_line(learnt, tmp_path, capsys):
    folder, cohort = learnt
    (tmp_path / "new").mkdir()
    shutil.copy(folder / "scans/p0.nii.gz", tmp_path / "new")
    model, out = ("--model", str(folder / "model")), ("--out", str(tmp_path / "p"))
    given = ("--images", str(tmp_path / "new"), "--workers", "1")
    assert main(["predict", *model, *given, *out]) == 0
    assert f"1 predictions in {tmp_path / 'p'}" in capsys.readouterr().out
    (tmp_path / "new/bad.nii").write_text("no scan")
    assert main(["predict", *model, *given, *out]) == 1
    assert "bad rejected: " in capsys.readouterr().out
    wrong = {
        "give either raw scans": (),
        "no prepared cohort in": ("--cohort", str(tmp_path / "new")),
        "cases and fold choose from a cohort": (*given, "--cases", "all"),
    }
    for message, more in wrong.items():
        assert main(["predict", *model, *out, *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", *model, *out, *given, "--cohort", str(cohort.folder)]) == 2
    assert "give either" in capsys.readouterr().err


def test_help_begins_with_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    said = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(r"example: ssl3d predict --model \S+ --images \S+ --out \S+", said[0])

"""Features as files: colours over the raw scan, voxel for voxel; embeddings as one table."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content, make_cohort

from data_recipes.folder import Folder
from data_recipes.folder import prepare as prepare_folder
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_files import (
    EMBEDDINGS,
    FeatureSettings,
    write_features,
    write_image_features,
)
from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.evaluation.prediction import over_raw
from ssl3d_lite.models.encoders import make_encoder

SHAPE = (14, 18, 12)


def write_scans(folder: Path, count: int = 3) -> Path:
    """Noise, lying on its side, oblique, with voxels that are no cubes."""
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.05) @ np.diag([-1, 1.2, 1.5]))
    affine[:3, 3] = (7, -3, 11)
    for number in range(count):
        scan = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
        image = nib.Nifti1Image(scan[..., ::-1].swapaxes(0, 1), affine)
        image.set_qform(affine, 1)
        image.header.set_xyzt_units("mm")
        folder.mkdir(exist_ok=True)
        nib.save(image, folder / f"p{number}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("raw") / "scans")


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "a"
    prepare_folder(Folder(raw=raw, out=out, size=(12, 12, 12), spacing=(1.3, 1.3, 1.3), workers=1))
    return Cohort.open(out)


@pytest.fixture(scope="module")
def encoder(prepared):
    encoder = make_encoder(prepared, seed=0, filters=(4, 8))
    encoder.provenance = Provenance.of(prepared, range(len(prepared)))
    return encoder


@pytest.fixture(scope="module")
def out(encoder, prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "a"
    return write_features(encoder, prepared, folder, settings=FeatureSettings(components=5))


def test_colours_lie_over_the_raw_scan(encoder, prepared, raw, out):
    maps = features(encoder, prepared, range(3), stride=2)
    for case in range(3):
        written = nib.load(out.folder / f"p{case}_colours.nii.gz")
        scan = nib.load(raw / f"p{case}.nii.gz")
        assert written.shape == scan.shape
        assert np.array_equal(written.affine, scan.affine)
        assert written.header["qform_code"] == scan.header["qform_code"]
        assert written.header.get_data_dtype().names == ("R", "G", "B")
        colours = np.asarray(written.dataobj)
        for channel, name in enumerate("RGB"):  # each prepared voxel has its cell's colour
            voxels = maps.colours(case)[..., channel].repeat(2, 0).repeat(2, 1).repeat(2, 2)
            wanted = over_raw(voxels, prepared.cases[case])
            assert (colours[name] == wanted).mean() > 0.97  # but for ties between two cells


def test_components_are_the_fourth_axis(encoder, prepared, out):
    written = nib.load(out.folder / "p1_features.nii.gz")
    assert written.shape[3:] == (5,)
    assert written.get_data_dtype() == np.float32
    found = np.unique(written.get_fdata()[..., 4].astype(np.float32))
    known = features(encoder, prepared, range(3)).components(1, 5)[4].astype(np.float32)
    assert set(found) <= {0, *known.ravel()}


def test_the_table_has_a_row_a_scan(encoder, prepared, out):
    maps = features(encoder, prepared, range(3))
    with np.load(out.folder / EMBEDDINGS, allow_pickle=False) as table:
        assert table["ids"].tolist() == ["p0", "p1", "p2"]
        assert np.array_equal(table["embeddings"], maps.embeddings)
        assert table["fitted"].tolist() == ["p0", "p1", "p2"]
        assert np.array_equal(table["deviation"], maps.space.deviation)
        assert table["within"].shape == (3, len(prepared.label_names), 12)
    assert "fitted over p0, p1, p2" in str(out)


def test_raw_scans_are_prepared_as_the_encoder_learnt(encoder, raw, out, tmp_path):
    again = write_image_features(
        encoder, raw, tmp_path / "a", FeatureSettings(components=5), workers=1
    )
    assert content(tmp_path / "a") == content(out.folder)
    assert again.exit_code == 0


def test_pictures_of_earlier_runs_are_named(encoder, prepared, tmp_path):
    write_features(encoder, prepared, tmp_path, [0, 1])
    again = write_features(encoder, prepared, tmp_path, [1])
    assert f"{tmp_path} still holds 1 pictures of earlier runs, such as p0_colours.nii.gz" in str(
        again
    )


def test_nothing_of_the_users_is_written_over(encoder, prepared, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds mine\.txt"):
        write_features(encoder, prepared, tmp_path)
    assert content(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--encoder random --images {raw} --out {out}", "a random encoder does not say how"),
        ("--encoder random --out {out}", "give either raw scans (--images) or a prepared"),
        ("--encoder random --cohort {raw} --out {out}", "no prepared cohort in {raw}; raw scans"),
        ("--encoder random --cohort {cohort} --levels 7 --out {out}", "level 7 is not among"),
        (
            "--encoder random --cohort {cohort} --stride 99 --out {out}",
            "stride is 99, but a scan has no more than 12 × 12 × 12 voxels",
        ),
        (
            "--encoder random --cohort {cohort} --components 999 --out {out}",
            "999 components are asked for, but there are",
        ),
        ("--encoder nowhere --images {raw} --out {out}", "no pretrained encoder in nowhere"),
        ("--encoder random --cohort {cohort} --cases test --out {out}", "no case of"),
    ],
)
def test_a_mistake_gets_one_line(raw, prepared, tmp_path, capsys, arguments, line):
    places = {"raw": raw, "cohort": prepared.folder, "out": tmp_path / "out"}
    assert main(["features", *arguments.format(**places).split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ssl3d: {line.format(**places)}")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_writes_a_cohorts_features(prepared, tmp_path, capsys):
    command = f"features --encoder random --cohort {prepared.folder} --filters 4 8"
    assert main([*command.split(), "--device", "cpu", "--out", str(tmp_path / "f")]) == 0
    names = [f"p{n}_colours.nii.gz" for n in range(3)]
    assert sorted(content(tmp_path / "f")) == sorted([EMBEDDINGS, *names])
    assert "colours hold" in capsys.readouterr().out


def test_colours_are_not_fitted_over_scans_that_are_not_trusted(raw, tmp_path):
    """Voxels of another size, as of a header whose unit is wrong."""
    scans = tmp_path / "scans"
    shutil.copytree(raw, scans)
    strange = nib.load(scans / "p1.nii.gz")
    affine = strange.affine @ np.diag([10, 10, 10, 1])
    strange = nib.Nifti1Image(np.asarray(strange.dataobj), affine)
    strange.header.set_xyzt_units("mm")
    nib.save(strange, scans / "p1.nii.gz")
    prepare_folder(Folder(raw=raw, out=tmp_path / "c", size=(12, 12, 12), workers=1))
    cohort = Cohort.open(tmp_path / "c")
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    encoder.provenance = Provenance.of(cohort, range(3))
    written = write_image_features(encoder, scans, tmp_path / "out", workers=1)
    assert written.fitted == ("p0", "p2")
    (line,) = [note for note in written.notes if "do not trust" in note]
    assert "the encoder has learnt from" in line
    assert "p1" in line


def test_the_file_that_was_given_is_named(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.nii.gz").write_bytes(b"no scan")
    with pytest.raises(InputError, match=r"scan\.nii\.gz") as refused:
        write_image_features(encoder, "scan.nii.gz", "out", workers=1)
    assert not str(refused.value).startswith(". ")


def test_refusals_speak_of_the_encoder(prepared, raw, tmp_path):
    untold = make_encoder(prepared, filters=(4, 8))
    with pytest.raises(InputError, match=r"^the encoder does not say how .* give that cohort"):
        write_image_features(untold, raw, tmp_path / "out")


def test_a_wrong_stride_is_told_before_channels_are_adapted(encoder, prepared, tmp_path, capsys):
    two = make_encoder(encoder.settings, in_channels=2)
    with pytest.raises(InputError, match="stride is 99"):
        write_features(two, prepared, tmp_path / "f", settings=FeatureSettings(stride=99))
    assert capsys.readouterr().out == ""


def test_pictures_are_refused(tmp_path):
    pictures = make_cohort(tmp_path / "c", 3, (24, 32))
    with pytest.raises(InputError, match="2D"):
        write_features(make_encoder(pictures, filters=(4, 8)), pictures, tmp_path / "f")

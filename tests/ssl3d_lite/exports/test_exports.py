"""What leaves for other programs gives there what it gives here."""

import json
import logging
import subprocess
import sys
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

import ssl3d_lite as ssl3d
from data_recipes.preparing.volumes import Preparation, prepare_volume
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.exports.export import export
from ssl3d_lite.exports.graphs import MAX_DIFFERENCE, graph_of
from ssl3d_lite.exports.monai_bundle import inference_config, preprocessing
from ssl3d_lite.exports.nnunet import architecture, max_pool_unet, nnunet_files, renamed_for_nnunet
from ssl3d_lite.models.classifier import make_classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.foreign import foreign_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.training.checkpoint import save_encoder

# MONAI makes readers of all formats, whichever is asked for
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")

RECIPE = {"name": "folder", "crop": False, "spacing": None, "size": (16, 12, 8), "fit": "pad"}
RECIPE |= {"intensity": "zscore"}
SPACE = (16, 12, 8)
PLAIN = EncoderSettings(filters=(4, 8, 8), block="plain", norm="instance", stride=1)


def trained(model, **changes):
    """A model that says what it was trained on, as one of a run does."""
    recipe = RECIPE | changes
    made = PreparationRecord(
        channels=("mri",), shape=SPACE, label_values=(0, 4), label_names=("none", "lesion")
    )
    model.provenance = Provenance(cohort="made up", preparation=made, recipe=recipe)
    return model


@pytest.fixture
def encoder():
    return trained(make_encoder(EncoderSettings(filters=(4, 8)), seed=0)).eval()


@pytest.fixture
def network(encoder):
    made = make_unet(encoder, 2, seed=1)
    nn.init.normal_(made.last.refine[-1].weight)  # else what reads the scan itself says nothing
    return trained(made).eval()


# ---- graphs ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_gives_the_same(encoder, network, tmp_path):
    for model in (encoder, network, make_classifier(encoder, 3).eval()):
        data, difference = graph_of(model, "torchscript", (1, *SPACE))
        assert difference <= MAX_DIFFERENCE
        (tmp_path / "model.ts").write_bytes(data)
        script = torch.jit.load(tmp_path / "model.ts")
        scans = torch.randn(5, 1, *SPACE)
        with torch.no_grad():
            wanted, found = model(scans), script(scans)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        torch.testing.assert_close(list(found), wanted, rtol=0, atol=MAX_DIFFERENCE)


@pytest.mark.slow
def test_torch_export_gives_the_same(network, tmp_path):
    done = export(network, "pt2", tmp_path / "out")
    program = torch.export.load(done.paths[0])
    scans = torch.randn(5, 1, *SPACE)
    with torch.no_grad():
        torch.testing.assert_close(
            program.module()(scans)[0], network(scans), rtol=0, atol=MAX_DIFFERENCE
        )


@pytest.mark.slow
@pytest.mark.parametrize("of", ["encoder", "network"])
def test_onnx_gives_the_same(of, request, tmp_path, monkeypatch):
    runtime = pytest.importorskip("onnxruntime")
    model = request.getfixturevalue(of)
    heard, log = [], logging.getLogger("torch.onnx")
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())
    monkeypatch.setattr(log, "handlers", [*log.handlers, listener])
    done = export(model, "onnx", tmp_path / "out")
    assert heard == [], "torch tells of operators that no network here has"
    assert done.difference <= MAX_DIFFERENCE
    session = runtime.InferenceSession(done.paths[0], providers=["CPUExecutionProvider"])
    scans = torch.randn(5, 1, *SPACE)
    found = session.run(None, {"scan": scans.numpy()})
    with torch.no_grad():
        wanted = model(scans)
    wanted = wanted if isinstance(wanted, list) else [wanted]
    for theirs, ours in zip(found, wanted, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=MAX_DIFFERENCE)


class Drifting(nn.Module):
    """Gives other values each time."""

    calls = 0

    def forward(self, scan):
        self.calls += 1
        return scan + self.calls


def test_a_graph_that_gives_something_else_is_not_written():
    with pytest.raises(InputError, match="gives other values than the network, by 1"):
        graph_of(Drifting(), "torchscript", (1, 2, 2, 2))


# ---- the command -------------------------------------------------------------------------------


def test_the_command_writes_a_graph(encoder, tmp_path, capsys):
    shape = {"encoder": {"in_channels": 1, "filters": [4, 8], "stride": 2}, "kind": "pretrain"}
    (tmp_path / "run").mkdir()
    save_encoder(tmp_path / "run", encoder, shape)
    call = ["export", str(tmp_path / "run"), "--to", "torchscript", "--out", str(tmp_path / "out")]
    assert main(call) == 0
    assert "by 0 at most" in capsys.readouterr().out
    assert main(call) == 0, "an earlier export is renewed"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.ts").write_text("mine")
    assert main([*call[:-1], str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine/model.ts").read_text() == "mine"
    capsys.readouterr()
    late = ["--size", "16", "12"]  # what is found when the graph is made
    assert main([*call[:-1], str(tmp_path / "mine"), *late]) == 2
    assert "mine holds model.ts" in capsys.readouterr().err, "the folder is looked at first"
    assert main([*call, "--size", "16", "12"]) == 2
    assert "not one of 3 axes" in capsys.readouterr().err


def test_what_cannot_leave_is_refused(encoder, network, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="unknown format 'onx'; did you mean 'onnx'"):
        export(encoder, "onx", out)
    with pytest.raises(InputError, match="no one size; give one"):
        export(make_encoder(EncoderSettings(filters=(4, 8))), "onnx", out)
    with pytest.raises(InputError, match="too small: give edges of at least 2"):
        export(encoder, "onnx", out, size=(1, 8, 8))
    foreign = foreign_encoder(
        nn.Conv3d(1, 2, 1), "net", channels=None, spacing=None, intensity=None, orientation=None
    )
    with pytest.raises(InputError, match="net was made elsewhere"):
        export(foreign, "onnx", out)
    with pytest.raises(InputError, match="fit resize"):
        export(trained(network, fit="resize"), "monai", out)
    with pytest.raises(InputError, match="bundles are of volumes"):
        export(trained(make_classifier(encoder, 3)), "monai", out)
    assert not out.exists()


# ---- a MONAI bundle ----------------------------------------------------------------------------


def raw_scan(shape=SPACE, seed=0):
    values = np.random.default_rng(seed).gamma(2, 100, shape).astype(np.float32)
    values[:2] = 0
    return values


@pytest.mark.parametrize("intensity", ["zscore", "zscore-brain", "unit", "window:50,300"])
@pytest.mark.parametrize("size", [None, (12, 16, 8)])
def test_monais_transforms_prepare_as_we_do(tmp_path, intensity, size):
    from monai.bundle import ConfigParser

    affine = np.diag([-1.5, -1, 2, 1.0])  # left, back, up: to be turned
    raw = raw_scan()
    nib.Nifti1Image(raw, affine).to_filename(tmp_path / "a.nii.gz")
    how = Preparation(crop=False, spacing=None, size=size, fit="pad", intensity=intensity)
    ours = prepare_volume([raw], None, affine, how, ["a"]).image.astype(np.float32)
    recipe = RECIPE | {"intensity": intensity, "size": size}
    config = inference_config(recipe, ["mri"], SPACE, None)
    theirs = ConfigParser(config).get_parsed_content("preprocessing")(
        {"image": tmp_path / "a.nii.gz"}
    )
    np.testing.assert_allclose(
        theirs["image"].numpy(), ours, rtol=1e-3, atol=1e-3
    )  # half precision


def test_spacing_is_sampled_nearly_alike(tmp_path):
    from monai.transforms import Compose
    from scipy.ndimage import gaussian_filter

    raw, affine = gaussian_filter(raw_scan((20, 24, 16)), 2), np.diag([1.0, 1, 1.25, 1])
    nib.Nifti1Image(raw, affine).to_filename(tmp_path / "a.nii.gz")
    how = Preparation(crop=False, spacing=(1, 1, 1), size=None, fit="pad", intensity="unit")
    ours = prepare_volume([raw], None, affine, how, ["a"]).image.astype(np.float32)
    from monai.bundle import ConfigParser

    recipe = RECIPE | {"intensity": "unit", "size": None, "spacing": (1, 1, 1)}
    steps = ConfigParser({"steps": preprocessing(recipe)}).get_parsed_content("steps")
    theirs = Compose(steps)({"image": tmp_path / "a.nii.gz"})["image"].numpy()
    assert theirs.shape == ours.shape == (1, 20, 24, 20)
    assert np.abs(theirs - ours).mean() < 0.01


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bundle_segments_as_the_network_does(network, tmp_path):
    from monai.bundle import ConfigParser

    done = export(network, "monai", tmp_path / "bundle")
    assert done.difference <= MAX_DIFFERENCE
    bundle = tmp_path / "bundle"
    assert {str(path.relative_to(bundle)) for path in done.paths} == {
        "configs/metadata.json",
        "configs/inference.json",
        "models/model.ts",
        "docs/README.md",
    }
    affine = np.diag([-1.0, -1, 1, 1])
    (bundle / "scans").mkdir()
    raw = raw_scan()
    nib.Nifti1Image(raw, affine).to_filename(bundle / "scans/ann.nii.gz")
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser["bundle_root"] = str(bundle)
    with torch.no_grad():
        parser.get_parsed_content("run")
    answer = nib.load(bundle / "predictions/ann_seg.nii.gz")
    how = Preparation(crop=False, spacing=None, size=SPACE, fit="pad", intensity="zscore")
    prepared = prepare_volume([raw], None, affine, how, ["ann"]).image.astype(np.float32)
    with torch.no_grad():
        logits = network(torch.from_numpy(prepared)[None])[0]
    wanted = np.array([0, 4])[logits.argmax(0).numpy()][::-1, ::-1]  # back to the raw scan's axes
    assert np.allclose(answer.affine, affine)
    found = np.asarray(answer.dataobj)
    sure = (logits[0] - logits[1]).abs().numpy()[::-1, ::-1] > 0.02  # beyond half precision
    assert sure.mean() > 0.9
    assert np.array_equal(found[sure], wanted[sure])
    about = json.loads((bundle / "configs/metadata.json").read_text())
    assert about["network_data_format"]["inputs"]["image"]["channel_def"] == {"0": "mri"}


# ---- nnU-Net -----------------------------------------------------------------------------------


def test_a_shape_that_nnunet_cannot_have_is_refused():
    with pytest.raises(InputError, match="block residual, not plain; stride 2, not 1; norm group"):
        architecture(replace(PLAIN, block="residual", stride=2, norm="group"))
    assert architecture(PLAIN)["arch_kwargs"]["strides"] == [[1] * 3, [2] * 3, [2] * 3]


def test_every_weight_has_its_four_names():
    weights = make_encoder(PLAIN).state_dict()
    renamed = renamed_for_nnunet(weights)
    assert len(renamed) == 4 * len(weights)
    assert (
        renamed["encoder.stages.1.1.convs.0.all_modules.1.bias"] is weights["levels.1.norm1.bias"]
    )


@pytest.fixture(scope="session")
def nnunet_networks(tmp_path_factory):
    """nnU-Net's own package of networks, without what its transformers need."""
    folder = tmp_path_factory.mktemp("nnunet")
    package = "dynamic-network-architectures==0.4.4"
    ask = [sys.executable, "-m", "pip", "download", package, "--no-deps", "-q", "-d", "."]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index gave {package}: {done.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_nnunets_own_stages_give_our_levels(nnunet_networks, norm, tmp_path):
    encoder = make_encoder(replace(PLAIN, norm=norm), seed=3).eval()
    data, plan, difference = nnunet_files(encoder)
    assert difference <= 1e-4
    (tmp_path / "weights.pth").write_bytes(data)
    read = torch.load(tmp_path / "weights.pth", weights_only=True)["network_weights"]
    from pydoc import locate

    shape = dict(plan["arch_kwargs"])
    for name in plan["_kw_requires_import"]:
        shape[name] = shape[name] and locate(shape[name])
    assert locate(plan["network_class_name"]) is max_pool_unet
    network = max_pool_unet(1, 5, deep_supervision=True, **shape).eval()
    mine = network.state_dict()
    asked = [key for key in mine if ".seg_layers." not in key]  # as nnU-Net loads weights
    assert all(read[key].shape == mine[key].shape for key in asked)
    network.load_state_dict(mine | {key: read[key] for key in asked})
    scans = torch.randn(2, 1, 16, 24, 16)
    with torch.no_grad():
        for theirs, ours in zip(network.encoder(scans), encoder(scans), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
        assert network(scans)[0].shape == (2, 5, 16, 24, 16)


def test_the_front_door_has_the_way_out():
    assert ssl3d.export is export

"""Somebody's encoder enters probe, label transfer and microscope; what does not fit is refused."""

import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_cohort
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from safetensors.torch import save_file
from torch import nn

import ssl3d_lite as ssl3d
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.neighbours import label_transfer
from ssl3d_lite.evaluation.random_encoders import kinds_beside
from ssl3d_lite.models.compatibility import check_encoder_fits, for_channels
from ssl3d_lite.models.conversion import Conversion, cut_to, padded
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.foreign import foreign_encoder
from ssl3d_lite.models.monai_encoders import ENCODERS, monai_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.weight_files import load_foreign_weights

ANY = {"channels": None, "spacing": None, "intensity": None, "orientation": None}
RECIPE = {"name": "test", "intensity": "zscore", "spacing": (1.0, 1.0, 1.0)}


class Pyramid(nn.Module):
    """The scan itself, and its means over blocks of two and of four voxels."""

    def __init__(self, channels=1):
        super().__init__()
        self.gain = nn.Conv3d(channels, channels, 1, groups=channels, bias=False)
        nn.init.ones_(self.gain.weight)

    def forward(self, x):
        x = self.gain(x)
        return [nn.functional.avg_pool3d(x, edge) for edge in (4, 1, 2)]  # in no order


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 15, (24, 32, 24))


@pytest.fixture
def channels(tmp_path):
    """Four channels, prepared with z-scores at 1 mm."""
    made = make_cohort(tmp_path / "four", 10, (16, 12, 8), channels=4)
    named = replace(made, channels=("T1", "t1ce", "t2", "T2-FLAIR"), recipe=RECIPE)
    assert named.preparation.orientation == "RAS"
    return named


def scans_of(cohort):
    return cohort.images([0, 1])


# ---- a module ----------------------------------------------------------------------------------


def test_a_module_has_the_shape_that_it_gives():
    encoder = foreign_encoder(Pyramid(), "pyramid", **ANY)
    assert encoder.settings.filters == (1, 1, 1)
    assert encoder.settings.strides == ((1, 1, 1), (2, 2, 2), (4, 4, 4))
    assert (encoder.settings.stride, encoder.settings.multiple, encoder.width) == (1, (4, 4, 4), 1)
    x = torch.randn(2, 1, 8, 8, 8)
    levels = encoder(x)
    assert torch.equal(levels[0], x)
    assert torch.equal(levels[2], nn.functional.avg_pool3d(x, 4))


def test_a_single_map_and_a_table_of_maps_are_levels_too():
    class Table(Pyramid):
        def forward(self, x):
            return {"deep": super().forward(x)[0], "fine": x}

    assert len(foreign_encoder(nn.Conv3d(1, 5, 1), "one", **ANY)(torch.randn(1, 1, 4, 4, 4))) == 1
    assert foreign_encoder(Table(), "table", **ANY).settings.strides == ((1,) * 3, (4,) * 3)


def test_layers_are_listened_to():
    net = nn.Sequential(nn.Conv3d(1, 3, 1), nn.ReLU(inplace=True), nn.Conv3d(3, 2, 2, 2), nn.ReLU())
    encoder = foreign_encoder(net, "net", **ANY, layers=["0", "2"])
    x = torch.randn(2, 1, 8, 8, 8)
    first, second = encoder(x)
    assert torch.equal(first, net[0](x)), "before the layer behind it changed it in place"
    assert torch.equal(second, net[2](net[1](net[0](x))))
    assert not net[0]._forward_hooks
    with pytest.raises(InputError, match="unknown part of net '9'"):
        foreign_encoder(net, "net", **ANY, layers=["9"])
    with pytest.raises(InputError, match="TorchScript"):
        foreign_encoder(scripted(net), "net", **ANY, layers=["0"])


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (nn.Flatten(), "has no weights"),
        (nn.Sequential(nn.Conv3d(1, 2, 1), nn.Flatten()), r"gives \(2, 524288\).*must give maps"),
        (nn.Conv3d(1, 2, 3), "62 × 62 × 62 cells for 64 voxels"),
        (nn.Conv3d(3, 2, 1), r"cannot read scans of shape \(2, 1, 64, 64, 64\)"),
        (nn.Conv2d(1, 2, 1), "cannot read scans"),
    ],
)
def test_what_is_no_encoder_is_refused(module, why):
    with pytest.raises(InputError, match=why):
        foreign_encoder(module, "net", **ANY)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"intensity": "zscores"}, "did you mean 'zscore'"),
        ({"spacing": (1, 1)}, "not one of 3 axes"),
        ({"scale": 0}, "cannot be multiplied by 0"),
        ({"shift": float("nan")}, "cannot be multiplied"),
    ],
)
def test_a_preparation_that_is_none_is_refused(given, why):
    with pytest.raises(InputError, match=why):
        foreign_encoder(Pyramid(), "net", **ANY | given)


# ---- sizes -------------------------------------------------------------------------------------


def test_a_scan_is_padded_with_its_lowest_value():
    x = torch.randn(2, 3, 5, 4, 6)
    whole = padded(x, (4, 4, 4))
    assert whole.shape == (2, 3, 8, 4, 8)
    torch.testing.assert_close(whole[..., :5, :, :6], x)
    lowest = x.flatten(2).amin(2)[..., None].expand(2, 3, 3 * 4 * 8)
    torch.testing.assert_close(whole[..., 5:, :, :].flatten(2), lowest)
    assert padded(x, (5, 2, 3)) is x


def test_levels_are_cut_to_the_scan():
    """A ramp over the whole is the same ramp where a part of it is read, whatever the cells."""
    for cells, part in ((8, 12), (8, 11), (4, 12), (2, 12)):
        step = 16 / cells
        middles = torch.arange(cells) * step + step / 2
        level = middles.view(1, 1, -1, 1, 1).expand(1, 1, cells, 4, 4)
        cut = cut_to(level, (part, 16, 16), (16, 16, 16))
        count = cut.shape[2]
        assert count == -(-part // step)
        wanted = (torch.arange(count) + 0.5) * part / count
        wanted = wanted.clamp(middles[0], middles[-1])  # beyond the last middle nothing is known
        torch.testing.assert_close(cut[0, 0, :, 0, 0], wanted)
    assert cut_to(level, (16,) * 3, (16,) * 3) is level


def test_odd_scans_are_read_as_even_ones_are():
    encoder = foreign_encoder(Pyramid(), "pyramid", **ANY)
    x = torch.randn(2, 1, 10, 8, 8)
    fine, middle, coarse = encoder(x)
    assert torch.allclose(fine, x, atol=1e-6)
    torch.testing.assert_close(middle, nn.functional.avg_pool3d(x, 2))
    assert coarse.shape[2:] == (3, 2, 2)


# ---- preparation -------------------------------------------------------------------------------


def test_channels_are_found_by_name(channels, capsys):
    want = ANY | {"channels": ("flair", "t1")}
    encoder = foreign_encoder(Pyramid(2), "net", **want)
    fitted = for_channels(encoder, channels)
    x = scans_of(channels)
    assert torch.equal(fitted(x)[0], x[:, [3, 0]])
    assert "of the channels T1 t1ce t2 T2-FLAIR it reads flair t1" in capsys.readouterr().out
    assert (encoder.in_channels, fitted.in_channels) == (2, 4), (
        "the one that was given is as before"
    )
    assert for_channels(fitted, channels) is fitted
    with pytest.raises(InputError, match=r"takes \(batch, 4, 3 space axes\)"):
        fitted(x[:, :2])


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIR"])
def test_axes_are_turned_there_and_back(channels, codes):
    encoder = for_channels(
        foreign_encoder(Pyramid(), "net", **ANY | {"channels": ("t2",), "orientation": codes}),
        channels,
    )
    read = []
    encoder.module.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x = scans_of(channels)
    levels = encoder(x)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    wanted = apply_orientation(x[0, 2].numpy(), turn)
    assert np.array_equal(read[0][0, 0].numpy(), wanted)
    for level, edge in zip(levels, (1, 2, 4), strict=True):
        torch.testing.assert_close(level, nn.functional.avg_pool3d(x[:, 2:3], edge))


def test_a_factor_and_a_sum_are_exact(channels, capsys):
    want = ANY | {"channels": ("t1",), "intensity": "zscore", "scale": 0.226, "shift": 0.449}
    fitted = for_channels(foreign_encoder(Pyramid(), "net", **want), channels)
    x = scans_of(channels)
    torch.testing.assert_close(fitted(x)[0], x[:, :1] * 0.226 + 0.449)
    assert "multiplied by 0.226, then +0.449" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"intensity": "unit"},
            "intensity zscore, not unit; prepare them again with --intensity unit",
        ),
        ({"spacing": (2, 2, 2)}, r"spacing 1 × 1 × 1 mm, not 2 × 2 × 2 mm; .*--spacing 2 2 2"),
        ({"channels": ("pd",)}, "channels T1 t1ce t2 T2-FLAIR, not pd; call its channels as"),
        ({"channels": None}, "not 1 of any name"),
        ({"orientation": "RA"}, "orientation RAS, not RA"),
    ],
)
def test_what_cannot_be_converted_is_refused(channels, given, why):
    want = {"channels": ("t1",), "spacing": (1, 1, 1), "intensity": "zscore", "orientation": "RAS"}
    encoder = foreign_encoder(Pyramid(), "net", **want | given)
    for read in (ssl3d.probe, lambda e, c: ssl3d.features(e, c, [0]), for_channels):
        with pytest.raises(InputError, match=why):
            read(encoder, channels)


def test_an_unfitted_encoder_reads_no_cohort(channels):
    encoder = foreign_encoder(Pyramid(4), "net", **ANY | {"channels": channels.channels})
    with pytest.raises(InputError, match="net is not fitted to made up yet"):
        check_encoder_fits(encoder, channels)
    check_encoder_fits(for_channels(encoder, channels), channels)


# ---- random weights ----------------------------------------------------------------------------


def scripted(module):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        return torch.jit.script(module.eval())


def convolutions():
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4, affine=True), nn.Conv3d(4, 6, 2, 2)
    )


@pytest.mark.parametrize("of", [convolutions, lambda: scripted(convolutions())])
def test_random_weights_follow_torchs_rule(of):
    encoder = foreign_encoder(of(), "net", **ANY)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.fill_(5.0)
    one, again, other = (encoder.random(seed) for seed in (1, 1, 2))
    weights = dict(one.named_parameters())
    assert all(
        torch.equal(value, dict(again.named_parameters())[k]) for k, value in weights.items()
    )
    assert not torch.equal(
        weights["module.0.weight"], dict(other.named_parameters())["module.0.weight"]
    )
    assert all((value == 5).all() for value in encoder.parameters()), "the encoder is as it was"
    bound = 1 / np.sqrt(4 * 8)  # of a convolution of edge 2 that reads 4 channels
    last = weights["module.2.weight"]
    assert 0.9 * bound < last.abs().max() <= bound
    assert (weights["module.1.weight"] == 1).all()
    assert (weights["module.1.bias"] == 0).all()


def test_weights_that_have_no_rule_are_named():
    class Placed(Pyramid):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.randn(1, 1, 1, 1, 8))

        def forward(self, x):
            return super().forward(x + self.place.mean())

    encoder = foreign_encoder(Placed(), "net", **ANY)
    with pytest.raises(InputError, match=r"no rule to draw anew: place; .*remake="):
        encoder.random(0)
    made = foreign_encoder(Placed(), "net", **ANY, remake=Placed).random(0)
    assert not torch.equal(made.module.place, encoder.module.place)
    wrong = foreign_encoder(Placed(), "net", **ANY, remake=convolutions)
    with pytest.raises(InputError, match="another network than net"):
        wrong.random(0)


def test_torchscript_with_batch_norm_has_no_control():
    net = scripted(nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)))
    with pytest.raises(InputError, match="TorchScript with batch norm"):
        foreign_encoder(net, "net", **ANY).random(0)


def test_the_same_architecture_stands_beside(cohort):
    encoder = for_channels(foreign_encoder(Pyramid(), "pyramid", **ANY), cohort)
    (own,), kinds = kinds_beside(encoder)
    assert own.name == "random, pyramid itself"
    assert own.start(3).conversion == encoder.conversion
    assert {kind.settings.in_channels for kind in kinds} == {1}
    ours = make_encoder(EncoderSettings(filters=(4, 8)))
    assert kinds_beside(ours)[0] == []


# ---- probe, label transfer, microscope ---------------------------------------------------------


def test_about_twenty_lines_lead_to_probe_transfer_and_microscope(cohort):
    encoder = foreign_encoder(convolutions(), "net", **ANY | {"spacing": (1, 1, 1)})
    result = ssl3d.probe(encoder, cohort, labels=2, draws=1, controls=1, transfer=True)
    names = list(result.by_protocol["neighbours"])
    assert names[:2] == ["the encoder", "random, net itself, seed 101"]
    assert names[-1] == "place alone"
    # a foreign encoder is read as ours: the same network in either dress has the same scores
    ours = make_encoder(EncoderSettings(filters=(4, 8)), seed=3)
    dressed = foreign_encoder(make_encoder(ours.settings, seed=3), "dressed", **ANY)
    one, two = (
        label_transfer(each, cohort, [[0]], [5, 6], hausdorff=False)[0].score
        for each in (ours, dressed)
    )
    assert one == pytest.approx(two)
    maps = [ssl3d.features(each, cohort, [0, 1]) for each in (ours, dressed)]
    assert np.array_equal(maps[0].maps[1], maps[1].maps[1])
    view = ssl3d.show.Features(dressed, cohort, cases=[0, 1], among=[])
    assert [each["name"] for each in view._columns][:2] == ["the encoder", "random weights"]


def test_it_is_not_trained(cohort):
    encoder = foreign_encoder(convolutions(), "net", **ANY)
    with pytest.raises(InputError, match=r"net was made elsewhere.*cannot be fine-tuned"):
        ssl3d.make_network(encoder, cohort)
    task = ssl3d.make_task("rotation", EncoderSettings(filters=(4, 8)), crop_size=16)
    with pytest.raises(InputError, match="cannot be trained"):
        ssl3d.pretrain(task, encoder, cohort, steps=1)


def test_features_of_it_are_written_as_files(cohort, tmp_path):
    from ssl3d_lite.evaluation.feature_files import write_features

    encoder = foreign_encoder(convolutions(), "net", **ANY)
    found = write_features(encoder, cohort, tmp_path / "out", [0, 1])
    assert len(found.paths) == 3
    table = np.load(tmp_path / "out/embeddings.npz")
    assert table["embeddings"].shape == (2, 6)


# ---- weights in files --------------------------------------------------------------------------

MONAI = {
    "SegResNet": {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
    "SwinUNETR": {"feature_size": 12},
    "UNet": {"channels": (4, 8, 16), "strides": (2, 2), "num_res_units": 1},
}


def whole(name, outputs=3):
    from monai.networks import nets

    shape = {"spatial_dims": 3, "in_channels": 1, "out_channels": outputs, **MONAI[name]}
    return getattr(nets, name)(**shape).eval()


def levels_by_hand(name, network, x):
    """What the parts of MONAI's whole network give, by forward hooks on them."""
    if name == "SwinUNETR":
        return network.swinViT(x, True)
    if name == "SegResNet":
        return network.encode(x)[1]
    found, block = [], network.model
    down = [block[0], block[1].submodule[0], block[1].submodule[1].submodule]
    hooks = [part.register_forward_hook(lambda _, __, y: found.append(y)) for part in down]
    network(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_network_of_monai_by_name_and_file(name, wrapped, tmp_path, capsys):
    network = whole(name)
    weights, path = network.state_dict(), tmp_path / "weights.safetensors"
    if wrapped:
        path = tmp_path / "weights.pt"
        named = {f"module.net.{key}": value for key, value in weights.items()}
        torch.save({"epoch": 3, "state_dict": named, "optimizer": {"lr": 0.1}}, path)
    else:
        save_file({key: value.contiguous() for key, value in weights.items()}, path)
    encoder = monai_encoder(name, path, MONAI[name], **ANY)
    x = torch.randn(1, 1, 64, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(encoder(x), levels_by_hand(name, network, x), strict=True):
            torch.testing.assert_close(ours, theirs)
    said = capsys.readouterr().out
    assert ("entry 'state_dict'" in said) == wrapped
    inner = "swinViT." if name == "SwinUNETR" else ""
    assert (f"keys begin with 'module.net.{inner}'" in said) == wrapped
    assert "are not" in said, "the decoder is said to be left out"
    fresh = encoder.random(1)
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {
        k: v.shape for k, v in encoder.state_dict().items()
    }


def test_every_key_is_accounted_for(tmp_path):
    path, shape = tmp_path / "weights.pt", MONAI["UNet"]

    def refused(weights, why, **how):
        torch.save(weights, path)
        with pytest.raises(InputError, match=why):
            monai_encoder("UNet", path, shape, **ANY, **how)

    weights = whole("UNet").state_dict()
    first = next(iter(weights))
    refused({k: v for k, v in weights.items() if k != first}, rf"lacks {first}")
    refused(weights | {"head.weight": torch.ones(3)}, "not in the network: head.weight; .*ignore=")
    refused(weights | {first: torch.ones(2, 2)}, rf"{first} is \(2, 2\), the network has")
    refused({"a": weights, "b": weights}, "weights in these: 'a', 'b'; name the one")
    refused({"lr": 0.1}, "has no weights")
    refused(
        weights | {f"ema.{k}": v for k, v in weights.items()}, "network twice, after '' and 'ema.'"
    )
    refused([1, 2], "holds a list")
    torch.save({"a": weights | {"head.weight": torch.ones(3)}, "b": weights}, path)
    monai_encoder("UNet", path, shape, **ANY, entry="a", ignore=["head."])
    with pytest.raises(InputError, match="did you mean 'SegResNet'"):
        monai_encoder("SegResnet", path, **ANY)
    with pytest.raises(InputError, match="MONAI makes no UNet"):
        monai_encoder("UNet", path, **ANY)
    with pytest.raises(InputError, match="there is no file"):
        monai_encoder("UNet", tmp_path / "none.pt", shape, **ANY)


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_no_code_of_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = nn.Conv3d(1, 1, 1)
    for name, write in {
        "trap.pt": lambda p: torch.save({"state_dict": Trap()}, p),
        "trap.pth": lambda p: p.write_bytes(pickle.dumps(Trap())),
        "broken.pt": lambda p: p.write_bytes(b"no weights"),
        "trap.safetensors": lambda p: p.write_bytes(pickle.dumps(Trap())),
    }.items():
        write(path := tmp_path / name)
        with pytest.raises(
            InputError, match=r"is not read: it holds more|cannot be read as weights"
        ):
            load_foreign_weights(module, path)
    scripted(convolutions()).save(tmp_path / "script.pt")
    with pytest.raises(InputError, match=r"torch\.jit\.load"):
        load_foreign_weights(module, tmp_path / "script.pt")
    assert not Path("sprung").exists()


# ---- a real one --------------------------------------------------------------------------------


class DeepbetEncoder(nn.Module):
    """The contracting half of deepbet's LinkNet (Fisch et al. 2024; MIT licence), part by part."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        relu = getattr(self.network.conv, "2")
        found = [self.network.init.forward(relu, x)]
        for name in ("down0", "down1", "down2", "down3"):
            found.append(getattr(self.network, name).forward(relu, found[-1]))
        return found


@pytest.fixture(scope="session")
def deepbet(tmp_path_factory):
    """The network for brain extraction that the package deepbet brings in its wheel."""
    folder = tmp_path_factory.mktemp("deepbet")
    ask = [sys.executable, "-m", "pip", "download", "deepbet==1.0.2", "--no-deps", "-q", "-d", "."]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index gave deepbet: {done.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        assert "MIT" in wheel.read("deepbet-1.0.2.dist-info/METADATA").decode()
        wheel.extract("data/models/model.pt", folder)
    return folder / "data/models/model.pt"


@pytest.mark.slow
def test_a_network_for_brain_extraction_is_read(deepbet, tmp_path, capsys):
    with pytest.warns(DeprecationWarning, match="torch.jit.load"):
        network = torch.jit.load(deepbet)
    encoder = foreign_encoder(
        DeepbetEncoder(network),
        "deepbet",
        channels=("t1",),
        spacing=None,  # it scales the head to 256³ voxels, whatever their size
        intensity="zscore",
        scale=0.226,
        shift=0.449,
    )
    assert encoder.settings.filters == (16, 16, 32, 64, 128)
    assert encoder.settings.multiple == (32, 32, 32)
    brains = make_cohort(tmp_path / "brains", 10, (40, 48, 40), channels=2)
    brains = replace(brains, channels=("T2", "T1"), recipe=RECIPE)
    result = ssl3d.probe(encoder, brains, labels=2, draws=1, controls=1)
    assert "random, deepbet itself, seed 101" in result.by_protocol["probe"]
    said = capsys.readouterr().out
    assert "of the channels T2 T1 it reads t1" in said
    assert "padded to multiples of 32" in said
    x = torch.randn(1, 1, 64, 64, 64)
    with (
        torch.inference_mode()
    ):  # its parts one by one are the whole: the decoder goes on from them
        relu, levels = getattr(network.conv, "2"), DeepbetEncoder(network)(x)
        y = levels[4]
        for up, skip in zip(("up0", "up1", "up2", "up3"), levels[3::-1], strict=True):
            y = getattr(network, up).forward(relu, y) + skip
        y = network.conv.forward(network.tp_conv1.forward(relu, y))
        torch.testing.assert_close(network.tp_conv2.forward(y).softmax(1), network(x))
    maps = ssl3d.features(encoder, brains, [0, 1])
    assert maps.maps[0].shape == (256, 20, 24, 20)


def test_a_conversion_of_nothing_changes_nothing():
    x = torch.randn(1, 2, 4, 4, 4)
    assert Conversion().there(x) is x
    assert Conversion().back(x) is x


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"channels": "t1"}, r"channels are a list of names; give \('t1',\)"),
        ({"spacing": (1, 0, 1)}, r"spacing \(1, 0, 1\) is not one of 3 axes, in mm"),
        ({"spacing": (1, 1)}, r"spacing \(1, 1\) is not one of 3 axes, in mm"),
    ],
)
def test_how_scans_were_prepared_is_checked(wrong, told):
    given = {"channels": None, "spacing": None, "intensity": None} | wrong
    with pytest.raises(InputError, match=told):
        foreign_encoder(nn.Conv3d(1, 2, 1), "net", **given)

import subprocess
import sys

import pytest
import torch
from helpers import make_cohort, make_graded
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.classifier import Classifier, make_classifier
from ssl3d_lite.models.compatibility import check_encoder_fits, check_labels_fit
from ssl3d_lite.models.encoders import UNetEncoder, adapt_channels, load_weights, make_encoder
from ssl3d_lite.models.heads import global_avg_pool
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet, make_unet


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_every_encoder_gives_a_list_of_halved_levels(dims, block, norm):
    encoder = UNetEncoder(EncoderSettings(2, dims, (4, 6, 8), block, norm))
    features = encoder(torch.randn(2, 2, *[16] * dims))
    assert [f.shape[1:] for f in features] == [
        (c, *[16 // 2**level] * dims) for level, c in enumerate((4, 6, 8))
    ]
    assert global_avg_pool(features).shape == (2, encoder.width)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(4, 11), min_size=2, max_size=3))
def test_a_unet_answers_every_voxel_of_any_size(space):
    network = UNet(UNetEncoder(EncoderSettings(1, len(space), (2, 3, 4))), 5)
    assert network(torch.randn(2, 1, *space)).shape == (2, 5, *space)


def test_the_paper_encoder_has_its_levels():
    encoder = UNetEncoder(EncoderSettings(filters=(32, 64, 128, 256, 512), block="residual"))
    assert encoder.width == 512
    assert len(encoder.levels) == 5


@pytest.mark.parametrize("shape", [(1, 2, 8, 8, 8), (1, 1, 8, 8)])
def test_a_wrong_input_names_both_shapes(shape):
    with pytest.raises(InputError, match=r"takes \(batch, 1, 3 space axes\), but got"):
        UNetEncoder(EncoderSettings(filters=(2, 3)))(torch.zeros(shape))


def test_too_small_an_input_says_how_large_it_must_be():
    with pytest.raises(InputError, match="at least 8 voxels"):
        UNetEncoder(EncoderSettings(filters=(2, 3, 4, 5)))(torch.zeros(1, 1, 8, 7, 8))


@pytest.mark.parametrize(("field", "near"), [("norm", "'group'"), ("block", "'plain'")])
def test_a_misspelt_kind_names_the_nearest(field, near):
    misspelt = {"norm": "grup", "block": "plane"}[field]
    with pytest.raises(InputError, match=f"did you mean {near}"):
        UNetEncoder(EncoderSettings(**{field: misspelt}))


def test_a_seed_sets_every_weight_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    first = make_unet(make_encoder(EncoderSettings(filters=(2, 3)), 1), 3, 7)
    assert torch.equal(torch.rand(3), want)
    again = make_unet(make_encoder(EncoderSettings(filters=(2, 3)), 1), 3, 7)
    other = make_unet(make_encoder(EncoderSettings(filters=(2, 3)), 1), 3, 8)
    weights = first.state_dict()
    assert all(torch.equal(w, again.state_dict()[n]) for n, w in weights.items())
    assert not torch.equal(first.last.weight, other.last.weight)
    assert torch.equal(first.encoder.levels[0].conv1.weight, other.encoder.levels[0].conv1.weight)


def test_fault_16_loading_names_every_layer_that_does_not_fit():
    encoder = make_encoder(EncoderSettings(filters=(2, 3)), 0)
    weights = make_encoder(EncoderSettings(filters=(2, 4)), 1).state_dict()
    del weights["levels.0.norm1.weight"]
    weights["extra"] = torch.zeros(1)
    before = {name: w.clone() for name, w in encoder.state_dict().items()}
    with pytest.raises(InputError) as fault:
        load_weights(encoder, weights)
    said = str(fault.value)
    assert "levels.0.norm1.weight is missing" in said
    assert "extra is not in the network" in said
    assert "levels.1.conv1.weight is (4, 2, 3, 3, 3), the network has (3, 2, 3, 3, 3)" in said
    after = encoder.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before), "refused means untouched"


def test_loading_partly_takes_what_fits():
    encoder = make_encoder(EncoderSettings(filters=(2, 3)), 0)
    donor = make_encoder(EncoderSettings(filters=(2, 4)), 1).state_dict()
    load_weights(encoder, donor, partly=True)
    own = encoder.state_dict()
    assert torch.equal(own["levels.0.conv1.weight"], donor["levels.0.conv1.weight"])
    assert own["levels.1.conv1.weight"].shape[0] == 3


@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize(("old", "new"), [(2, 4), (1, 3), (2, 3)])
def test_adapted_channels_give_the_same_features_for_repeated_input(block, old, new):
    encoder = make_encoder(EncoderSettings(old, 3, (4, 6), block), 0).eval()
    adapted = adapt_channels(encoder, new).eval()
    scan = torch.randn(1, old, 8, 8, 8)
    repeated = scan[:, torch.arange(new) % old]
    for level, same in zip(encoder(scan), adapted(repeated), strict=True):
        torch.testing.assert_close(level, same, rtol=1e-5, atol=1e-5)
    assert adapted.settings.in_channels == new


# ---- making networks for a cohort ----------------------------------------------------------------


def test_a_cohort_says_how_many_channels_and_axes_its_encoder_reads(tmp_path):
    cohort = make_cohort(tmp_path, 1, (4, 4), channels=3)
    encoder = make_encoder(cohort, seed=3, filters=(4, 8), block="residual")
    assert encoder.settings == EncoderSettings(3, 2, (4, 8), "residual")
    same = make_encoder(encoder.settings, 3).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in encoder.state_dict().items())


def test_settings_may_be_changed_on_the_way():
    assert make_encoder(EncoderSettings(2), filters=(4,), norm="group").settings == EncoderSettings(
        2, filters=(4,), norm="group"
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_a_misspelt_field_of_an_encoder_names_the_nearest(tmp_path, dims):
    cohort = make_cohort(tmp_path, 1, (4,) * dims)
    for what in (cohort, EncoderSettings()):
        with pytest.raises(InputError, match="'filter'; did you mean 'filters'"):
            make_encoder(what, filter=(4, 8))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"in_channels": 0}, "in_channels is 0, but must be above 0"),
        ({"in_channels": 1.5}, "in_channels is 1.5, but must be a whole number"),
        ({"spatial_dims": 4}, "spatial_dims is 4, but must be"),
        ({"filters": (8, 0)}, r"filters is \(8, 0\), but each entry must be above 0"),
        ({"filters": 8}, "filters is 8, but must be a list of values"),
        ({"block": "plane"}, "unknown block 'plane'; did you mean 'plain'"),
        ({"norm": "bach"}, "unknown norm 'bach'; did you mean 'batch'"),
        ({"network": "u-net"}, "unknown network 'u-net'; did you mean 'unet'"),
    ],
)
def test_values_that_an_encoder_cannot_have_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        EncoderSettings(**wrong)


def test_the_network_is_the_one_that_learns_the_labels(tmp_path):
    maps = make_cohort(tmp_path / "maps", 1, (4, 4, 4))
    encoder = make_encoder(maps, filters=(2, 4))
    unet = make_network(encoder, maps, seed=7)
    assert isinstance(unet, UNet)
    assert unet.encoder is encoder
    assert unet.head_settings == {"classes": 3}
    assert torch.equal(unet.last.weight, make_unet(encoder, 3, 7).last.weight)
    grades = make_graded(tmp_path / "grades", [0, 1, 2])
    encoder = make_encoder(grades, filters=(2, 4))
    classifier = make_network(encoder, grades, seed=7)
    assert isinstance(classifier, Classifier)
    assert classifier.head_settings == {"grades": 3}
    assert torch.equal(classifier.last.weight, make_classifier(encoder, 3, 7).last.weight)


def test_a_network_of_another_cohort_is_refused(tmp_path):
    maps = make_cohort(tmp_path / "maps", 1, (4, 4, 4))
    unet = make_unet(make_encoder(maps, filters=(2, 4)), 4)
    with pytest.raises(InputError, match="tells 4 classes apart, but made up has 3 classes"):
        check_labels_fit(unet, maps)
    check_labels_fit(torch.nn.Identity(), maps)
    flat = make_cohort(tmp_path / "flat", 1, (4, 4))
    with pytest.raises(InputError, match="reads 1 channels in 3D, but made up has 1 in 2D"):
        check_encoder_fits(unet.encoder, flat)


def test_models_and_data_import_nothing_heavy():
    heavy = ["monai", "lightning", "pydantic", "scipy", "sklearn", "matplotlib", "data_recipes"]
    modules = "encoders unet classifier networks compatibility heads ordinal operations modes"
    code = (
        "import sys\n"
        + "".join(f"import ssl3d_lite.models.{name}\n" for name in modules.split())
        + "import ssl3d_lite.data.opening, ssl3d_lite.data.registry, ssl3d_lite.data.preparation\n"
        + f"print(set({heavy}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

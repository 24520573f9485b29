import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import UNetEncoder, adapt_channels, load_weights, make_encoder
from ssl3d_lite.models.heads import global_avg_pool
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

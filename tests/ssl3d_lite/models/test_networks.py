import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
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
from ssl3d_lite.models.unet import UNet, VoxelOutput, make_dense_head, make_unet


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
@pytest.mark.parametrize(("stride", "edges"), [(1, [16, 8, 4]), (2, [8, 4, 4])])
def test_every_encoder_gives_a_list_of_halved_levels(dims, block, norm, stride, edges):
    """With stride 2 the first convolution halves, and the last level is as large as before."""
    settings = EncoderSettings(2, dims, (4, 6, 8), block, norm, stride=stride)
    encoder = UNetEncoder(settings)
    features = encoder(torch.randn(2, 2, *[16] * dims))
    assert [tuple(f.shape) for f in features] == [
        (2, channels, *[edge] * dims) for channels, edge in zip((4, 6, 8), edges, strict=True)
    ]
    assert global_avg_pool(features).shape == (2, encoder.width) == (2, 8)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_network_without_settings_is_residual_with_instance_norm(stride):
    settings = EncoderSettings(filters=(4, 8), stride=stride)
    assert (EncoderSettings().filters, EncoderSettings().stride) == ((16, 32, 64), 2)
    assert settings == EncoderSettings(1, 3, (4, 8), "residual", "instance", stride=stride)
    encoder = UNetEncoder(settings)
    assert all(level.shortcut is not None for level in encoder.levels)
    norms = [each for each in encoder.modules() if isinstance(each, torch.nn.InstanceNorm3d)]
    assert len(norms) == 4
    assert not list(encoder.buffers()), "nothing that moves in an encoder that is frozen"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(4, 11), min_size=2, max_size=3), st.sampled_from([1, 2]))
def test_a_unet_answers_every_voxel_of_any_size(space, stride):
    shape = EncoderSettings(1, len(space), (2, 3, 4), norm="group", stride=stride)
    network = UNet(UNetEncoder(shape), 5)
    assert network(torch.randn(2, 1, *space)).shape == (2, 5, *space)


@pytest.mark.parametrize(
    ("stride", "levels", "up"),
    [
        (1, [(9, 11, 10), (4, 5, 5), (2, 2, 2)], torch.nn.ConvTranspose3d),
        (2, [(5, 6, 5), (2, 3, 2), (2, 3, 2)], torch.nn.Conv3d),
    ],
)
def test_odd_edges_are_rounded_up_by_the_stride_and_down_by_pooling(stride, levels, up):
    encoder = UNetEncoder(EncoderSettings(1, 3, (2, 3, 4), stride=stride))
    scan = torch.randn(1, 1, 9, 11, 10)
    features = encoder(scan)
    assert [tuple(f.shape[2:]) for f in features] == levels
    network = UNet(encoder, 5)
    assert all(type(each) is up for each in network.decoder.ups)
    assert network.decoder(features).shape == (1, 2, *levels[0])
    assert network(scan).shape == (1, 5, 9, 11, 10)


# ---- stride 1: the U-Net of the paper, and of earlier versions -----------------------------------


def test_at_stride_1_it_is_the_unet_of_the_paper():
    """Çiçek's: every shape of every weight, and thereby their number, written out."""
    settings = EncoderSettings(2, 3, (4, 6, 8), "plain", "batch", stride=1)
    network = UNet(UNetEncoder(settings), 5)
    levels = {(0, 2, 4), (1, 4, 6), (2, 6, 8)}
    want = {}
    for name, inputs, outputs in [
        *((f"encoder.levels.{n}", i, o) for n, i, o in levels),
        *((f"decoder.blocks.{n}", 2 * o, o) for n, o in enumerate((6, 4))),
    ]:
        want[f"{name}.conv1.weight"] = (outputs, inputs, 3, 3, 3)
        want[f"{name}.conv2.weight"] = (outputs, outputs, 3, 3, 3)
        for norm in ("norm1", "norm2"):
            want[f"{name}.{norm}.weight"] = want[f"{name}.{norm}.bias"] = (outputs,)
    for n, (deep, up) in enumerate([(8, 6), (6, 4)]):
        want[f"decoder.ups.{n}.weight"] = (deep, up, 2, 2, 2)
        want[f"decoder.ups.{n}.bias"] = (up,)
    want |= {"last.conv.weight": (5, 4, 1, 1, 1), "last.conv.bias": (5,)}
    assert {name: tuple(w.shape) for name, w in network.named_parameters()} == want
    assert sum(p.numel() for p in network.parameters()) == 10_227


def test_at_stride_1_it_answers_as_earlier_versions_did():
    """Bit for bit: the forward pass of a U-Net, written out."""
    network = make_unet(make_encoder(EncoderSettings(2, 3, (4, 6), "residual", stride=1), 1), 5, 7)
    scan = torch.randn(2, 2, 9, 8, 11)

    def block(layers, x):
        y = F.leaky_relu(layers.norm1(layers.conv1(x)), 0.01)
        return F.leaky_relu(layers.norm2(layers.conv2(y)) + layers.shortcut(x), 0.01)

    fine = block(network.encoder.levels[0], scan)
    deep = block(network.encoder.levels[1], F.max_pool3d(fine, 2))
    up = F.pad(network.decoder.ups[0](deep), [0, 1, 0, 0, 0, 1], mode="replicate")
    want = network.last.conv(block(network.decoder.blocks[0], torch.cat([up, fine], 1)))
    assert torch.equal(network(scan), want)


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_at_stride_1_it_starts_as_earlier_versions_did(block):
    """One seed, the same weights: a plain block draws none for a shortcut that it lacks."""
    encoder = make_encoder(EncoderSettings(2, 3, (4, 6), block, "batch", stride=1), 5)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for level, (inputs, outputs) in zip(encoder.levels, [(2, 4), (4, 6)], strict=True):
            sizes = [(inputs, 3), (outputs, 3)] + [(inputs, 1)] * (block == "residual")
            drawn = [torch.nn.Conv3d(i, outputs, edge, bias=False).weight for i, edge in sizes]
            own = [each.weight for each in level.children() if isinstance(each, torch.nn.Conv3d)]
            assert all(torch.equal(a, b) for a, b in zip(own, drawn, strict=True))


# ---- stride 2: the scan's own voxels -------------------------------------------------------------


@pytest.mark.parametrize("space", [(8, 10), (9, 11), (8, 10, 12), (9, 11, 7)])
def test_what_refines_the_output_adds_nothing_at_the_start(space):
    dims = len(space)
    last = VoxelOutput(EncoderSettings(2, dims, (4, 6)), 5)
    features = torch.randn(2, 4, *[-(-edge // 2) for edge in space])
    logits = last(features, torch.randn(2, 2, *space))
    mode = {2: "bilinear", 3: "trilinear"}[dims]
    assert torch.equal(logits, F.interpolate(last.conv(features), space, mode=mode))


def test_it_learns_what_only_the_scan_shows():
    """A pattern of single voxels, of which features at half the resolution tell nothing."""
    last = VoxelOutput(EncoderSettings(1, 3, (4, 6)), 2)
    scan = torch.randn(1, 1, 8, 8, 8)
    features, target = torch.zeros(1, 4, 4, 4, 4), (scan[:, 0] > 0).long()
    optimizer = torch.optim.Adam(last.parameters(), 0.03)
    for _ in range(100):
        loss = F.cross_entropy(last(features, scan), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (last(features, scan).argmax(1) == target).float().mean() > 0.95


def test_at_stride_1_nothing_refines():
    last = VoxelOutput(EncoderSettings(2, 3, (4, 6), stride=1), 5)
    assert last.refine is None
    features = torch.randn(2, 4, 8, 8, 8)
    assert torch.equal(last(features, torch.randn(2, 2, 8, 8, 8)), last.conv(features))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["light", "unet"])
@pytest.mark.parametrize("space", [(8, 8, 8), (9, 11, 10), (9, 11)])
def test_the_head_of_a_task_answers_every_voxel(stride, kind, space):
    settings = EncoderSettings(2, len(space), (2, 3, 4), norm="group", stride=stride)
    scan = torch.randn(1, 2, *space)
    head = make_dense_head(kind, settings, 6, 3)
    assert head(UNetEncoder(settings)(scan), scan).shape == (1, 3, *space)


# ---- what an encoder cannot read -----------------------------------------------------------------


def test_the_paper_encoder_has_its_levels():
    encoder = UNetEncoder(EncoderSettings(filters=(32, 64, 128, 256, 512), block="residual"))
    assert encoder.width == 512
    assert len(encoder.levels) == 5


@pytest.mark.parametrize("shape", [(1, 2, 8, 8, 8), (1, 1, 8, 8)])
def test_a_wrong_input_names_both_shapes(shape):
    with pytest.raises(InputError, match=r"takes \(batch, 1, 3 space axes\), but got"):
        UNetEncoder(EncoderSettings(filters=(2, 3)))(torch.zeros(shape))


@pytest.mark.parametrize("stride", [1, 2])
def test_too_small_an_input_says_how_large_it_must_be(stride):
    encoder = UNetEncoder(EncoderSettings(filters=(2, 3, 4, 5), stride=stride))
    said = (
        r"^4 levels need edges of at least 8 voxels, but got \(8, 7, 8\); use fewer levels or "
        "larger patches$"
    )
    with pytest.raises(InputError, match=said):
        encoder(torch.zeros(1, 1, 8, 7, 8))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("learns", [True, False])
def test_a_deepest_level_of_one_voxel_is_refused_where_its_norm_would_leave_nothing(stride, learns):
    encoder = UNetEncoder(EncoderSettings(filters=(2, 3, 4, 5), stride=stride)).train(learns)
    said = (
        "^4 levels need more than one voxel in the deepest level, or instance norm leaves "
        r"nothing, but got \(8, 8, 8\); use fewer levels or larger patches or another norm$"
    )
    with pytest.raises(InputError, match=said):
        encoder(torch.zeros(2, 1, 8, 8, 8))
    assert encoder(torch.zeros(2, 1, 8, 8, 16))[-1].shape[2:] == (1, 1, 2)
    for norm in ("batch", "group", "none"):
        other = UNetEncoder(EncoderSettings(filters=(2, 3, 4, 5), norm=norm, stride=stride))
        assert other(torch.zeros(2, 1, 8, 8, 8))[-1].shape[2:] == (1, 1, 1)


@given(st.integers(2, 40), st.integers(1, 4), st.sampled_from([1, 2]))
@settings(max_examples=60, deadline=None)
def test_it_says_of_every_size_what_it_lacks(edge, levels, stride):
    """An encoder is refused what it could not halve, or norm; all else it reads."""
    levels = max(levels, stride)
    shape = EncoderSettings(1, 2, (1,) * levels, norm="none", stride=stride)
    normed = replace(shape, norm="instance")
    if edge < 2 ** (levels - 1):
        assert shape.lack((edge, 40)) == normed.lack((40, edge)) != ""
        return
    assert shape.lack((edge, edge)) == ""
    deepest = UNetEncoder(shape)(torch.zeros(1, 1, edge, edge))[-1].shape[-1]
    assert (normed.lack((edge, edge)) != "") == (deepest == 1)


def test_stride_2_needs_a_second_level():
    with pytest.raises(InputError, match=r"filters \(4,\) are one level, which stride 2 halves"):
        EncoderSettings(filters=(4,))
    assert EncoderSettings(filters=(4,), stride=1).min_edge == 1


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
    assert not torch.equal(first.last.conv.weight, other.last.conv.weight)
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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize(("old", "new"), [(2, 4), (1, 3), (2, 3)])
def test_adapted_channels_give_the_same_features_for_repeated_input(block, old, new, stride):
    encoder = make_encoder(EncoderSettings(old, 3, (4, 6), block, stride=stride), 0).eval()
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
    changed = make_encoder(EncoderSettings(2), filters=(4, 6), norm="group", stride=1)
    assert changed.settings == EncoderSettings(2, filters=(4, 6), norm="group", stride=1)


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
        ({"stride": 3}, "stride is 3, but must be one of 1 or 2"),
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
    assert torch.equal(unet.last.conv.weight, make_unet(encoder, 3, 7).last.conv.weight)
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

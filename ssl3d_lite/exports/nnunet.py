"""An encoder's weights for nnU-Net: its plain U-Net, with max-pooling between the stages.

nnU-Net halves by the stride of a stage's first convolution, ours by max-pooling, so in its own
``PlainConvUNet`` our weights would be those of another network. Its library knows max-pooling too:
:func:`max_pool_unet` is its plain U-Net with that, and plans may name it.

nnU-Net prepares scans in its own way, and not as the encoder's were.
"""

import io
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import Encoder, load_weights
from ssl3d_lite.models.settings import EncoderSettings

WEIGHTS, PLANS = "nnunet_weights.pth", "nnunet_architecture.json"


def max_pool_unet(
    input_channels: int,
    num_classes: int,
    n_conv_per_stage_decoder: Any,
    deep_supervision: bool = False,
    **shape: Any,
) -> nn.Module:
    """nnU-Net's ``PlainConvUNet``, whose stages begin with max-pooling in place of a stride."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from dynamic_network_architectures.building_blocks.plain_conv_encoder import PlainConvEncoder
    from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder

    decoder = n_conv_per_stage_decoder
    network = PlainConvUNet(
        input_channels,
        num_classes=num_classes,
        n_conv_per_stage_decoder=decoder,
        deep_supervision=deep_supervision,
        **shape,
    )
    network.encoder = PlainConvEncoder(input_channels, **shape, return_skips=True, pool="max")
    network.decoder = UNetDecoder(network.encoder, num_classes, decoder, deep_supervision)
    return network


def architecture(settings: EncoderSettings) -> dict[str, Any]:
    """The network as nnU-Net's plans describe it.

    Raises:
        InputError: its plain U-Net cannot have this shape; names all that differs.
    """
    wanted = {"network": "unet", "block": "plain", "stride": 1}
    misfits = [
        f"{name} {getattr(settings, name)}, not {value}"
        for name, value in wanted.items()
        if getattr(settings, name) != value
    ]
    if settings.norm not in ("instance", "batch"):
        misfits.append(f"norm {settings.norm}, not instance or batch")
    if misfits:
        raise InputError(
            f"nnU-Net's plain U-Net cannot have this encoder's shape: {'; '.join(misfits)}; "
            "pretrain one with --block plain --norm instance --encoder-stride 1"
        )
    levels, dims = len(settings.filters), settings.spatial_dims
    norm = {"instance": "InstanceNorm", "batch": "BatchNorm"}[str(settings.norm)]
    kind = {"instance": "instancenorm", "batch": "batchnorm"}[str(settings.norm)]
    return {
        "network_class_name": f"{__name__}.max_pool_unet",
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": list(settings.filters),
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [[3] * dims] * levels,
            "strides": [[1] * dims, *[[2] * dims] * (levels - 1)],
            "n_conv_per_stage": [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
            "conv_bias": False,
            "norm_op": f"torch.nn.modules.{kind}.{norm}{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"negative_slope": 0.01, "inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def network_of(plan: dict[str, Any], channels: int, classes: int) -> nn.Module:
    """The network that nnU-Net makes of an architecture.

    Raises:
        InputError: its library is not installed.
    """
    from pydoc import locate

    shape = dict(plan["arch_kwargs"])
    for name in plan["_kw_requires_import"]:
        shape[name] = shape[name] and locate(shape[name])
    try:
        return max_pool_unet(channels, classes, **shape)
    except ImportError:
        raise InputError(
            "nnU-Net's networks are in a package of their own: "
            "pip install dynamic-network-architectures"
        ) from None


def renamed_for_nnunet(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """An encoder's weights by nnU-Net's names: four of each, as its modules share their parts."""
    found = {}
    for name, weight in weights.items():
        _, level, layer, entry = name.split(".")  # levels.0.conv1.weight
        place, number = int(level != "0"), int(layer[-1]) - 1  # pooling comes first, but at the top
        stage = f"encoder.stages.{level}.{place}.convs.{number}"
        for part in (layer[:-1], f"all_modules.{int(layer.startswith('norm'))}"):
            found[f"{stage}.{part}.{entry}"] = weight
            found[f"decoder.{stage}.{part}.{entry}"] = weight
    return found


def nnunet_files(encoder: Encoder, classes: int = 2) -> tuple[bytes, dict[str, Any], float]:
    """What nnU-Net reads: weights, the architecture, and by how much its stages differ from ours.

    The decoder has its own weights as they start: nnU-Net asks for all of a network's.

    Raises:
        InputError: the encoder is of another shape, or nnU-Net's library is not installed.
    """
    plan = architecture(encoder.settings)
    network: Any = network_of(plan, encoder.settings.in_channels, classes).eval()
    own = {name: weight.cpu() for name, weight in encoder.state_dict().items()}
    renamed = renamed_for_nnunet(own)
    theirs = {n: w for n, w in network.state_dict().items() if "encoder." not in n}
    load_weights(network, {**theirs, **renamed})  # every key, or it is refused
    edge = max(32, 2 * encoder.settings.min_edge)
    scan = torch.randn(2, encoder.settings.in_channels, *[edge] * encoder.settings.spatial_dims)
    with torch.no_grad():
        pairs = zip(encoder.cpu().eval()(scan), network.encoder(scan), strict=True)
        largest = max(float((ours - other).abs().max()) for ours, other in pairs)
    if not largest <= 1e-4:
        raise InputError(f"nnU-Net's stages differ from the encoder's levels by {largest:.2g}")
    buffer = io.BytesIO()
    torch.save({"network_weights": network.state_dict()}, buffer)
    return buffer.getvalue(), plan, largest

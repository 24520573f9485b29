"""A network as a MONAI bundle: a graph, its preparation as MONAI's transforms, and what it is.

What the transforms do and ours do not, or the other way round, stands in the bundle's README. A
preparation that MONAI's transforms cannot do is refused.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ssl3d_lite.data.preparation import Intensity
from ssl3d_lite.errors import InputError

# The same as Intensity: statistics between two percentiles, values clipped far beyond them. A plain
# function and no Lambdad, which Invertd would want to undo.
_SCALED = (
    "(lambda x, v: (lambda low, high: (x.clamp(*map(torch.from_numpy, (2 * low - high, 2 * high - "
    "low))) - torch.from_numpy(np.nanmean(np.clip(v, low, high), (1, 2, 3), keepdims=True))) / "
    "torch.from_numpy(np.nanstd(np.clip(v, low, high), (1, 2, 3), keepdims=True)))"
    "(*np.nanpercentile(v, (0.5, 99.5), (1, 2, 3), keepdims=True)))"
)
READING = {"reader": "NibabelReader", "ensure_channel_first": True}  # one, whatever is installed
EXPRESSIONS = {
    "zscore": f"$lambda item: {{**item, 'image': {_SCALED}(item['image'], "
    "np.asarray(item['image'], float))}",
    "zscore-brain": f"$lambda item: {{**item, 'image': (item['image'] != 0) * {_SCALED}("
    "item['image'], np.where(np.asarray(item['image']) == 0, np.nan, item['image']))}",
}


def preprocessing(recipe: Mapping[str, Any]) -> list[dict[str, Any] | str]:
    """MONAI's transforms that do to a raw scan what a recipe's settings say.

    Raises:
        InputError: MONAI has no such transform.
    """
    fit, size, spacing = (recipe.get(name) for name in ("fit", "size", "spacing"))
    if size and fit == "resize":
        raise InputError(
            "MONAI has no transform that fits a whole scan into a size with isotropic voxels (fit "
            "resize); export the graph alone (--to torchscript or onnx)"
        )
    intensity = Intensity.parse(recipe["intensity"])
    steps: list[dict[str, Any] | str] = [
        {"_target_": "LoadImaged", "keys": "image", **READING},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
    ]
    if recipe.get("crop"):
        least = intensity.window[0] if intensity.kind == "window" else None
        inside = "$lambda x: x != 0" if least is None else f"$lambda x: x > {least:g}"
        crop = {"source_key": "image", "select_fn": inside, "allow_smaller": False}
        steps.append({"_target_": "CropForegroundd", "keys": "image", **crop})
    steps += [_scaling(intensity)]
    how: dict[str, Any]
    if spacing:
        how = {"pixdim": list(spacing), "mode": "bilinear"}  # scale_extent shifts coarser ones
        steps.append({"_target_": "Spacingd", "keys": "image", **how})
    if size and fit == "stretch":
        how = {"spatial_size": list(size), "mode": "trilinear", "anti_aliasing": True}
        steps.append({"_target_": "Resized", "keys": "image", **how})
    elif size:
        beyond = "constant" if recipe.get("crop") else "edge"
        how = {"spatial_size": list(size), "mode": beyond}
        steps.append({"_target_": "ResizeWithPadOrCropd", "keys": "image", **how})
    return [*steps, {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"}]


def _scaling(intensity: Intensity) -> dict[str, Any] | str:
    if intensity.kind == "window":
        low, high = intensity.window
        bounds = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0, "clip": True}
        return {"_target_": "ScaleIntensityRanged", "keys": "image", **bounds}
    if intensity.kind == "unit":
        return {"_target_": "ScaleIntensityd", "keys": "image", "channel_wise": True}
    return EXPRESSIONS[intensity.kind]


def inference_config(
    recipe: Mapping[str, Any],
    channels: Sequence[str],
    roi: Sequence[int],
    label_values: Sequence[int] | None,
) -> dict[str, Any]:
    """``configs/inference.json``: from the scans in a folder to maps of classes; of an encoder,
    whose ``label_values`` are None, to its features.

    A scan of several channels is a list of files, one for each, in their order.
    """
    one = "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.nii*'))]"
    several = (
        f"$[{{'image': [path.replace('_{channels[0]}.nii', '_' + c + '.nii') for c in @channels]}} "
        f"for path in sorted(glob.glob(@dataset_dir + '/*_{channels[0]}.nii*'))]"
    )
    config: dict[str, Any] = {
        "imports": ["$import glob", "$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/predictions'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "channels": list(channels),
        "data": one if len(channels) == 1 else several,
    }
    model = "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device).eval()"
    config |= {
        "network_def": model,
        "network": "$lambda scan: @network_def(scan.as_tensor() if hasattr(scan, 'as_tensor') else "
        "scan)" + ("" if label_values is None else "[0]"),
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing(recipe)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
    }
    if label_values is None:
        each = "@network(item['image'][None].to(@device))"
        return config | {"run": [f"$[{each} for item in @dataset]"]}
    sliding = {"roi_size": list(roi), "sw_batch_size": 4, "overlap": 0.5, "mode": "gaussian"}
    config["inferer"] = {"_target_": "SlidingWindowInferer", **sliding}
    config["postprocessing"] = {"_target_": "Compose", "transforms": _postprocessing(label_values)}
    logits = "@inferer(item['image'][None].to(@device), @network)[0]"
    config["run"] = [f"$[@postprocessing({{**item, 'pred': {logits}}}) for item in @dataset]"]
    return config


def _postprocessing(values: Sequence[int]) -> list[dict[str, Any]]:
    """Classes over the raw scan, with the labels' own values."""
    steps: list[dict[str, Any]] = [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": True,
            "to_tensor": True,
        },
    ]
    if list(values) != list(range(len(values))):
        named = {"orig_labels": list(range(len(values))), "target_labels": list(values)}
        steps.append({"_target_": "MapLabelValued", "keys": "pred", **named})
    saved = {"output_dir": "@output_dir", "output_postfix": "seg", "separate_folder": False}
    return [*steps, {"_target_": "SaveImaged", "keys": "pred", **saved}]


def metadata(
    about: str, channels: Sequence[str], shape: Sequence[int], outputs: Sequence[str]
) -> dict[str, Any]:
    """``configs/metadata.json``, as MONAI's model zoo has it."""
    image = _format("magnitude", channels, shape)
    found = _format("segmentation" if outputs else "features", outputs, shape)
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
        "0.8.1/meta_schema_20220324.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by ssl3d_lite"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "optional_packages_version": {"nibabel": version("nibabel")},
        "task": about,
        "description": about,
        "authors": "see the folder that it was exported from",
        "copyright": "see the data's licence",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": found}},
    }


def _format(kind: str, names: Sequence[str], shape: Sequence[int]) -> dict[str, Any]:
    """What stands in the channels of an input or an output; an encoder's features have no names."""
    return {
        "type": "image",
        "format": kind,
        "num_channels": max(1, len(names)),
        "spatial_shape": list(shape),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(number): name for number, name in enumerate(names)},
    }

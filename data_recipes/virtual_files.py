"""Virtual patients as the raw files of real data sets, which their recipes prepare unchanged.

=====================  ============================================================
function               layout
=====================  ============================================================
``write_hippocampus``  Medical Segmentation Decathlon, Task 4
``write_abdomens``     Medical Segmentation Decathlon, Task 7 (pancreas)
``write_heads``        BraTS 2018
``write_ukb_brains``   UK Biobank, fields 20252 (T1) and 20253 (T2-FLAIR)
``write_fundus``       APTOS 2019
``write_ukb_fundus``   UK Biobank, fields 21015 (left eye) and 21016 (right eye)
=====================  ============================================================

The same settings give the same bytes, and a run that was interrupted, or is repeated for more
cases, adds those that are missing.

All take ``folder``, which is made if need be; ``cases``, how many; ``seed``, 0 or more; and
``work``, who does it. They raise InputError if a setting is out of range, or if ``folder`` holds a
set that was made with other settings.
"""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from data_recipes.preparing.virtual_note import Files, claimed_set, write_missing
from data_recipes.virtual_patients.abdomen import SMALLEST_ABDOMEN, abdomen_case
from data_recipes.virtual_patients.anatomy import HIPPOCAMPUS, Region
from data_recipes.virtual_patients.brain import (
    MODALITIES,
    TEMPLATE,
    TEMPLATE_LICENCE,
    check_head,
    glioma_grade,
    head_case,
    hippocampus_case,
    unstripped,
)
from data_recipes.virtual_patients.fundus import SMALLEST_FUNDUS, draw_grade, fundus_case
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, write_csv, write_gzip, write_json
from ssl3d_lite.machine.parallel import Workforce

from .ukb_brain import MASK, MEMBERS

ALONE = Workforce()
FREE_LICENCE = "free to use and share: made by ssl3d_lite, from no patient"
FAST = 1  # level of compression: noise hardly compresses
REVISITS = 8  # every so many participants of UK Biobank came twice
FIRST_PARTICIPANT = 1000001
FIRST_UNLABELLED = 1_000_000  # index of the first case without a label: labelled ones may be added


# ---- Medical Segmentation Decathlon --------------------------------------------------------------


def write_hippocampus(
    folder: str | Path,
    cases: int = 200,
    seed: int = 0,
    region: Region = HIPPOCAMPUS,
    work: Workforce = ALONE,
) -> None:
    """Write :func:`hippocampus_case` 0, 1, ... as a task of the Decathlon: ``imagesTr/``,
    ``labelsTr/`` and, at last, ``dataset.json``. ``region`` is what is labelled."""
    folder = Path(folder)
    identity = {
        "name": f"Virtual{region.name.capitalize()}",
        "licence": TEMPLATE_LICENCE,
        "citation": TEMPLATE,
        "description": f"All subjects are warps of one template, and the labels of the "
        f"{region.name} are geometric: easier, and more alike, than real scans.",
    }
    settings = {"set": f"virtual-{region.name}", "seed": seed, "region": asdict(region)}
    with claimed_set(folder, cases, settings, identity):
        names = [f"{region.name}_{number:04d}.nii.gz" for number in range(1, cases + 1)]
        write = partial(_write_hippocampus, seed, region)
        _write_task(folder, write, names, [], "MRI", region.labels, identity, work)


def _write_hippocampus(seed: int, region: Region, index: int, files: Files) -> None:
    image, label, affine = hippocampus_case(seed, index, region)
    _write_volumes({"image": image, "label": label}, affine, files)


def write_abdomens(
    folder: str | Path,
    cases: int,
    unlabelled: int = 0,
    seed: int = 0,
    edge: int | None = None,
    work: Workforce = ALONE,
) -> None:
    """Write :func:`abdomen_case` 0, 1, ... as the Decathlon's pancreas task: ``imagesTr/``,
    ``labelsTr/``, ``imagesTs/`` and, at last, ``dataset.json``.

    Args:
        unlabelled: how many more without a label, in ``imagesTs/``.
        edge: as :func:`abdomen_case` takes it.
    """
    folder = Path(folder)
    identity = {
        "name": "VirtualPancreas",
        "licence": FREE_LICENCE,
        "citation": "ssl3d_lite",
        "description": "All abdomens are procedural, and their labels geometric: easier, and more "
        "alike, than real scans.",
    }
    check_edge(edge, SMALLEST_ABDOMEN)
    settings = {"set": "virtual-abdomen", "seed": seed, "edge": edge}
    with claimed_set(folder, cases, settings, identity, unlabelled):
        labelled = [f"pancreas_{number:03d}.nii.gz" for number in range(1, cases + 1)]
        others = [f"pancreas_test_{number:03d}.nii.gz" for number in range(1, unlabelled + 1)]
        write = partial(_write_abdomen, seed, edge, cases)
        labels = ("pancreas", "cancer")
        _write_task(folder, write, labelled, others, "CT", labels, identity, work)


def _write_abdomen(seed: int, edge: int | None, cases: int, index: int, files: Files) -> None:
    image, label, affine = abdomen_case(seed, _index(index, cases), edge)
    _write_volumes({"image": image, "label": label}, affine, files)


def _write_task(
    folder: Path,
    write: Callable[[int, Files], None],
    labelled: Sequence[str],
    unlabelled: Sequence[str],
    modality: str,
    labels: Sequence[str],
    identity: Mapping[str, str],
    work: Workforce,
) -> None:
    """Write the scans of a Decathlon task, by file name, and its description."""
    files = [{"image": folder / "imagesTr" / n, "label": folder / "labelsTr" / n} for n in labelled]
    files += [{"image": folder / "imagesTs" / name} for name in unlabelled]
    write_missing(write, files, work, identity["name"])
    record = {
        "name": identity["name"],
        "description": identity["description"],
        "reference": identity["citation"],
        "licence": identity["licence"],
        "release": "1.0",
        "tensorImageSize": "3D",
        "modality": {"0": modality},
        "labels": {str(i): name for i, name in enumerate(("background", *labels))},
        "numTraining": len(labelled),
        "numTest": len(unlabelled),
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in labelled],
        "test": [f"./imagesTs/{name}" for name in unlabelled],
    }
    write_json(folder / "dataset.json", record)


# ---- BraTS and UK Biobank brains -----------------------------------------------------------------

_HEADS = {
    "name": "VirtualBrain",
    "licence": TEMPLATE_LICENCE,
    "citation": TEMPLATE,
    "description": "All heads are warps of one template, and their tumours are procedural: easier, "
    "and more alike, than real scans.",
}


def write_heads(
    folder: str | Path,
    cases: int,
    seed: int = 0,
    edge: int | None = None,
    tumour: bool = True,
    modalities: Sequence[str] = MODALITIES,
    work: Workforce = ALONE,
) -> None:
    """Write :func:`head_case` 0, 1, ... as the raw files of BraTS 2018.

    ``HGG/Brats18_VIRTUAL_0001_1/Brats18_VIRTUAL_0001_1_t1.nii.gz``, and so on for each modality
    and ``seg``; in ``LGG/`` where the glioma is of low grade; in ``healthy/``, and without
    ``seg``, where there is none.

    ``edge``, ``tumour`` and ``modalities`` are as :func:`head_case` takes them.
    """
    folder = Path(folder)
    check_head(edge, modalities)
    settings = {"edge": edge, "tumour": tumour, "modalities": sorted(modalities)}
    with claimed_set(folder, cases, {"set": "virtual-brain", "seed": seed, **settings}, _HEADS):
        kinds = (*modalities, "seg") if tumour else modalities
        files = []
        for index in range(cases):
            name = f"Brats18_VIRTUAL_{index + 1:04d}_1"
            home = folder / (glioma_grade(index) if tumour else "healthy") / name
            files.append({kind: home / f"{name}_{kind}.nii.gz" for kind in kinds})
        write = partial(_write_head, seed, edge, tumour, tuple(modalities))
        write_missing(write, files, work, "virtual heads")


def _write_head(
    seed: int, edge: int | None, tumour: bool, modalities: Sequence[str], index: int, files: Files
) -> None:
    images, label, affine = head_case(seed, index, edge, tumour, modalities)
    _write_volumes({**images, "seg": label}, affine, files)


def write_ukb_brains(
    folder: str | Path,
    cases: int,
    seed: int = 0,
    edge: int | None = None,
    work: Workforce = ALONE,
) -> None:
    """Write healthy heads as UK Biobank's archives, ``1000001_20252_2_0.zip`` and so on.

    What is about the brain is there again, with the mask that removes it. Every eighth participant
    came twice. ``edge`` is as :func:`head_case` takes it.
    """
    folder = Path(folder)
    check_head(edge, MODALITIES)
    identity = _HEADS | {
        "name": "VirtualUkbBrain",
        "description": "All heads are warps of one template: more alike than real ones.",
    }
    with claimed_set(
        folder, cases, {"set": "virtual-ukb-brain", "seed": seed, "edge": edge}, identity
    ):
        visits = [
            (who, visit) for who in range(cases) for visit in range(1 + (who % REVISITS == 0))
        ]
        files = []
        for who, visit in visits:
            name = f"{FIRST_PARTICIPANT + who}_{{}}_{2 + visit}_0.zip"
            files.append({field: folder / name.format(field) for field in ("20252", "20253")})
        write_missing(
            partial(_write_ukb_brain, seed, edge, visits), files, work, "virtual UK Biobank"
        )


def _write_ukb_brain(
    seed: int, edge: int | None, visits: Sequence[tuple[int, int]], index: int, files: Files
) -> None:
    who, visit = visits[index]
    images, _, affine = head_case(seed, who, edge, False, ("t1", "flair"), visit)
    brain = images["t1"] > 0
    whole = {
        name: unstripped(seed, who, image, brain, affine[2, 2]) for name, image in images.items()
    }
    mask = brain.astype(np.uint8)
    _write_zip(files["20252"], {MEMBERS["t1"]: whole["t1"], MASK: mask}, affine)
    _write_zip(files["20253"], {MEMBERS["t2-flair"]: whole["flair"]}, affine)


# ---- photographs of the retina -------------------------------------------------------------------

_RETINAS = {
    "name": "VirtualFundus",
    "licence": FREE_LICENCE,
    "citation": "ssl3d_lite",
    "description": "All eyes are procedural, and so are their lesions: easier, and more alike, "
    "than real photographs.",
}


def write_fundus(
    folder: str | Path,
    cases: int,
    unlabelled: int = 0,
    seed: int = 0,
    edge: int = 384,
    work: Workforce = ALONE,
) -> None:
    """Write :func:`fundus_case` 0, 1, ... as APTOS 2019, right and left eyes by turns:
    ``train_images/``, ``test_images/`` and, at last, ``train.csv`` and ``test.csv``.

    Args:
        unlabelled: how many more without a grade, in ``test_images/``.
        edge: height of the photographs in pixels.
    """
    folder = Path(folder)
    check_edge(edge, SMALLEST_FUNDUS)
    settings = {"set": "virtual-fundus", "seed": seed, "edge": edge}
    with claimed_set(folder, cases, settings, _RETINAS, unlabelled):
        names = [f"virtual_{number:05d}" for number in range(1, cases + 1)]
        others = [f"virtual_test_{number:05d}" for number in range(1, unlabelled + 1)]
        files = [{"png": folder / "train_images" / f"{name}.png"} for name in names]
        files += [{"png": folder / "test_images" / f"{name}.png"} for name in others]
        write_missing(partial(_write_fundus, seed, edge, cases), files, work, "virtual fundus")
        graded = [{"id_code": n, "diagnosis": draw_grade(seed, i)} for i, n in enumerate(names)]
        write_csv(folder / "train.csv", graded)
        if unlabelled:
            write_csv(folder / "test.csv", [{"id_code": name} for name in others])


def _write_fundus(seed: int, edge: int, cases: int, index: int, files: Files) -> None:
    index = _index(index, cases)
    eye = ("right", "left")[index % 2]
    photograph, _ = fundus_case(seed, index, draw_grade(seed, index), edge, eye)
    _write_png(files["png"], photograph)


def write_ukb_fundus(
    folder: str | Path, cases: int, seed: int = 0, edge: int = 384, work: Workforce = ALONE
) -> None:
    """Write both eyes of each participant as UK Biobank's photographs, ``1000001_21015_0_0.png``,
    ``edge`` pixels high."""
    folder = Path(folder)
    check_edge(edge, SMALLEST_FUNDUS)
    identity = _RETINAS | {"name": "VirtualUkbFundus"}
    with claimed_set(
        folder, cases, {"set": "virtual-ukb-fundus", "seed": seed, "edge": edge}, identity
    ):
        fields = {"left": "21015", "right": "21016"}
        files = [
            {
                eye: folder / f"{FIRST_PARTICIPANT + who}_{field}_0_0.png"
                for eye, field in fields.items()
            }
            for who in range(cases)
        ]
        write_missing(
            partial(_write_ukb_fundus, seed, edge), files, work, "virtual UK Biobank eyes"
        )


def _write_ukb_fundus(seed: int, edge: int, index: int, files: Files) -> None:
    for eye, path in files.items():
        photograph, _ = fundus_case(seed, index, draw_grade(seed, index), edge, eye)
        _write_png(path, photograph)


# ---- files ---------------------------------------------------------------------------------------


def check_edge(edge: int | None, smallest: int) -> None:
    """Refuse an edge (in voxels or pixels; None is the data set's own) that is too small."""
    if edge is not None and edge < smallest:
        raise InputError(f"edge must be at least {smallest}, not {edge}")


def _index(place: int, cases: int) -> int:
    """Which patient stands at a place in the list of ``cases`` labelled ones and the others."""
    return place if place < cases else FIRST_UNLABELLED + place - cases


def _nifti(values: np.ndarray, affine: np.ndarray) -> bytes:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    return image.to_bytes()


def _write_volumes(volumes: Mapping[str, np.ndarray], affine: np.ndarray, files: Files) -> None:
    for kind, path in files.items():
        write_gzip(path, _nifti(volumes[kind], affine), level=FAST)


def _write_zip(path: Path, members: Mapping[str, np.ndarray], affine: np.ndarray) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in members.items():
            content = gzip.compress(_nifti(values, affine), FAST, mtime=0)
            archive.writestr(zipfile.ZipInfo(name), content)  # which bears no time of its own
    atomic_write(path, lambda file: file.write(buffer.getbuffer()))


def _write_png(path: Path, photograph: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "png", compress_level=FAST)
    atomic_write(path, lambda file: file.write(buffer.getbuffer()))

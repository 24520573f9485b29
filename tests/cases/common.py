"""Helpers of the acceptance scripts: synthetic scans, running `ssl3d` as a user does, one verdict.

Each script is run by itself: `python NN_name.py`, with `ssl3d` on the PATH. It prints one line,
`ok` or `FAULT: what was seen`, and ends with 0 or 1. A traceback that the product prints is always
a fault. Only `Cohort` below knows how a prepared cohort lies on disk: if that changes, mend it there.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np

warnings.simplefilter("ignore")
FAULTS: list[str] = []


class Stop(Exception):  # noqa: N818  (it is no error, but an end)
    """No use in going on."""


def expect(condition, what: str) -> bool:
    """Note a fault and go on."""
    if not condition:
        FAULTS.append(" ".join(str(what).split()))
    return bool(condition)


def check(test):
    """Run `test(folder)` in a fresh folder, print the verdict, end the process."""
    if test.__module__ != "__main__":
        return test
    folder = Path(tempfile.mkdtemp(prefix="case-")).resolve()
    os.chmod(folder, 0o755)
    try:
        test(folder)
    except SystemExit as reason:
        print(f"FAULT: not run: {reason}")
        os._exit(2)
    except Stop as reason:
        FAULTS.append(" ".join(str(reason).split()))
    except Exception as reason:  # an error of the script itself must never pass as ok
        traceback.print_exc()
        FAULTS.append(f"the script failed: {reason!r}")
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    text = "; ".join(dict.fromkeys(FAULTS)).replace(str(folder), "…")
    print(f"FAULT: {text[:900]}" if FAULTS else "ok")
    sys.stdout.flush()
    os._exit(1 if FAULTS else 0)


# ---- running the product -------------------------------------------------------------------------


class Result:
    def __init__(self, arguments, rc, out, err):
        self.command = "ssl3d " + " ".join(arguments[:2])
        self.rc, self.out, self.err = rc, out, err
        text = re.sub(r"[╭╮╰╯│─━┃\r\n]+", " ", out + " " + err)
        for argument in arguments:  # a folder that is only repeated says nothing
            if argument.startswith(os.sep):
                text = text.replace(argument, os.path.basename(argument))
        self.text = " ".join(text.split())
        self.refused = rc not in (0, None) and bool(self.text) and not self.traceback

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.out + self.err

    @property
    def last(self) -> str:
        lines = list((self.err or self.out).replace("\r", "\n").splitlines())
        lines = [
            line for line in lines if line.strip() and not re.search(r"%\|.*\[", line)
        ]  # no progress bars
        return lines[-1].strip()[:160] if lines else "nothing"

    def said(self, *words) -> bool:
        """True if one of these stands in what was printed, in either case."""
        return any(str(word).lower() in self.text.lower() for word in words)


def environment(**more) -> dict[str, str]:
    return dict(os.environ, OMP_NUM_THREADS="1", TQDM_DISABLE="1", COLUMNS="400", **more)


def program() -> str:
    path = shutil.which("ssl3d")
    if not path:
        sys.exit("ssl3d is not on the PATH")
    return path


def ssl3d(*arguments, timeout=300, prefix=(), may_trace=False, **more) -> Result:
    """Run `ssl3d ARGUMENTS`; a traceback is noted as a fault, a hang ends the test."""
    arguments = [str(argument) for argument in arguments]
    command = [*prefix, program(), *arguments]
    more.setdefault("env", environment())
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **more,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        raise Stop(f"ssl3d {' '.join(arguments[:2])} hung for {timeout} s") from None
    result = Result(
        arguments, process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )
    if not may_trace:
        expect(not result.traceback, f"{result.command}: traceback ({result.last})")
    return result


def done(*arguments, allow=(0,), **more) -> Result:
    """Run what has to succeed."""
    result = ssl3d(*arguments, **more)
    if result.rc not in allow:
        raise Stop(f"{result.command} ended with {result.rc}: {result.last}")
    return result


def without_root() -> tuple[str, ...]:
    """What stands before a command so that permissions hold for it, though root runs the script.

    Root goes past every permission; without these capabilities it is its files' owner and no more.
    It stays root, since another user could not read an environment in a folder of root's own.
    """
    if os.geteuid() != 0:
        return ()
    past = "-dac_override,-dac_read_search,-fowner"
    prefix = ("setpriv", f"--bounding-set={past}", f"--inh-caps={past}")
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        read = subprocess.run([*prefix, "cat", file.name], capture_output=True, text=True)
    if "Permission denied" not in read.stderr:
        sys.exit(
            f"no ordinary user: setpriv does not take root's rights away ({read.stderr.strip()})"
        )
    return prefix


TINY = ("--filters", "4", "8")  # a network that takes no time
ONE = ("--workers", "1")


def train(cohort, out, steps=10, *more) -> Result:
    return done(
        "finetune",
        "--cohort",
        cohort,
        "--encoder",
        "random",
        "--steps",
        steps,
        *TINY,
        "--out",
        out,
        *more,
    )


def learn(cohort, out, steps=100, *more) -> Result:
    """A small network that really learns blobs."""
    wide = ("--filters", "8", "16", "--learning-rate", "0.004")
    return done(
        "finetune",
        "--cohort",
        cohort,
        "--encoder",
        "random",
        "--steps",
        steps,
        *wide,
        "--out",
        out,
        *more,
    )


def numbers(result: Result) -> list[str]:
    """The scores that were printed, in order; two runs that do the same print the same."""
    return re.findall(r"(?<![\d.])\d{1,3}\.\d{3}(?!\d)", result.out)


# ---- files ---------------------------------------------------------------------------------------


def digest(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def hashes(folder) -> dict[str, str]:
    """Every file below a folder with its hash."""
    folder = Path(folder)
    return {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def unchanged(folder, before: dict[str, str], what: str) -> bool:
    """No file that was there is gone or changed; new ones may be there."""
    after = hashes(folder)
    gone = [name for name in before if name not in after]
    changed = [name for name in before if name in after and after[name] != before[name]]
    bad = gone + changed
    return expect(
        not bad, f"{what}: {len(changed)} files changed, {len(gone)} deleted, e.g. {bad[:1]}"
    )


def data() -> Path:
    """The folder of real scans, which holds msd/Task04_Hippocampus."""
    places = [Path(os.environ["SSL3D_DATA"])] if os.environ.get("SSL3D_DATA") else []
    places += [Path(os.environ["SSL3D_SHARED"]) / "data"] if os.environ.get("SSL3D_SHARED") else []
    here = Path(__file__).resolve()
    near = (here.parents[1], here.parents[2], Path.cwd().parent / "shared", Path.cwd() / "shared")
    for place in [*places, *(folder / "data" for folder in near)]:
        if (place / "msd").is_dir():
            return place
    sys.exit("no real scans: set SSL3D_DATA to the folder that holds msd/Task04_Hippocampus")


def hippocampus(folder: Path, cases: int) -> Path:
    """A small Decathlon task of real scans, as it is downloaded."""
    source = data() / "msd" / "Task04_Hippocampus"
    about = json.loads((source / "dataset.json").read_text())
    names = [path.name for path in sorted((source / "imagesTr").glob("h*.nii.gz"))[:cases]]
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(source / part / name, folder / part / name)
    about["training"] = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names]
    about["test"], about["numTraining"], about["numTest"] = [], len(names), 0
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


# ---- synthetic scans -----------------------------------------------------------------------------


def blob(shape=(16, 16, 16), seed=0):
    """A scan with a bright body off the centre, and its map of 0 and 1."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij"))
    centre, radius = random.uniform(0.3, 0.7, 3), np.array([0.25, 0.18, 0.12])
    far = (((grid - centre[:, None, None, None]) / radius[:, None, None, None]) ** 2).sum(0)
    label = (far < 1).astype(np.uint8)
    scan = (
        100 + 60 * grid[0] + 30 * grid[1] - 40 * grid[2] + 120 * label + random.normal(0, 5, shape)
    )
    return scan.astype(np.float32), label


def save(path, data, affine=None, edit=None, kind=nib.Nifti1Image) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(np.asarray(data), np.eye(4) if affine is None else affine)
    if edit:
        edit(image)
    nib.save(image, path)
    return path


def blobs(raw: Path, labels: Path | None, cases: int, shape=(16, 16, 16), affine=None, first=0):
    """Scans p00, p01, … and their maps."""
    for i in range(cases):
        scan, label = blob(shape, seed=first + i)
        save(raw / f"p{i:02d}.nii.gz", scan, affine)
        if labels:
            save(labels / f"p{i:02d}.nii.gz", label, affine)


def values(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def overlap(a, b) -> float:
    """Dice of two masks."""
    a, b = a > 0, b > 0
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def dice(predictions, labels) -> float:
    """Mean Dice of the foreground, over all predictions in a folder."""
    files = sorted(Path(predictions).glob("*.nii*"))
    if not files:
        raise Stop(f"no prediction in {Path(predictions).name}")
    return float(np.mean([overlap(values(f), values(Path(labels) / f.name)) for f in files]))


# ---- a prepared cohort: the only part that knows how it lies on disk --------------------------------


class Cohort:
    def __init__(self, folder):
        self.folder = Path(folder)
        about = json.loads((self.folder / "cohort.json").read_text())
        self.cases = {case["id"]: case for case in about["cases"]}
        self.rejected = {row["case"]: row["reason"] for row in about.get("rejected", [])}
        self.label_values, self.label_names = about["label_values"], about["label_names"]

    def labelled(self) -> list[str]:
        return [name for name, case in self.cases.items() if case["labelled"]]

    def fold(self, name):
        return self.cases[name]["fold"]

    def patient(self, name):
        return self.cases[name]["patient"]

    def affine(self, name) -> np.ndarray:
        return np.array(self.cases[name]["affine"], float)

    def image(self, name, channel=0) -> np.ndarray:
        return np.load(self.folder / "images" / f"{name}.npy")[channel].astype(float)

    def label(self, name) -> np.ndarray:
        """The prepared map, in the values of the raw one where classes are numbered."""
        return np.load(self.folder / "labels" / f"{name}.npy")


# ---- DICOM -----------------------------------------------------------------------------------------


def dicom_series(
    folder: Path,
    volume,
    patient="PAT1",
    study=None,
    series=None,
    edit=None,
    name="{:03d}.dcm",
    preamble=True,
):
    """A CT series with one file a slice; `volume` is x, y, z in LPS, 16 bit without sign."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    study, series = study or generate_uid(), series or generate_uid()
    frame = generate_uid()
    for k in range(volume.shape[2]):
        data, meta = Dataset(), FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = (
            CTImageStorage,
            ExplicitVRLittleEndian,
        )
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
        data.file_meta, data.SOPClassUID, data.Modality = meta, CTImageStorage, "CT"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = (
            series,
            study,
            frame,
        )
        data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = (
            patient,
            "A^B",
            "",
            "O",
        )
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = (
            "20200101",
            "101010",
            "1",
            "",
        )
        data.ReferringPhysicianName, data.Manufacturer, data.SeriesNumber = "", "x", 1
        data.InstanceNumber = k + 1
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2 * k], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = ["1.5", "1.2"], "2"
        data.Columns, data.Rows = volume.shape[:2]
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
        data.PhotometricInterpretation, data.RescaleSlope, data.RescaleIntercept = (
            "MONOCHROME2",
            "1",
            "0",
        )
        data.PixelData = volume[:, :, k].T.astype("<u2").tobytes()
        if edit:
            edit(data, k)
        pydicom.dcmwrite(folder / name.format(k), data, enforce_file_format=preamble)


DICOM_AFFINE = np.diag([-1.2, -1.5, 2.0, 1.0])  # of such a series, in RAS, before any reordering

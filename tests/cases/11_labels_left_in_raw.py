"""A user gives the whole data set (imagesTr, labelsTr, dataset.json with the newer keys) or forgets --labels.

(a) `prepare folder --raw DATASET` without --labels: maps of small whole numbers in a folder named labels… (or
files named …_seg beside the scans) must not become scans silently. Right: leave them out, refuse, or warn;
what is printed names the folder or the files. (b) dataset.json with channel_names and labels {name: number}:
read it, or refuse in words that name the keys wanted; no Python error names. (c) Scans c0_0000, maps c0: no
labels found must be said, with what to do (--channels 0000).
"""

import json

from common import ONE, Cohort, blob, check, done, expect, save, ssl3d


@check
def main(w):
    data = w / "set"
    for i in range(6):
        scan, label = blob((12, 12, 12), seed=i)
        save(data / f"imagesTr/c{i}_0000.nii.gz", scan)
        save(data / f"labelsTr/c{i}.nii.gz", label)
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "organ": 1},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (data / "dataset.json").write_text(json.dumps(about))
    result = ssl3d("prepare", "folder", "--raw", data, "--out", w / "a", *ONE)
    if result.rc == 0:
        taken = [name for name in Cohort(w / "a").cases if "labels" in name or name in ("c0", "c1")]
        expect(
            not taken or result.said("labelstr"),
            f"{len(taken)} label maps became scans, nothing said: {taken[:1]}",
        )
    for i in range(3):
        scan, label = blob((12, 12, 12), seed=i)
        save(w / f"beside/s{i}/t1.nii.gz", scan)
        save(w / f"beside/s{i}/t1_seg.nii.gz", label)
    result = ssl3d("prepare", "folder", "--raw", w / "beside", "--out", w / "e", *ONE)
    if result.rc == 0:
        taken = [name for name in Cohort(w / "e").cases if "seg" in name]
        expect(
            not taken or result.said("seg"),
            f"{len(taken)} maps named _seg became scans, nothing said",
        )
    result = ssl3d(
        "prepare", "msd", "--raw", data, "--out", w / "b", *ONE, "--intensity", "window:0,300"
    )
    if result.rc == 0:
        expect(len(Cohort(w / "b").labelled()) == 6, "newer dataset.json: not 6 labelled cases")
    else:
        expect(
            "error" not in result.text.lower().replace("value error ", ""),
            f"newer dataset.json: unclear message: {result.last}",
        )
    result = ssl3d(
        "prepare",
        "folder",
        "--raw",
        data / "imagesTr",
        "--labels",
        data / "labelsTr",
        "--out",
        w / "c",
        *ONE,
    )
    if not (result.rc == 0 and len(Cohort(w / "c").labelled()) == 6):
        expect(
            result.said("--channels", "channels 0000", "0000"),
            f"c0 and c0_0000 do not meet, no hint: {result.last}",
        )
    result = done(
        "prepare",
        "folder",
        "--raw",
        data / "imagesTr",
        "--labels",
        data / "labelsTr",
        "--channels",
        "0000",
        "--out",
        w / "d",
        *ONE,
    )
    expect(len(Cohort(w / "d").labelled()) == 6, "--channels 0000: not 6 labelled cases")

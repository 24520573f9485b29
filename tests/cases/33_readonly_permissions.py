"""An ordinary user has read-only raw scans, one unreadable file, one locked folder, and an --out that cannot be
written.

The unreadable file is rejected by name and the others go on; a locked folder is told (its scans would be
missing); an --out that cannot be written is refused at once with its name. No traceback. (Run as root, the
command is not let past permissions.)
"""

from common import ONE, Cohort, blob, check, done, environment, expect, save, ssl3d, without_root


@check
def main(w):
    user = without_root()
    more = {"prefix": user, "env": environment(HOME=str(w / "home"))}
    (w / "home").mkdir()
    (w / "home").chmod(0o777)
    for i in range(5):
        save(w / f"raw/p{i}.nii.gz", blob((8, 8, 8), seed=i)[0])
    save(w / "raw/locked/q.nii.gz", blob((8, 8, 8), seed=9)[0])
    done("prepare", "folder", "--raw", w / "raw", "--out", w / "mine", *ONE)
    for path, mode in {
        "raw/p1.nii.gz": 0,
        "raw/locked": 0,
        "raw": 0o555,
        "out": 0o777,
        "kept": 0o555,
    }.items():
        (w / path).mkdir(exist_ok=True) if path in ("out", "kept") else None
        (w / path).chmod(mode)
    result = ssl3d("prepare", "folder", "--raw", w / "raw", "--out", w / "out/c", *ONE, **more)
    expect(result.said("p1"), f"an unreadable file is not named: {result.last}")
    expect(result.traceback or len(Cohort(w / "out/c").cases) == 4, "the others did not go on")
    expect(result.said("locked"), "a locked folder with a scan: nothing said")
    (w / "raw/p1.nii.gz").chmod(0o644)
    result = ssl3d("prepare", "folder", "--raw", w / "raw", "--out", w / "kept/c", *ONE, **more)
    expect(
        result.rc != 0 and result.said("kept", "permission"),
        f"--out not writable: exit {result.rc}, {result.last}",
    )
    result = ssl3d("show", w / "mine", **more)
    expect(result.rc == 0 or result.said("permission", "write"), f"show: {result.last}")
    result = ssl3d("verify", w / "mine", *ONE, **more)
    expect(result.rc == 0, f"verify: {result.last}")

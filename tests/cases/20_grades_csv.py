"""train.csv of graded photographs as other programs write it: 2.0 for 2, names with an extension, lost zeros,
other column names, a grade 5.

Grades are read right or refused with the file, the case and the value; a case is never given another grade
and never left out silently. A second row for a picture is refused. If all have one grade, `prepare` or a
training says that there is nothing to tell apart.
"""

from common import ONE, Cohort, check, expect, ssl3d
from PIL import Image, ImageDraw


@check
def main(w):
    (w / "train_images").mkdir()
    for i in range(10):
        picture = Image.new("RGB", (80, 80))
        ImageDraw.Draw(picture).ellipse([5, 5, 75, 75], fill=(150 + i * 5, 60 + i, 30))
        picture.save(w / f"train_images/{i:04d}.png")

    def go(name, head, rows):
        (w / "train.csv").write_text("\n".join([head, *rows]) + "\n")
        result = ssl3d("prepare", "aptos", "--raw", w, "--edge", 16, "--out", w / name, *ONE)
        if result.rc in (0, 1) and not result.traceback:
            got = {k: v["grade"] for k, v in Cohort(w / name).cases.items()}
            bad = [k for k, v in got.items() if v != want(name, int(k))]
            expect(not bad, f"{name}: another grade for {bad[:3]}")
            lost = [f"{i:04d}" for i in range(10) if f"{i:04d}" not in got]
            expect(all(result.said(k) for k in lost[:3]), f"{name}: {lost} left out, nothing said")
        else:
            expect(
                result.said("train.csv", "grade", "column", "picture"),
                f"{name}: unclear: {result.last}",
            )
        return result

    def want(name, i):
        return 2 if name == "one" else i % 5 + (name == "five")

    head = "id_code,diagnosis"
    expect(go("plain", head, [f"{i:04d},{i % 5}" for i in range(10)]).rc == 0, "a plain table")
    go("floats", head, [f"{i:04d},{i % 5}.0" for i in range(10)])
    go("ending", head, [f"{i:04d}.png,{i % 5}" for i in range(10)])
    go("zeros", head, [f"{i},{i % 5}" for i in range(10)])
    go("other", "image,level", [f"{i:04d},{i % 5}" for i in range(10)])
    go("empty", head, [f"{i:04d},{'' if i > 7 else i % 5}" for i in range(10)])
    go("five", head, [f"{i:04d},{i % 5 + 1}" for i in range(10)])
    result = go("twice", head, [f"{i:04d},{i % 5}" for i in range(10)] + ["0003,4"])
    expect(result.rc != 0 and result.said("0003"), "two rows for 0003")

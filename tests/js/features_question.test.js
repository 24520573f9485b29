import assert from "node:assert/strict";
import { test } from "node:test";
import { isCutOff, judged, lengthOf } from "../../ssl3d_lite/show/browser/features_question.js";

// Two patients of eight voxels in a row, 2 mm each, and a crop of the first from voxel 2 on.
function makeView(asked, unit = "mm") {
  const values = { _unit: unit, _marks: ["green", "orange"], frame: 0 };
  const patient = (labels) => {
    const places = labels.flatMap((label, x) => (label ? [x, 0, 0] : []));
    const byLabel = new Map([[1, places]]);
    return { labels, byLabel, shape: [8, 1, 1], spacing: [2, 2, 2] };
  };
  return {
    model: { get: (name) => values[name] },
    patients: [patient([0, 1, 1, 1, 0, 0, 0, 0]), patient([0, 0, 0, 0, 1, 1, 0, 0])],
    frames: [{ corner: [2, 0, 0], size: [6, 1, 1] }],
    classes: [{ name: "Organ" }],
    near: { label: 2, place: 3.5 },
    asked: { patient: 0, voxel: [asked, 0, 0] },
  };
}

test("a ring is right nearer than a voxel's edge to the label, and wrong from there on", () => {
  const ring = (x) => judged(makeView(2), 1, [x, 0, 0]).words;
  assert.equal(ring(4), "✓ Organ");
  assert.equal(ring(3.1), "✓ Organ");
  assert.equal(ring(3), "✗ 2 mm from Organ");
  assert.equal(ring(0), "✗ 8 mm from Organ");
});

test("in the crop it is right up to a cell's diagonal from the place itself", () => {
  const ring = (x) => judged(makeView(5), 2, [x, 0, 0]).words;
  assert.equal(ring(5), "✓ the same place");
  assert.equal(ring(3.25), "✓ the same place");
  assert.equal(ring(3.2), "✗ 3.6 mm off");
});

test("where no label is asked, nothing is right or wrong", () => {
  const { words, colour } = judged(makeView(7), 1, [4, 0, 0]);
  assert.deepEqual([words, colour], ["no label there", "#ffffff"]);
});

test("a place of the first patient may lie outside the crop, and no other place does", () => {
  assert.equal(isCutOff(makeView(1), 2), true);
  assert.equal(isCutOff(makeView(2), 2), false);
  assert.equal(isCutOff(makeView(1), 1), false); // a patient is not cut
  const other = { ...makeView(1), asked: { patient: 1, voxel: [1, 0, 0] } };
  assert.equal(isCutOff(other, 2), false);
});

test("small lengths have a tenth, so that they can be compared with what is near enough", () => {
  const told = (length, unit) => lengthOf(makeView(0, unit), length);
  assert.deepEqual(
    [1.44, 3, 9.96, 14.5].map((length) => told(length)),
    ["1.4 mm", "3 mm", "10 mm", "15 mm"],
  );
  assert.equal(told(1.44, ""), "1.4");
});

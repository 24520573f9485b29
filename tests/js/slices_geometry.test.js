import assert from "node:assert/strict";
import { test } from "node:test";
import {
  badgesOf,
  borderAt,
  boxAt,
  columnsLeft,
  cut,
  EDGES,
  indexOf,
  isInside,
  isOnBorder,
  middle,
  moved,
  PLANES,
  placeOn,
  planeSizes,
  readBox,
  voxelAt,
} from "../../ssl3d_lite/show/browser/slices_geometry.js";

const [SAGITTAL, CORONAL, AXIAL] = PLANES;
const BITS = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => [(n >> 2) & 1, (n >> 1) & 1, n & 1]);

const replaced = (list, index, value) => list.map((old, n) => (n === index ? value : old));

// A box from its first corner and its three edges.
function boxFrom(first, edges, more = {}) {
  const corners = BITS.map((bits) =>
    first.map((start, axis) => start + bits.reduce((sum, bit, n) => sum + bit * edges[n][axis], 0)),
  );
  return readBox({ corners, ...more });
}

const along = (...sizes) => sizes.map((size, axis) => replaced([0, 0, 0], axis, size));
const SQUARE = boxFrom([2, 3, 4], along(4, 6, 8));
// the same square, seen from above, turned by 45 degrees
const SLANTED = [
  [2, 2, 0],
  [-2, 2, 0],
  [0, 0, 5],
];
const DIAMOND = boxFrom([0, -2, 0], SLANTED);

test("a box has twelve edges, each between corners that differ in one bit", () => {
  assert.equal(EDGES.length, 12);
  assert.equal(new Set(EDGES.map(String)).size, 12);
  assert.ok(EDGES.every(([a, b]) => a < b && [1, 2, 4].includes(a ^ b)));
});

test("a box knows its middle and its edges", () => {
  assert.deepEqual(SQUARE.centre, [4, 6, 8]);
  assert.deepEqual(SQUARE.edges, along(4, 6, 8));
  assert.deepEqual(DIAMOND.centre, [0, 0, 2.5]);
});

test("corners and the middle are inside, what lies beyond a side is not", () => {
  for (const corner of SQUARE.corners) assert.ok(isInside(SQUARE, corner));
  assert.ok(isInside(SQUARE, SQUARE.centre));
  for (const [axis, end] of [6, 9, 12].entries()) {
    assert.ok(!isInside(SQUARE, replaced(SQUARE.centre, axis, end + 0.01)));
    assert.ok(!isInside(SQUARE, replaced(SQUARE.centre, axis, [2, 3, 4][axis] - 0.01)));
  }
});

test("a turned box ends at its own sides, and a mirrored one has an inside too", () => {
  assert.ok(isInside(DIAMOND, [1.9, 0, 1]));
  assert.ok(!isInside(DIAMOND, [1.5, 1.5, 1]));
  const mirrored = boxFrom([0, 0, 0], along(-4, 6, 8));
  assert.ok(isInside(mirrored, [-1, 1, 1]));
  assert.ok(!isInside(mirrored, [1, 1, 1]));
});

test("where boxes overlap, the one whose middle is nearest counts", () => {
  const [low, high] = [0, 3].map((x) => boxFrom([x, 0, 0], along(4, 4, 4), { number: x }));
  assert.equal(boxAt([low, high], [3, 2, 2]).number, 0);
  assert.equal(boxAt([high, low], [3, 2, 2]).number, 0);
  assert.equal(boxAt([low, high], [4, 2, 2]).number, 3);
  assert.equal(boxAt([low, high], [8, 2, 2]), null);
  assert.equal(boxAt([], [0, 0, 0]), null);
});

const sides = (points) =>
  points.map(([u, v], n) => Math.hypot(points.at(n - 1)[0] - u, points.at(n - 1)[1] - v));

test("a plane cuts an upright box in a rectangle, in order around it", () => {
  const round = [
    [2, 3],
    [6, 3],
    [6, 9],
    [2, 9],
  ];
  assert.deepEqual(cut(SQUARE, AXIAL, 8), round);
  assert.deepEqual(sides(cut(SQUARE, SAGITTAL, 3)).sort(), [6, 6, 8, 8]);
  assert.deepEqual(sides(cut(SQUARE, CORONAL, 4)).sort(), [4, 4, 8, 8]);
});

test("a plane cuts a turned box where its edges cross it", () => {
  const points = cut(DIAMOND, AXIAL, 1);
  assert.deepEqual(points.map(String).sort(), ["-2,0", "0,-2", "0,2", "2,0"]);
  const widths = cut(DIAMOND, CORONAL, 1).map(([x]) => x);
  assert.deepEqual([Math.min(...widths), Math.max(...widths)], [-1, 1]);
});

test("an outline goes around the box wherever that is", () => {
  const points = cut(boxFrom([20, 28, 0], SLANTED), AXIAL, 1);
  for (const side of sides(points)) assert.ok(Math.abs(side - Math.hypot(2, 2)) < 1e-9);
});

test("where two boxes touch, a plane cuts only the one that ends there", () => {
  assert.equal(cut(SQUARE, AXIAL, 12).length, 4);
  assert.deepEqual(cut(SQUARE, AXIAL, 4), []);
});

test("a plane beside a box cuts nothing", () => {
  assert.deepEqual(cut(SQUARE, AXIAL, 3.9), []);
  assert.deepEqual(cut(SQUARE, AXIAL, 12.1), []);
});

test("the middle is the mean of points", () => {
  assert.deepEqual(
    middle([
      [0, 0],
      [4, 0],
      [2, 6],
    ]),
    [2, 2],
  );
});

test("voxels are counted with z fastest", () => {
  const scan = { stride: [12, 4, 1] };
  assert.equal(indexOf(scan, [0, 0, 0]), 0);
  assert.equal(indexOf(scan, [1, 2, 3]), 23);
});

test("a step ends at the border of the scan, and leaves the voxel it began at alone", () => {
  const voxel = [1, 2, 3];
  assert.deepEqual(moved(voxel, 0, 1, [5, 5, 5]), [2, 2, 3]);
  assert.deepEqual(moved(voxel, 1, -10, [5, 5, 5]), [1, 0, 3]);
  assert.deepEqual(moved(voxel, 2, 10, [5, 5, 5]), [1, 2, 4]);
  assert.deepEqual(voxel, [1, 2, 3]);
});

test("planes beside each other share a page's width at one scale", () => {
  const scan = { shape: [10, 20, 30], spacing: [1, 1, 1] };
  // 20 + 10 + 10 voxels are wide, two gaps take 16 pixels
  assert.deepEqual(planeSizes(PLANES, scan, 416 + 16), [
    [208, 312],
    [104, 312],
    [104, 208],
  ]);
});

test("no plane is higher than 360 pixels, nor smaller than one", () => {
  const scan = { shape: [10, 20, 30], spacing: [1, 1, 1] };
  assert.deepEqual(planeSizes(PLANES, scan, 5000)[0], [240, 360]);
  assert.deepEqual(planeSizes([AXIAL], { shape: [1, 9999, 1], spacing: [1, 1, 1] }, 500), [
    [1, 360],
  ]);
});

test("on a page narrower than 420 pixels each plane may have the whole width", () => {
  const scan = { shape: [10, 20, 30], spacing: [1, 1, 1] };
  assert.deepEqual(planeSizes(PLANES, scan, 420)[0], [202, 303]);
  assert.deepEqual(planeSizes(PLANES, scan, 200), [
    [200, 300],
    [100, 300],
    [100, 200],
  ]);
});

test("thick voxels make planes higher", () => {
  const scan = { shape: [10, 10, 10], spacing: [1, 1, 3] };
  assert.deepEqual(planeSizes([CORONAL], scan, 100), [[100, 300]]);
});

test("a voxel is placed by its middle, from the lower left", () => {
  const panel = { plane: AXIAL, width: 40, height: 60 };
  const to = placeOn(panel, { shape: [4, 6, 5] });
  assert.deepEqual(to([0, 0]), [5, 55]);
  assert.deepEqual(to([3, 5]), [35, 5]);
  assert.deepEqual(to([-0.5, -0.5]), [0, 60]);
});

test("the pointer finds the voxel that is placed under it, on every plane", () => {
  const scan = { shape: [4, 6, 5] };
  for (const plane of PLANES) {
    const panel = { plane, width: 37, height: 53 };
    for (let u = 0; u < scan.shape[plane.across]; u++) {
      for (let v = 0; v < scan.shape[plane.up]; v++) {
        const wanted = replaced(replaced([2, 2, 2], plane.across, u), plane.up, v);
        const place = placeOn(panel, scan)([u, v]);
        assert.deepEqual(voxelAt(panel, scan, [2, 2, 2], place), wanted);
      }
    }
  }
});

test("a pointer dragged off the canvas stays in the scan", () => {
  const [panel, scan] = [{ plane: AXIAL, width: 40, height: 60 }, { shape: [4, 6, 5] }];
  assert.deepEqual(voxelAt(panel, scan, [1, 1, 1], [-7, 99]), [0, 0, 1]);
  assert.deepEqual(voxelAt(panel, scan, [1, 1, 1], [40, 0]), [3, 5, 1]);
});

test("the border between two maps lies between two columns, and a finger hits it from further", () => {
  const panel = { plane: AXIAL, width: 100, height: 50 };
  const scan = { shape: [10, 4, 3] };
  assert.deepEqual(
    [0, 0.24, 0.26, 1].map((wipe) => columnsLeft(panel, scan, wipe)),
    [0, 2, 3, 10],
  );
  assert.equal(borderAt(panel, scan, 0.5), 50);
  assert.deepEqual(
    [45, 40].map((x) => isOnBorder(panel, scan, 0.5, x, false)),
    [true, false],
  );
  assert.ok(isOnBorder(panel, scan, 0.5, 40, true));
});

test("copies in one place have their badges in one text, and what is behind has none", () => {
  const at = (x, y) => [
    [x - 5, y - 5],
    [x + 5, y + 5],
  ];
  const shown = [
    { box: { badge: "10" }, points: at(50, 50) },
    { box: { badge: "9" }, points: at(52, 51) },
    { box: { badge: "3" }, points: at(58, 50) }, // behind: near, and not the same place
    { box: { badge: "" }, points: at(90, 90) }, // a part of a question bears none
    { box: { badge: "?", part: "asked" }, points: at(90, 50) },
  ];
  assert.deepEqual(badgesOf(shown), [
    { x: 50, y: 50, part: undefined, text: "9, 10" },
    { x: 90, y: 50, part: "asked", text: "?" },
  ]);
});

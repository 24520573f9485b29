import assert from "node:assert/strict";
import { test } from "node:test";
import { look, project, tilted } from "../../ssl3d_lite/show/browser/looking.js";
import {
  apply,
  between,
  blend,
  boxOf,
  column,
  cornersOf,
  eased,
  inside,
  middleOf,
  middleVoxel,
  nearestAxis,
  partOfTurn,
  sideOnCanvas,
  sidesSeen,
  slice,
  viewsOf,
} from "../../ssl3d_lite/show/browser/puzzle3d_geometry.js";
import { determinant, dot } from "../../ssl3d_lite/show/browser/vectors.js";

function assertNear(found, wanted, message) {
  const [a, b] = [found, wanted].map((value) => [value].flat(Infinity));
  assert.equal(a.length, b.length);
  const off = Math.max(...a.map((value, n) => Math.abs(value - b[n])));
  assert.ok(off < 1e-9, message ?? `${JSON.stringify(found)} for ${JSON.stringify(wanted)}`);
}

const SAME = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

// A turn about one of the scan's axes, by an angle in degrees.
function turnAbout(axis, degrees) {
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const [b, d] = [(axis + 1) % 3, (axis + 2) % 3];
  const m = SAME.map((row) => [...row]);
  [m[b][b], m[b][d], m[d][b], m[d][d]] = [c, -s, s, c];
  return m;
}

const product = (a, b) => a.map((row) => [0, 1, 2].map((j) => dot(row, column(b, j))));
const at = (turn, place) => turn.map((row, i) => [...row, place[i]]);

test("blending goes through lists however deep", () => {
  assert.equal(blend(2, 4, 0.25), 2.5);
  assert.deepEqual(blend([[0, 1], [[2]]], [[4, 1], [[4]]], 0.5), [[2, 1], [[3]]]);
});

test("a place leads from a piece's voxels to the scan's", () => {
  assertNear(apply(at(turnAbout(2, 90), [10, 20, 30]), [1, 2, 3]), [8, 21, 33]);
});

// ---- turns -------------------------------------------------------------------------------------

test("parts of a turn are turns about the same axis", () => {
  for (const axis of [0, 1, 2]) {
    for (const degrees of [90, -90, 30, 180, 179]) {
      for (const t of [0, 0.25, 0.5, 1]) {
        assertNear(partOfTurn(turnAbout(axis, degrees), t), turnAbout(axis, degrees * t));
      }
    }
  }
});

test("part 1 of any turn is the turn itself, and parts add up to it", () => {
  const turn = product(turnAbout(0, 40), product(turnAbout(1, -75), turnAbout(2, 110)));
  assertNear(partOfTurn(turn, 1), turn);
  assertNear(product(partOfTurn(turn, 0.3), partOfTurn(turn, 0.7)), turn);
  assertNear(partOfTurn(turn, 0), SAME);
});

test("no turn at all has parts too", () => {
  assertNear(partOfTurn(SAME, 0.5), SAME);
});

// ---- places between places ---------------------------------------------------------------------

const A = at(turnAbout(2, 0), [1, 2, 3]);
const B = at(turnAbout(2, 180), [30, 20, 10]);
const MIDDLE = [3.5, 3.5, 3.5];

test("the ends are the places themselves", () => {
  assert.equal(between(A, B, 0, MIDDLE), A);
  assert.equal(between(A, B, -0.1, MIDDLE), A);
  assert.equal(between(A, B, 1, MIDDLE), B);
  assertNear(between(A, B, 1 - 1e-13, MIDDLE), B);
});

test("a piece's middle goes straight, and the way back is the same", () => {
  const [from, to] = [apply(A, MIDDLE), apply(B, MIDDLE)];
  for (const t of [0.1, 0.5, 0.8]) {
    assertNear(apply(between(A, B, t, MIDDLE), MIDDLE), blend(from, to, t));
    const quarter = at(turnAbout(2, 90), [30, 20, 10]);
    assertNear(between(A, quarter, t, MIDDLE), between(quarter, A, 1 - t, MIDDLE));
  }
});

test("a half turn does not squash the piece", () => {
  for (const t of [0.25, 0.5, 0.75]) {
    const half = between(A, B, t, MIDDLE).map((row) => row.slice(0, 3));
    assertNear(half, turnAbout(2, 180 * t));
  }
});

test("a stretched piece keeps its size as it turns", () => {
  const sizes = [2, 3, 5];
  const stretched = (turn) => turn.map((row) => row.map((n, j) => n * sizes[j]));
  const [from, to] = [0, 90].map((degrees) => at(stretched(turnAbout(0, degrees)), [0, 0, 0]));
  const half = between(from, to, 0.5, [0, 0, 0]);
  assertNear(
    [0, 1, 2].map((j) => Math.hypot(...column(half, j))),
    sizes,
  );
});

test("a mirrored piece is blended, for no turn leads there", () => {
  const mirrored = at([[-1, 0, 0], SAME[1], SAME[2]], [0, 0, 0]);
  const half = between(at(SAME, [0, 0, 0]), mirrored, 0.5, [0, 0, 0]);
  assertNear(half, at([[0, 0, 0], SAME[1], SAME[2]], [0, 0, 0]));
  const twice = between(mirrored, mirrored, 0.5, [0, 0, 0]);
  assert.ok(determinant(...twice.map((row) => row.slice(0, 3))) < 0);
});

// ---- boxes -------------------------------------------------------------------------------------

test("a box ends half a voxel beyond its outermost voxels", () => {
  assert.deepEqual(middleVoxel([8, 9, 1]), [3.5, 4, 0]);
  const box = boxOf([8, 9, 1]);
  assert.deepEqual(box, cornersOf([-0.5, -0.5, -0.5], [7.5, 8.5, 0.5]));
  assert.deepEqual(box[0], [-0.5, -0.5, -0.5]);
  assert.deepEqual(box[1], [7.5, -0.5, -0.5]);
  assert.deepEqual(box[6], [-0.5, 8.5, 0.5]);
  assert.deepEqual(middleOf(box), [3.5, 4, 0]);
});

test("the middle is that of the bounding box, not the mean", () => {
  assert.deepEqual(
    middleOf([
      [0, 0, 0],
      [1, 0, 0],
      [10, 2, -4],
    ]),
    [5, 1, -2],
  );
});

// The second of two pieces of 2 x 3 x 4 voxels, whose greys are their indices.
const VOXELS = Uint8Array.from({ length: 48 }, (_, n) => (n < 24 ? 99 : n - 24));
const greys = ({ pixels }) => [...pixels].filter((_, n) => n % 4 === 0);

test("a slice shows a side, and moves inwards from either end", () => {
  const cut = (axis, far, depth) => greys(slice(VOXELS, 24, [2, 3, 4], axis, far, depth));
  assert.deepEqual(cut(0, false, 0), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
  assert.deepEqual(cut(1, true, 0), [8, 20, 9, 21, 10, 22, 11, 23]);
  assert.deepEqual(cut(2, false, 0), [0, 12, 4, 16, 8, 20]);
  assert.deepEqual(cut(1, false, 0.5), cut(1, true, 0.5));
  assert.deepEqual(cut(2, false, 1), cut(2, true, 0));
});

test("a slice is grey and opaque", () => {
  const picture = slice(VOXELS, 24, [2, 3, 4], 1, true, 0);
  assert.deepEqual([picture.width, picture.height], [2, 4]);
  assert.deepEqual([...picture.pixels.slice(0, 8)], [8, 8, 8, 255, 20, 20, 20, 255]);
});

test("bytes that are no greys have their own colours", () => {
  const picture = slice(VOXELS, 24, [2, 3, 4], 1, true, 0, { 20: [1, 2, 3] });
  assert.deepEqual([...picture.pixels.slice(0, 8)], [8, 8, 8, 255, 1, 2, 3, 255]);
});

// ---- looking -----------------------------------------------------------------------------------

test("at (0, 0) the eye is in front: the patient's right is on the left", () => {
  const { across, up, near } = look([0, 0]);
  assertNear(
    [across, up, near],
    [
      [-1, 0, 0],
      [0, 0, 1],
      [0, 1, 0],
    ],
  );
});

test("from the patient's right, and from above", () => {
  assertNear(look([90, 0]).near, [1, 0, 0]);
  assertNear(look([90, 0]).across, [0, 1, 0]);
  assertNear(look([0, 90]).near, [0, 0, 1]);
});

test("across, up and toward the eye are at right angles, and not mirrored", () => {
  for (const turn of [
    [30, 25],
    [-140, -60],
    [200, 89],
  ]) {
    const { across, up, near } = look(turn);
    assertNear(
      product(
        [across, up, near],
        [0, 1, 2].map((i) => [across[i], up[i], near[i]]),
      ),
      SAME,
    );
    assertNear(determinant(across, up, near), 1);
  }
});

test("turning around has no end, turning up has", () => {
  assert.deepEqual(tilted([30, 25], 5, -5), [35, 20]);
  assert.deepEqual(tilted([350, 80], 20, 20), [10, 90]);
  assert.deepEqual(tilted([0, -80], -5, -20), [-5, -90]);
});

test("the middle of a view is drawn in its middle, up is up", () => {
  const view = { ...look([0, 0]), x: 100, y: 50, scale: 2, centre: [5, 5, 5] };
  assert.deepEqual(project(view, [5, 5, 5]), [100, 50]);
  assertNear(project(view, [5, 5, 15]), [100, 30]);
  assertNear(project(view, [15, 5, 5]), [80, 50]);
  assertNear(project(view, [5, 99, 5]), [100, 50], "there is no perspective");
});

// ---- the views on a canvas ---------------------------------------------------------------------

const SCENE = { size: [10, 10, 10], space: [40, 40, 40] };
const CANVAS = { wide: 600, high: 400 };
const TOGETHER = [at(SAME, [0, 0, 0]), at(SAME, [10, 0, 0])];

test("one panel takes the whole canvas, its middle is that of the pieces", () => {
  const [view] = viewsOf(SCENE, [TOGETHER], [30, 25], 0, CANVAS);
  assert.deepEqual([view.x, view.y, view.width], [300, 200, 600]);
  assertNear(view.centre, [9.5, 4.5, 4.5]);
  assertNear(view.scale, (0.57 * 400) / Math.hypot(10, 5, 5));
});

test("two panels stand side by side below their titles, at one scale", () => {
  const far = [at(SAME, [0, 0, 0]), at(SAME, [30, 0, 0])];
  const views = viewsOf(SCENE, [TOGETHER, far], [0, 0], 0, CANVAS);
  assert.deepEqual(
    views.map(({ x, y, width }) => [x, y, width]),
    [
      [150, 212, 300],
      [450, 212, 300],
    ],
  );
  assert.equal(views[0].scale, views[1].scale);
});

test("titles take their room from the pieces", () => {
  const low = { wide: 600, high: 200 };
  const [view] = viewsOf(SCENE, [TOGETHER, TOGETHER], [30, 25], 0, low);
  assertNear(view.scale, (0.57 * 176) / Math.hypot(10, 5, 5));
});

test("a row or a tower is drawn up to a margin of 8 pixels", () => {
  const many = [0, 1, 2, 3, 4, 5];
  const ends = (axis, panels, wide) => {
    const places = many.map((n) =>
      at(
        SAME,
        [0, 0, 0].map((_, i) => (i === axis ? 60 * n : 0)),
      ),
    );
    const [view] = viewsOf(SCENE, Array(panels).fill(places), [0, 0], 0, { wide, high: 400 });
    const seen = places.flatMap((m) => boxOf(SCENE.size).map((p) => project(view, apply(m, p))));
    return seen.map((p) => p[axis ? 1 : 0]);
  };
  const within = (numbers) => [Math.min(...numbers), Math.max(...numbers)];
  assertNear(within(ends(0, 2, 600)), [8, 292]);
  assertNear(within(ends(2, 1, 600)), [8, 392]);
  assertNear(within(ends(2, 2, 1200)), [32, 392]);
});

test("the scan's own box is amid the view as far as it is drawn", () => {
  const centre = (framed) => viewsOf(SCENE, [TOGETHER], [0, 0], framed, CANVAS)[0].centre;
  assertNear(centre(1), [19.5, 19.5, 19.5]);
  assertNear(centre(0.5), [14.5, 12, 12]);
});

test("nothing is cut off, however it is turned", () => {
  const row = [0, 1, 2, 3, 4, 5].map((n) => at(SAME, [60 * n, 0, 0]));
  for (const turn of [
    [0, 0],
    [30, 25],
    [90, 0],
    [0, 90],
  ]) {
    const [view] = viewsOf(SCENE, [row], turn, 0, CANVAS);
    for (const corner of row.flatMap((m) => boxOf(SCENE.size).map((p) => apply(m, p)))) {
      const [x, y] = project(view, corner);
      assert.ok(x > 7.99 && x < 592.01 && y > 7.99 && y < 392.01, `${turn}: ${x}, ${y}`);
    }
  }
});

// ---- sides -------------------------------------------------------------------------------------

test("three sides are seen at a slant, the one most turned to the eye last", () => {
  const sides = sidesSeen(at(SAME, [0, 0, 0]), look([30, 25]).near);
  assert.deepEqual(
    sides.map(({ axis, far }) => [axis, far]),
    [
      [2, true],
      [0, true],
      [1, true],
    ],
  );
});

test("straight from the front one side is seen, from behind the opposite one", () => {
  const seen = (turn) => sidesSeen(at(SAME, [0, 0, 0]), look(turn).near);
  assert.deepEqual(
    [
      [0, 0],
      [180, 0],
    ].map((turn) => seen(turn).map(({ axis, far }) => [axis, far])),
    [[[1, true]], [[1, false]]],
  );
});

test("a flat piece shows no sides but its faces", () => {
  const flat = at([[0, 0, 0], SAME[1], SAME[2]], [0, 0, 0]);
  assert.deepEqual(
    sidesSeen(flat, look([90, 0]).near).map(({ axis }) => axis),
    [],
  );
});

test("a side's corners go around it, and its picture begins at the first", () => {
  const view = { ...look([0, 0]), x: 0, y: 0, scale: 1, centre: [0, 0, 0] };
  const matrix = at(SAME, [0, 0, 0]);
  const { quad, right, up } = sideOnCanvas(view, matrix, [2, 3, 4], { axis: 1, far: true });
  assertNear(quad, [
    [0.5, 0.5],
    [-1.5, 0.5],
    [-1.5, -3.5],
    [0.5, -3.5],
  ]);
  assertNear(
    [right, up],
    [
      [-0.5, 0.5],
      [0.5, -0.5],
    ],
  );
});

test("the far side lies one length of the box behind the near one", () => {
  const view = { ...look([90, 0]), x: 0, y: 0, scale: 1, centre: [0, 0, 0] };
  const first = (far) =>
    sideOnCanvas(view, at(SAME, [0, 0, 0]), [2, 3, 4], { axis: 1, far }).quad[0];
  assertNear(
    [first(false), first(true)],
    [
      [-0.5, 0.5],
      [2.5, 0.5],
    ],
  );
});

test("a normal has a nearest axis, the first where two are as near", () => {
  assert.equal(nearestAxis([0.1, -0.9, 0.2]), 1);
  assert.equal(nearestAxis([0, 0, 1]), 2);
  assert.equal(nearestAxis([1, -1, 0]), 0);
});

test("a point is inside a quadrangle whichever way its corners go, and on its edge", () => {
  const quad = [
    [0, 0],
    [10, 2],
    [12, 12],
    [2, 10],
  ];
  for (const corners of [quad, [...quad].reverse()]) {
    assert.ok(inside(corners, 6, 6));
    assert.ok(inside(corners, 5, 1));
    assert.ok(!inside(corners, 5, 0.9));
    assert.ok(!inside(corners, 12, 2));
  }
});

test("movements begin and end softly", () => {
  assert.deepEqual([0, 0.25, 0.5, 1].map(eased), [0, 0.15625, 0.5, 1]);
  assertNear(eased(0.3) + eased(0.7), 1);
});

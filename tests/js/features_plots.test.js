import assert from "node:assert/strict";
import { test } from "node:test";
import { dotsOf, placesIn } from "../../ssl3d_lite/show/browser/features_plots.js";

const patients = [
  { grid: [2, 2, 3], shape: [4, 4, 5] },
  { grid: [12, 14, 12], shape: [24, 27, 24] },
];

test("dots are cells, each once, and the same ones each time", () => {
  const dots = dotsOf(patients, 2);
  assert.equal(dots.length, 12 + 900);
  for (const patient of [0, 1]) {
    const cells = dots.filter((dot) => dot.patient === patient).map(({ cell }) => cell);
    assert.equal(new Set(cells).size, cells.length);
    assert.ok(Math.max(...cells) < [12, 2016][patient]);
  }
  assert.deepEqual(dotsOf(patients, 2), dots);
});

test("a dot's voxel lies in its cell, within the scan", () => {
  for (const { patient, cell, voxel } of dotsOf(patients, 2)) {
    const { grid, shape } = patients[patient];
    const [x, y, z] = voxel.map((place) => Math.floor(place / 2));
    assert.equal((x * grid[1] + y) * grid[2] + z, cell);
    assert.ok(voxel.every((place, axis) => place >= 0 && place < shape[axis]));
  }
});

test("dots fill the plot, and the second component goes up", () => {
  const dots = [0, 1, 2].map((cell) => ({ patient: 0, cell }));
  const column = { components: 3, cells: [Uint8Array.from([10, 5, 0, 20, 5, 0, 30, 9, 0])] };
  const place = placesIn(column, dots);
  assert.deepEqual(dots.map(place), [
    [0, 0],
    [0.5, 0],
    [1, 1],
  ]);
});

test("one component alone makes a line", () => {
  const dots = [0, 1].map((cell) => ({ patient: 0, cell }));
  const place = placesIn({ components: 1, cells: [Uint8Array.from([0, 255])] }, dots);
  assert.deepEqual(dots.map(place), [
    [0, 0.5],
    [1, 0.5],
  ]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cellOf,
  distance,
  distanceToVoxels,
  gridOf,
  heatRange,
  labelAt,
  likeness,
  measure,
  middleOf,
  nearestCells,
  nearestFrame,
  voxelsByLabel,
} from "../../ssl3d_lite/show/browser/features_matches.js";

test("a cell is a block of voxels, and the last has what is left", () => {
  const [shape, stride] = [[7, 4, 5], 3];
  const grid = gridOf(shape, stride);
  assert.deepEqual(grid, [3, 2, 2]);
  assert.equal(cellOf([0, 0, 0], grid, stride), 0);
  assert.equal(cellOf([2, 3, 4], grid, stride), 3);
  assert.equal(cellOf([6, 3, 4], grid, stride), 11);
  assert.deepEqual(middleOf(0, grid, stride, shape), [1, 1, 1]);
  assert.deepEqual(middleOf(11, grid, stride, shape), [6, 3, 3.5]);
});

test("every voxel lies in the cell whose middle is nearest", () => {
  const [shape, stride] = [[6, 8, 4], 2];
  const grid = gridOf(shape, stride);
  for (let x = 0; x < 6; x++) {
    for (let y = 0; y < 8; y++) {
      const middle = middleOf(cellOf([x, y, 3], grid, stride), grid, stride, shape);
      assert.ok(distance(middle, [x, y, 3], [1, 1, 1]) < 1);
    }
  }
});

test("squared distances, and the nearest cell; of several the first", () => {
  const cells = Uint8Array.from([0, 0, 255, 0, 3, 4, 3, 4]);
  const found = new Uint32Array(4);
  assert.equal(measure(cells, Uint8Array.from([3, 4]), found), 2);
  assert.deepEqual([...found], [25, 252 * 252 + 16, 0, 0]);
  measure(cells, Uint8Array.from([255, 255]), found);
  assert.equal(found[0], 2 * 255 * 255);
});

test("the largest distance of many components fits", () => {
  const width = 64;
  const found = new Uint32Array(1);
  measure(new Uint8Array(width), new Uint8Array(width).fill(255), found);
  assert.equal(found[0], width * 255 * 255);
});

test("the same share of every picture is coloured", () => {
  for (const scale of [1, 1000]) {
    const found = Uint32Array.from({ length: 10_000 }, (_, n) => scale * n);
    const range = heatRange(found, 0.04, 0);
    const coloured = found.filter((squared) => likeness(squared, range) > 0).length;
    assert.ok(Math.abs(coloured / 10_000 - 0.04) < 0.002, `${coloured}`);
    assert.equal(likeness(0, range), 1);
    assert.equal(likeness(range[1], range), 0);
  }
});

test("where all cells are alike, all have the colour of the best", () => {
  const found = new Uint32Array(100).fill(7);
  const range = heatRange(found, 0.04, 0);
  assert.equal(likeness(7, range), 1);
});

const patient = {
  shape: [3, 1, 4],
  spacing: [2, 1, 1],
  labels: Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0]),
};

test("distances to a label are in mm, and 0 within it", () => {
  assert.equal(labelAt(patient, [0, 0, 3]), 1);
  assert.equal(labelAt({ ...patient, labels: null }, [0, 0, 3]), null);
  const voxels = voxelsByLabel(patient);
  assert.deepEqual(
    [...voxels],
    [
      [1, [0, 0, 3]],
      [2, [2, 0, 0]],
    ],
  );
  const to = (place, label) => distanceToVoxels(place, voxels.get(label) ?? [], patient.spacing);
  assert.equal(to([0, 0, 3], 1), 0);
  assert.equal(to([2, 0, 3], 1), 4);
  assert.equal(to([0, 0, 0], 2), 4);
  assert.equal(to([0, 0, 0], 9), Infinity);
});

test("a dragged crop stops at the nearest of its positions", () => {
  const frames = [0, 5, 10].map((n) => ({ corner: [n, n, n] }));
  assert.equal(nearestFrame(frames, 0, [0, 0, 0]), 0);
  assert.equal(nearestFrame(frames, 0, [0, 3, 3]), 1);
  assert.equal(nearestFrame(frames, 0, [0, 9, 8]), 2);
  assert.equal(nearestFrame(frames, 2, [0, -4, -4]), 1);
  assert.equal(nearestFrame(frames, 2, [0, -99, 0]), 0);
});

test("the nearest cells of several patients, none beside another", () => {
  const grids = [
    [1, 1, 10],
    [1, 1, 6],
  ];
  const found = [
    Uint32Array.from([9, 8, 0, 1, 2, 7, 6, 5, 4, 3]),
    Uint32Array.from([9, 9, 4, 1, 4, 9]),
  ];
  const asked = { patient: 0, cell: 2 };
  assert.deepEqual(
    nearestCells(found, grids, asked, 1, 4).map(({ patient, cell }) => [patient, cell]),
    [
      [1, 3],
      [0, 4],
      [0, 9],
      [0, 7],
    ],
  );
});

test("where there is no further place, fewer cells are found", () => {
  const found = [new Uint32Array(8), new Uint32Array(8)];
  const grids = [
    [2, 2, 2],
    [2, 2, 2],
  ];
  assert.equal(nearestCells(found, grids, { patient: 0, cell: 0 }, 3, 5).length, 1);
});

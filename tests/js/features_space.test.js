import assert from "node:assert/strict";
import { test } from "node:test";
import {
  paintSurface,
  shownVoxels,
  surfaceOf,
} from "../../ssl3d_lite/show/browser/features_space.js";
import { look } from "../../ssl3d_lite/show/browser/looking.js";

const EDGE = 9;
const shape = [EDGE, EDGE, EDGE];
const at = (x, y, z) => (x * EDGE + y) * EDGE + z;
const filled = (isIn) => {
  const found = new Uint8Array(EDGE ** 3);
  for (let n = 0; n < found.length; n++) {
    const [x, y, z] = [Math.floor(n / EDGE ** 2), Math.floor(n / EDGE) % EDGE, n % EDGE];
    found[n] = isIn(x, y, z) ? 1 : 0;
  }
  return found;
};
const ball = filled((x, y, z) => Math.hypot(x - 4, y - 4, z - 4) < 3.5);

test("a surface has the voxels beside which one is not shown, and faces away from the rest", () => {
  const { places, facing } = surfaceOf(ball, shape);
  assert.ok(places.length > 0);
  for (let n = 0; n < places.length; n += 3) {
    const away = [...places.subarray(n, n + 3)].map((v) => v - 4);
    const length = Math.hypot(...away);
    assert.ok(length > 2);
    const cosine = away.reduce((sum, v, axis) => sum + (v / length) * facing[n + axis], 0);
    assert.ok(cosine > 0.9, `${cosine}`);
  }
});

test("a scan without air has its border as its surface", () => {
  const { places } = surfaceOf(new Uint8Array(EDGE ** 3).fill(1), shape);
  assert.equal(places.length / 3, EDGE ** 3 - (EDGE - 2) ** 3);
});

test("labels are shown, or what is not air, but for the corner beyond a voxel", () => {
  const voxels = new Uint8Array(EDGE ** 3).fill(7);
  voxels[0] = 0; // air
  const labels = new Uint8Array(EDGE ** 3);
  labels[at(1, 2, 3)] = 2;
  const byLabel = shownVoxels({ shape, labels, voxels }, true, [0, 0, 0]);
  assert.equal(
    byLabel.reduce((sum, n) => sum + n),
    1,
  );
  assert.equal(byLabel[at(1, 2, 3)], 1);
  const cut = shownVoxels({ shape, labels, voxels }, false, [5, 6, 7]);
  assert.equal(cut[0], 0);
  assert.equal(cut[at(5, 8, 8)], 1);
  assert.equal(cut[at(6, 7, 8)], 0);
  assert.equal(
    cut.reduce((sum, n) => sum + n),
    EDGE ** 3 - 1 - 3 * 2 * 1,
  );
  assert.equal(voxels[at(6, 7, 8)], 7); // what was sent stays
});

test("what is nearer to the eye hides what lies behind it", () => {
  const eye = { ...look([0, 0]), x: 20, y: 20, scale: 3, centre: [4, 4, 4] };
  const image = { width: 40, height: 40, data: new Uint8ClampedArray(4 * 40 * 40) };
  const colourOf = (_x, y) => (y > 4 ? [200, 0, 0] : [0, 200, 0]); // in front of the patient
  paintSurface(image, eye, surfaceOf(ball, shape), [1, 1, 1], colourOf);
  const middle = image.data.subarray(4 * (20 * 40 + 20), 4 * (20 * 40 + 21));
  assert.ok(middle[0] > 80);
  assert.equal(middle[1], 0);
  assert.equal(middle[3], 255);
  assert.equal(image.data[3], 0); // the corner is empty
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { determinant, dot, minus } from "../../ssl3d_lite/show/browser/vectors.js";

test("products and differences", () => {
  assert.equal(dot([1, 2, 3], [4, 5, 6]), 32);
  assert.deepEqual(minus([4, 5, 6], [1, 2, 3]), [3, 3, 3]);
});

test("the determinant is a box's volume, negative when mirrored, 0 when flat", () => {
  assert.equal(determinant([2, 0, 0], [0, 3, 0], [0, 0, 4]), 24);
  assert.equal(determinant([0, 3, 0], [2, 0, 0], [0, 0, 4]), -24);
  assert.equal(determinant([1, 2, 3], [4, 5, 6], [5, 7, 9]), 0);
  assert.equal(determinant([1, 2, 3], [0, 1, 4], [5, 6, 0]), 1);
});

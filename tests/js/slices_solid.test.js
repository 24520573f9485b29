import assert from "node:assert/strict";
import { test } from "node:test";
import { isOnSkin } from "../../ssl3d_lite/show/browser/slices_solid.js";

test("skin borders on air, and the scan's own border is none", () => {
  const shape = [3, 2, 1];
  const body = Uint8Array.from([1, 1, 1, 1, 0, 1]); // there is air at (2, 0, 0)
  const skin = (x, y) => isOnSkin(body, shape, [x, y, 0]);
  assert.deepEqual(
    [skin(0, 0), skin(0, 1), skin(1, 0), skin(1, 1), skin(2, 1)],
    [...[false, false, true, false, true]],
  );
  assert.equal(isOnSkin(new Uint8Array(6).fill(1), shape, [2, 1, 0]), false);
});

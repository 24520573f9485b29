// Node links each view with all that it imports: a name that is missing there is an error here.

import assert from "node:assert/strict";
import { test } from "node:test";
import features from "../../ssl3d_lite/show/browser/features.js";
import live from "../../ssl3d_lite/show/browser/live.js";
import volume from "../../ssl3d_lite/show/browser/puzzle3d.js";
import slices from "../../ssl3d_lite/show/browser/slices.js";

test("each view gives anywidget its render function", () => {
  for (const view of [features, live, slices, volume]) {
    assert.deepEqual(Object.keys(view), ["render"]);
    assert.equal(view.render.length, 1);
  }
});

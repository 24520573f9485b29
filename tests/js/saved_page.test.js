import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { savedModel, startPage, unpacked } from "../../ssl3d_lite/show/browser/saved_page.js";

test("the model of a page has what views ask of the kernel's", () => {
  const model = savedModel({ voxel: [1, 2, 3] });
  const heard = [];
  const any = () => heard.push("change");
  model.on("change:voxel", () => heard.push(model.get("voxel")));
  model.on("change", any);
  model.set("voxel", [1, 2, 3]);
  assert.deepEqual(heard, [], "the same value is no change");
  model.set("voxel", [4, 5, 6]);
  assert.deepEqual(heard, [[4, 5, 6], "change"], "each change comes before all changes");
  model.off("change", any);
  model.set("voxel", [0, 0, 0]);
  assert.equal(heard.length, 3);
  model.save_changes();
  model.send("stop");
  model.off("change:other", any);
});

test("a listener may leave while it listens", () => {
  const model = savedModel({ n: 0 });
  const once = () => model.off("change:n", once);
  let later = 0;
  model.on("change:n", once);
  model.on("change:n", () => {
    later++;
  });
  model.set("n", 1);
  assert.equal(later, 1);
});

test("bytes come out as they went in, as a DataView", async () => {
  const view = await unpacked(gzipSync(Uint8Array.from([0, 1, 254, 255])).toString("base64"));
  assert.ok(view instanceof DataView);
  assert.deepEqual([...new Uint8Array(view.buffer, view.byteOffset, 4)], [0, 1, 254, 255]);
});

test("a page gives its view the model and the element", async () => {
  const packed = gzipSync(Uint8Array.from([7])).toString("base64");
  const given = {};
  const render = ({ model, el }) => {
    given.byte = model.get("_bytes").getUint8(0);
    given.title = model.get("_title");
    given.el = el;
  };
  await startPage({ render }, "element", { values: { _title: "a" }, bytes: { _bytes: packed } });
  assert.deepEqual(given, { byte: 7, title: "a", el: "element" });
});

test("bytes deep in a value come back to their place", async () => {
  const packed = gzipSync(Uint8Array.from([7])).toString("base64");
  const values = { _rows: [{ name: "a" }, { frames: [{ size: [1, 1] }] }] };
  let found;
  const render = ({ model }) => {
    found = model.get("_rows")[1].frames[0];
  };
  await startPage({ render }, "element", { values, bytes: { "_rows/1/frames/0/bytes": packed } });
  assert.deepEqual(found.size, [1, 1]);
  assert.equal(found.bytes.getUint8(0), 7);
});

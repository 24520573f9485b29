import assert from "node:assert/strict";
import { test } from "node:test";
import { PLANES, readBox } from "../../ssl3d_lite/show/browser/slices_geometry.js";
import {
  draggedWindow,
  fromByte,
  makePalette,
  paint,
  rounded,
  toByte,
  voxelText,
  windowWithin,
} from "../../ssl3d_lite/show/browser/slices_values.js";

const near = (found, wanted) =>
  found.forEach((value, n) => {
    assert.ok(Math.abs(value - wanted[n]) < 1e-9, `${found} instead of ${wanted}`);
  });

// Red, green, blue, opacity: a number's bytes, the lowest first.
const bytesOf = (pixel) => [...new Uint8Array(new Uint32Array([pixel]).buffer)];

test("bytes stand for values within reach, and back", () => {
  assert.equal(fromByte(0, [-100, 155]), -100);
  assert.equal(fromByte(255, [-100, 155]), 155);
  assert.equal(fromByte(100, [-100, 155]), 0);
  for (let byte = 0; byte < 256; byte++) {
    near([toByte(fromByte(byte, [-3.7, 12.1]), [-3.7, 12.1])], [byte]);
  }
});

test("a window stays within reach, and white at least a byte above black", () => {
  assert.deepEqual(windowWithin([10, 20], [0, 255]), [10, 20]);
  assert.deepEqual(windowWithin([-10, 300], [0, 255]), [0, 255]);
  assert.deepEqual(windowWithin([50, 40], [0, 255]), [50, 51]);
  assert.deepEqual(windowWithin([400, 500], [0, 255]), [254, 255]);
  assert.deepEqual(windowWithin([-20, -10], [0, 255]), [0, 1]);
  assert.deepEqual(windowWithin([50, 40], [100, 355]), [100, 101]);
});

test("a drag that returns leaves the window as it was", () => {
  near(draggedWindow([0, 100], 0, 0), [0, 100]);
  const there = draggedWindow([10, 30], 40, 0);
  near(draggedWindow(there, -40, 0), [10, 30]);
});

test("a drag to the right widens the window, a drag up makes all brighter", () => {
  near(draggedWindow([0, 100], 150 * Math.log(2), 0), [-50, 150]);
  near(draggedWindow([10, 30], 0, -100), [0, 20]);
});

test("a value has the digits that tell one byte from the next", () => {
  assert.equal(rounded(12.345678, [0, 255]), "12");
  assert.equal(rounded(12.345678, [0, 25.5]), "12.3");
  assert.equal(rounded(0.123456789, [0, 0.00255]), "0.12346");
  assert.equal(rounded(0.123456789, [0, 1e-9]), "0.123457", "six digits at most");
  assert.equal(rounded(1234.5, [0, 99999]), "1235");
});

test("without a label the window makes the grey, from black to white", () => {
  const palette = makePalette([], [0, 255], [50, 152], 0.5);
  assert.equal(palette.length, 256);
  assert.deepEqual(bytesOf(palette[50]), [0, 0, 0, 255]);
  assert.deepEqual(bytesOf(palette[0]), [0, 0, 0, 255]);
  assert.deepEqual(bytesOf(palette[152]), [255, 255, 255, 255]);
  assert.deepEqual(bytesOf(palette[70]), [50, 50, 50, 255]);
});

test("a label's colour is laid over the grey as strongly as is asked", () => {
  const classes = [{ colour: "#ff0080" }, { colour: "#102030" }];
  const [clear, half, full] = [0, 0.5, 1].map((opacity) =>
    makePalette(classes, [0, 255], [0, 255], opacity),
  );
  assert.equal(full.length, 3 * 256);
  assert.deepEqual(bytesOf(clear[256 + 100]), [100, 100, 100, 255]);
  assert.deepEqual(bytesOf(half[256 + 100]), [178, 50, 114, 255]); // 177.5 is rounded to even
  assert.deepEqual(bytesOf(full[256 + 100]), [255, 0, 128, 255]);
  assert.deepEqual(bytesOf(full[512 + 7]), [16, 32, 48, 255]);
});

// 2 x 3 x 4 voxels whose byte is their index, in the second of two channels.
const SCAN = {
  shape: [2, 3, 4],
  size: 24,
  stride: [12, 4, 1],
  bytes: Uint8Array.from({ length: 48 }, (_, n) => (n < 24 ? 99 : n - 24)),
  labels: null,
  classes: [],
  reach: [
    [0, 255],
    [0, 255],
  ],
  boxes: [],
};
const SAME = Uint32Array.from({ length: 512 }, (_, n) => n); // a palette that keeps what is looked up

test("each plane is painted with its slice, the top row first", () => {
  const wanted = {
    sagittal: [15, 19, 23, 14, 18, 22, 13, 17, 21, 12, 16, 20],
    coronal: [11, 23, 10, 22, 9, 21, 8, 20],
    axial: [11, 23, 7, 19, 3, 15],
  };
  for (const plane of PLANES) {
    const pixels = new Uint32Array(wanted[plane.name].length);
    paint(pixels, SCAN, plane, [1, 2, 3], 1, SAME);
    assert.deepEqual([...pixels], wanted[plane.name]);
  }
});

test("a voxel with a label is looked up among that label's colours", () => {
  const labels = new Uint8Array(24);
  labels[3] = 1;
  const pixels = new Uint32Array(6);
  paint(pixels, { ...SCAN, labels }, PLANES[2], [1, 2, 3], 1, SAME);
  assert.deepEqual([...pixels], [11, 23, 7, 19, 256 + 3, 15]);
});

test("the line tells of voxel, value and window", () => {
  assert.equal(
    voxelText(SCAN, [1, 2, 3], 1, [0, 255]),
    "voxel (1, 2, 3)  ·  value ≈ 23  ·  window 0 to 255",
  );
});

test("the outermost bytes stand for all that lies beyond", () => {
  const bytes = Uint8Array.from([0, 255]);
  const scan = { ...SCAN, size: 2, stride: [1, 1, 1], bytes, reach: [[-10, 10]] };
  assert.match(voxelText(scan, [0, 0, 0], 0, [0, 1]), /value ≤ -10\.00 {2}·/);
  assert.match(voxelText(scan, [1, 0, 0], 0, [0, 1]), /value ≥ 10\.00 {2}·/);
});

test("the line tells of label and piece too, and of a picture no third place", () => {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) =>
    [4, 2, 1].map((bit) => (n & bit ? 3.5 : -0.5)),
  );
  const scan = {
    ...SCAN,
    flat: true,
    labels: new Uint8Array(24).fill(2),
    classes: [{ name: "front" }, { name: "back" }],
    boxes: [readBox({ corners, told: "piece 4" })],
  };
  assert.equal(
    voxelText(scan, [1, 2, 0], 1, [5, 9]),
    "voxel (1, 2)  ·  value ≈ 20  ·  back  ·  piece 4  ·  window 5 to 9",
  );
});

test("columns beyond the border show the second map", () => {
  const pixels = new Uint32Array(12);
  const scan = { shape: [3, 4, 1], stride: [4, 1, 1], size: 12, bytes: new Uint8Array(12) };
  const maps = { labels: new Uint8Array(12).fill(1), beside: new Uint8Array(12).fill(2) };
  const palette = new Uint32Array(3 * 256);
  [palette[256], palette[512]] = [1, 2];
  paint(pixels, { ...scan, ...maps }, PLANES[2], [0, 0, 0], 0, palette, 1);
  assert.deepEqual([...pixels.slice(0, 6)], [1, 2, 2, 1, 2, 2]);
});

test("the line names what both maps say of a voxel, and nothing where both are background", () => {
  const scan = { shape: [2, 1, 1], stride: [1, 1, 1], size: 2, bytes: new Uint8Array(2) };
  const more = { reach: [[0, 1]], boxes: [], flat: false, sides: ["a", "b"] };
  const maps = { labels: new Uint8Array([1, 0]), beside: new Uint8Array([0, 0]) };
  const all = { ...scan, ...more, ...maps, classes: [{ name: "right" }] };
  assert.match(voxelText(all, [0, 0, 0], 0, [0, 1]), /a: right {2}· {2}b: –/);
  assert.doesNotMatch(voxelText(all, [1, 0, 0], 0, [0, 1]), /a:/);
});

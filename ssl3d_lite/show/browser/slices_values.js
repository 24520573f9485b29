// A scan's bytes stand for values in its own units. These functions turn them into values, colours
// and words. A channel's reach is the pair of values that bytes 0 and 255 stand for.

import { boxAt, indexOf } from "./slices_geometry.js";

// ---- values and windows ------------------------------------------------------------------------

export const fromByte = (byte, reach) => reach[0] + (byte / 255) * (reach[1] - reach[0]);

export const toByte = (value, reach) => (255 * (value - reach[0])) / (reach[1] - reach[0]);

// A window must lie within reach, and white be at least one byte above black.
export function windowWithin([low, high], [least, most]) {
  const step = (most - least) / 255;
  const black = Math.min(Math.max(low, least), most - step);
  return [black, Math.min(Math.max(high, black + step), most)];
}

// A drag to the right shows more contrast range, a drag upwards makes all brighter.
export function draggedWindow([low, high], right, down) {
  const width = (high - low) * Math.exp(right / 150);
  const level = (low + high) / 2 + (down / 200) * (high - low);
  return [level - width / 2, level + width / 2];
}

// A value gets as many digits as tell one byte from the next.
export function rounded(value, reach) {
  const digits = Math.ceil(-Math.log10((reach[1] - reach[0]) / 255));
  return value.toFixed(Math.min(6, Math.max(0, digits)));
}

// ---- words -------------------------------------------------------------------------------------

export function voxelText(scan, voxel, channel, window) {
  const reach = scan.reach[channel];
  const at = indexOf(scan, voxel);
  const byte = scan.bytes[channel * scan.size + at];
  const sign = { 0: "≤", 255: "≥" }[byte] ?? "≈"; // values out of reach share the outermost bytes
  const parts = [`voxel (${(scan.flat ? voxel.slice(0, 2) : voxel).join(", ")})`];
  parts.push(`value ${sign} ${rounded(fromByte(byte, reach), reach)}`);
  const named = (labels) => scan.classes[labels[at] - 1]?.name;
  if (scan.beside) parts.push(...sidesText(scan, named));
  else if (scan.labels?.[at]) parts.push(named(scan.labels));
  const box = boxAt(scan.boxes, voxel);
  if (box) parts.push(box.told);
  const [low, high] = window.map((value) => rounded(value, reach));
  parts.push(`window ${low} to ${high}`);
  return parts.join("  ·  ");
}

// A voxel that is background in both maps needs no words.
function sidesText({ labels, beside, sides }, named) {
  const found = [labels, beside].map((map) => named(map) ?? "–");
  return found.every((name) => name === "–") ? [] : found.map((name, n) => `${sides[n]}: ${name}`);
}

// ---- colours -----------------------------------------------------------------------------------

// The palette holds each (label, byte)'s colour as one number, so that painting only looks it up.
export function makePalette(classes, reach, window, opacity) {
  const colours = classes.map(({ colour }) =>
    [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)),
  );
  const bytes = new Uint8ClampedArray((colours.length + 1) * 256 * 4);
  for (let byte = 0; byte < 256; byte++) {
    const grey = Math.min(255, Math.max(0, toByte(fromByte(byte, reach), window)));
    bytes.set([grey, grey, grey, 255], byte * 4);
    colours.forEach((colour, index) => {
      const mixed = colour.map((part) => grey + opacity * (part - grey));
      bytes.set([...mixed, 255], ((index + 1) * 256 + byte) * 4);
    });
  }
  return new Uint32Array(bytes.buffer);
}

// Fills `pixels` with one pixel a voxel, the top row first. The columns beyond the first `left` show
// the second label map, if there is one.
export function paint(pixels, scan, plane, voxel, channel, palette, left) {
  const [width, height] = [scan.shape[plane.across], scan.shape[plane.up]];
  const [right, up] = [scan.stride[plane.across], scan.stride[plane.up]];
  const first = channel * scan.size;
  for (let v = 0; v < height; v++) {
    let at = voxel[plane.axis] * scan.stride[plane.axis] + v * up;
    let pixel = (height - 1 - v) * width;
    for (let u = 0; u < width; u++, at += right, pixel++) {
      const labels = scan.beside && u >= left ? scan.beside : scan.labels;
      const label = labels ? labels[at] << 8 : 0;
      pixels[pixel] = palette[label | scan.bytes[first + at]];
    }
  }
}

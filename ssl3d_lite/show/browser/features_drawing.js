// These functions draw the panels of the view of features: a plane of a scan, cells over it, the
// outlines of labels, the frame of a crop, and marks.

import { likeness } from "./features_matches.js";
import { placeOn } from "./slices_geometry.js";

const HEAT = 256; // shades of likeness
const RED = [0, 1, 2].map((n) => 8 * n); // a pixel's number holds red in its lowest bits

const pixel = (red, green, blue, alpha) =>
  (red | (green << RED[1]) | (blue << RED[2]) | (alpha << 24)) >>> 0;

const BLACK = pixel(0, 0, 0, 255);
const GREYS = Uint32Array.from({ length: 256 }, (_, grey) => pixel(grey, grey, grey, 255));

// From nothing over purple to white: the brighter, the more alike. Labels, right and wrong have
// none of these colours.
const SHADES = Uint32Array.from({ length: HEAT }, (_, n) => {
  const share = n / (HEAT - 1);
  const part = (from, to) =>
    Math.round(255 * Math.min(1, Math.max(0, (share - from) / (to - from))));
  return pixel(part(-0.6, 0.6), part(0.4, 1), part(-0.9, 0.5), Math.round(255 * share ** 0.6));
});

// ---- a plane of voxels or of cells ---------------------------------------------------------------

// Calls `paint(at)` for each place of a plane, the top row first, where `at` is its number in a
// volume of this shape.
function fill(pixels, shape, plane, slice, paint) {
  const stride = [shape[1] * shape[2], shape[2], 1];
  const [width, height] = [shape[plane.across], shape[plane.up]];
  for (let v = 0; v < height; v++) {
    let at = slice * stride[plane.axis] + v * stride[plane.up];
    let to = (height - 1 - v) * width;
    for (let u = 0; u < width; u++, at += stride[plane.across], to++) pixels[to] = paint(at);
  }
}

function layerOf(panel, name, shape, plane) {
  const [width, height] = [shape[plane.across], shape[plane.up]];
  const kept = panel.layers[name];
  if (kept?.canvas.width === width && kept.canvas.height === height) return kept;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(width, height);
  panel.layers[name] = { canvas, context, image, pixels: new Uint32Array(image.data.buffer) };
  return panel.layers[name];
}

// Fills a layer of a panel, unless it holds the very same slice of the same thing.
function layerWith(panel, name, what, shape, plane, slice, paint) {
  const layer = layerOf(panel, name, shape, plane);
  if (layer.what !== what || layer.plane !== plane || layer.slice !== slice) {
    fill(layer.pixels, shape, plane, slice, paint);
    layer.context.putImageData(layer.image, 0, 0);
  }
  Object.assign(layer, { what, plane, slice });
  return layer;
}

export function drawScan(panel, { voxels, shape }, plane, slice) {
  const paint = (at) => GREYS[voxels[at]];
  const layer = layerWith(panel, "scan", voxels, shape, plane, slice, paint);
  panel.context.globalAlpha = 1;
  panel.context.imageSmoothingEnabled = false; // a voxel is a square
  panel.context.drawImage(layer.canvas, 0, 0, panel.width, panel.height);
}

// Air has features too, but none that a person looks for: it stays black.
export function drawAir(panel, { voxels, shape }, plane, slice) {
  const paint = (at) => (voxels[at] ? 0 : BLACK);
  const layer = layerWith(panel, "air", voxels, shape, plane, slice, paint);
  panel.context.imageSmoothingEnabled = false;
  panel.context.drawImage(layer.canvas, 0, 0, panel.width, panel.height);
}

// Draws the part of a plane that reaches so many voxels from a place, over the whole of a square
// canvas, which is so wide in voxels of the shortest edge.
export function drawPatch(
  { context, layer, edge },
  { voxels, shape, spacing },
  plane,
  place,
  reach,
) {
  const finest = Math.min(...spacing);
  const stride = [shape[1] * shape[2], shape[2], 1];
  const ends = [plane.across, plane.up].map((axis) => {
    const wide = (reach * finest) / spacing[axis];
    const [low, high] = [Math.floor(place[axis] - wide), Math.ceil(place[axis] + wide)];
    return [Math.max(0, low), Math.min(shape[axis] - 1, high)];
  });
  const [[left, right], [bottom, top]] = ends;
  [layer.width, layer.height] = [right - left + 1, top - bottom + 1];
  const pen = layer.getContext("2d", { willReadFrequently: true });
  const image = pen.createImageData(layer.width, layer.height);
  const pixels = new Uint32Array(image.data.buffer);
  const slice = Math.min(shape[plane.axis] - 1, Math.floor(place[plane.axis] + 0.5));
  let to = 0;
  for (let v = top; v >= bottom; v--) {
    let at = slice * stride[plane.axis] + v * stride[plane.up] + left * stride[plane.across];
    for (let u = left; u <= right; u++, at += stride[plane.across])
      pixels[to++] = GREYS[voxels[at]];
  }
  pen.putImageData(image, 0, 0);
  const scale = edge / (2 * reach * finest);
  const [wide, high] = [plane.across, plane.up].map((axis) => spacing[axis] * scale);
  const x = edge / 2 - (place[plane.across] - left + 0.5) * wide;
  const y = edge / 2 - (top - place[plane.up] + 0.5) * high;
  context.clearRect(0, 0, edge, edge);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, x, y, layer.width * wide, layer.height * high);
}

// Lays cells over a box of the scan's plane, in voxels: the whole scan, or a crop of it.
function drawCells(panel, patient, box, plane, slice, { stride, opacity }, what, paint) {
  const { context } = panel;
  const grid = box.grid;
  const inside = Math.floor((slice - box.corner[plane.axis]) / stride);
  if (inside < 0 || inside >= grid[plane.axis]) return;
  const layer = layerWith(panel, "cells", what, grid, plane, inside, paint);
  const to = placeOn({ plane, ...panel }, patient);
  const corner = (axis) => box.corner[axis] - 0.5;
  const end = (axis) => corner(axis) + grid[axis] * stride; // it may be beyond the box's
  const last = (axis) => corner(axis) + box.size[axis];
  const at = ([u, v]) => to([u, v]);
  const [left, bottom] = at([corner(plane.across), corner(plane.up)]);
  const [right, top] = at([end(plane.across), end(plane.up)]);
  const [clipRight, clipTop] = at([last(plane.across), last(plane.up)]);
  context.save();
  context.beginPath();
  context.rect(left, clipTop, clipRight - left, bottom - clipTop);
  context.clip();
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = true; // maps are interpolated between cells anyway
  context.drawImage(layer.canvas, left, top, right - left, bottom - top);
  context.restore();
}

export function drawColours(panel, patient, box, plane, slice, { column, cells, ...how }) {
  const { components, palette } = column;
  const colour = (at, channel) =>
    channel < components ? palette[channel][cells[at * components + channel]] : 128;
  drawCells(panel, patient, box, plane, slice, how, cells, (at) =>
    pixel(colour(at, 0), colour(at, 1), colour(at, 2), 255),
  );
}

export function drawHeat(panel, patient, box, plane, slice, { range, found, ...how }) {
  const paint = (at) => SHADES[Math.round(likeness(found[at], range) * (HEAT - 1))];
  drawCells(panel, patient, box, plane, slice, how, range, paint); // a range is each question's own
}

// ---- lines and marks -----------------------------------------------------------------------------

// Draws the borders of one label in a plane.
export function drawOutline(panel, patient, plane, slice, label, colour) {
  const { labels, shape } = patient;
  if (!labels) return;
  const stride = [shape[1] * shape[2], shape[2], 1];
  const [width, height] = [shape[plane.across], shape[plane.up]];
  const has = (u, v) =>
    u >= 0 &&
    v >= 0 &&
    u < width &&
    v < height &&
    labels[slice * stride[plane.axis] + u * stride[plane.across] + v * stride[plane.up]] === label;
  const to = placeOn({ plane, ...panel }, patient);
  const path = new Path2D();
  const edge = (from, until) => {
    path.moveTo(...to(from));
    path.lineTo(...to(until));
  };
  for (let u = -1; u < width; u++) {
    for (let v = -1; v < height; v++) {
      if (has(u, v) !== has(u + 1, v)) edge([u + 0.5, v - 0.5], [u + 0.5, v + 0.5]);
      if (has(u, v) !== has(u, v + 1)) edge([u - 0.5, v + 0.5], [u + 0.5, v + 0.5]);
    }
  }
  panel.context.lineWidth = 1.25;
  panel.context.strokeStyle = colour;
  panel.context.stroke(path);
}

// What lies outside the crop is darkened, since the encoder has not seen it.
export function drawFrame(panel, patient, frame, plane, slice) {
  const { context, width, height } = panel;
  const to = placeOn({ plane, ...panel }, patient);
  const edge = (axis) => [frame.corner[axis] - 0.5, frame.corner[axis] + frame.size[axis] - 0.5];
  const [[left, right], [low, high]] = [edge(plane.across), edge(plane.up)];
  const [[x0, y1], [x1, y0]] = [to([left, low]), to([right, high])];
  const depth = slice - frame.corner[plane.axis];
  const seen = depth >= 0 && depth < frame.size[plane.axis];
  context.fillStyle = "rgba(0, 0, 0, 0.62)";
  context.beginPath();
  context.rect(0, 0, width, height);
  if (seen) context.rect(x0, y0, x1 - x0, y1 - y0);
  context.fill("evenodd");
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  context.strokeStyle = "#fff";
  context.strokeRect(x0 + 1, y0 + 1, x1 - x0 - 2, y1 - y0 - 2);
  context.setLineDash([]);
}

// Where the crop lay first, and an arrow from there, at the corner that it has left.
export function drawMove(panel, patient, first, frame, plane) {
  const axes = [plane.across, plane.up];
  const moved = axes.map((axis) => frame.corner[axis] - first.corner[axis]);
  if (moved.every((way) => way === 0)) return;
  const to = placeOn(panel, patient);
  const end = (box, far) =>
    axes.map((axis, n) => box.corner[axis] - 0.5 + (far(n) ? box.size[axis] : 0));
  const [x0, y0] = to(end(first, () => false));
  const [x1, y1] = to(end(first, () => true));
  const { context } = panel;
  context.lineWidth = 1;
  context.setLineDash([2, 3]);
  context.strokeStyle = "#fffc";
  context.strokeRect(x0, y1, x1 - x0, y0 - y1);
  context.setLineDash([]);
  const left = (n) => moved[n] < 0; // the corner on the other side
  drawArrow(panel, to(end(first, left)), to(end(frame, left)), "#fff");
}

const HEAD = 6; // of an arrow, in CSS pixels
export const RING = 8; // its radius

// It ends so far before its end; none is drawn that would be no longer than its head.
export function drawArrow(panel, [x0, y0], end, colour, before = 0) {
  const whole = Math.hypot(end[0] - x0, end[1] - y0);
  const length = whole - before;
  if (length < HEAD) return;
  const [dx, dy] = [(end[0] - x0) / whole, (end[1] - y0) / whole];
  const [x1, y1] = [x0 + length * dx, y0 + length * dy];
  const path = new Path2D();
  path.moveTo(x0, y0);
  path.lineTo(x1, y1);
  for (const side of [-1, 1]) {
    path.moveTo(x1 - HEAD * (dx - (side * dy) / 2), y1 - HEAD * (dy + (side * dx) / 2));
    path.lineTo(x1, y1);
  }
  stroked(panel, path, colour, 1.5);
}

const DARK = "rgba(0, 0, 0, 0.7)"; // an edge around marks, so that they are seen on white too

function stroked({ context }, path, colour, width) {
  context.lineWidth = width + 2;
  context.strokeStyle = DARK;
  context.stroke(path);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke(path);
}

// A ring that lies in another slice is dashed.
export function drawRing(panel, [x, y], colour, dashed = false) {
  const path = new Path2D();
  path.arc(x, y, RING, 0, 2 * Math.PI);
  panel.context.setLineDash(dashed ? [5, 3.4] : []); // six dashes
  stroked(panel, path, colour, 2.5);
  panel.context.setLineDash([]);
}

export function drawPointer(panel, [x, y]) {
  const path = new Path2D();
  for (const [dx, dy] of [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ]) {
    path.moveTo(x + 3 * dx, y + 3 * dy);
    path.lineTo(x + 11 * dx, y + 11 * dy);
  }
  stroked(panel, path, "#fff", 1.5);
}

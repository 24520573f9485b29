// These functions say where things are in a scan and on its three planes: voxels, boxes of pieces,
// sizes on the page. Nothing here draws.

import { determinant, minus } from "./vectors.js";

// Planes lie as in the figures, drawn as `image.T, origin="lower"`: what is right or anterior in
// the scan is on the right.
export const PLANES = [
  { name: "sagittal", axis: 0, across: 1, up: 2, left: "P", right: "A", bottom: "I", top: "S" },
  { name: "coronal", axis: 1, across: 0, up: 2, left: "L", right: "R", bottom: "I", top: "S" },
  { name: "axial", axis: 2, across: 0, up: 1, left: "L", right: "R", bottom: "P", top: "A" },
];
const TALLEST = 360; // a plane is at most this high, in CSS pixels
export const GAP = 8; // the style sheet leaves so many CSS pixels between planes
const NARROW = 420; // on a page narrower than this, planes stand one under the other

const clamped = (value, low, high) => Math.min(high, Math.max(low, value));

// ---- boxes of pieces ---------------------------------------------------------------------------

// The bits of a corner's number say which end of x, y and z it is at, so two corners share an edge
// where their numbers differ in one bit.
export const EDGES = [];
for (let a = 0; a < 8; a++) {
  for (const bit of [1, 2, 4]) if (!(a & bit)) EDGES.push([a, a | bit]);
}

// Every move of the pointer asks for a box's middle and the edges at its first corner, so they are
// kept with it.
export function readBox(box) {
  const c = box.corners;
  const centre = [0, 1, 2].map((axis) => (c[0][axis] + c[7][axis]) / 2);
  return { ...box, centre, edges: [c[4], c[2], c[1]].map((corner) => minus(corner, c[0])) };
}

// Boxes may be turned, so Cramer's rule writes the point as shares of the box's edges.
export function isInside(box, point) {
  const [a, b, c] = box.edges;
  const p = minus(point, box.corners[0]);
  const whole = determinant(a, b, c);
  return [determinant(p, b, c), determinant(a, p, c), determinant(a, b, p)].every(
    (part) => part / whole >= 0 && part / whole <= 1,
  );
}

// Boxes may overlap: the one whose middle is nearest counts. If none holds the voxel, it is null.
export function boxAt(boxes, voxel) {
  const distance = (box) => Math.hypot(...minus(box.centre, voxel));
  const holding = boxes.filter((box) => isInside(box, voxel));
  return holding.sort((a, b) => distance(a) - distance(b))[0] ?? null;
}

// Returns the outline of a box where a plane cuts it: points of the plane in order, or none.
export function cut(box, plane, place) {
  const points = [];
  for (const [a, b] of EDGES) {
    const [p, q] = [box.corners[a], box.corners[b]];
    const [start, end] = [p[plane.axis] - place, q[plane.axis] - place];
    if (start < 0 === end < 0) continue; // the edge stays on one side
    const share = start / (start - end);
    points.push([plane.across, plane.up].map((axis) => p[axis] + share * (q[axis] - p[axis])));
  }
  const mean = middle(points);
  const angle = ([u, v]) => Math.atan2(v - mean[1], u - mean[0]);
  return points.sort((a, b) => angle(a) - angle(b));
}

export const middle = (points) =>
  [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

const ONE_PLACE = 4; // CSS pixels

// Returns what is written over boxes, the nearest box first. Copies that lie in one place have their
// badges in one text; of boxes one behind the other only the nearest has room for its own.
export function badgesOf(nearestFirst) {
  const texts = [];
  for (const { box, points } of nearestFirst) {
    if (!box.badge) continue;
    const [x, y] = middle(points);
    const near = texts.find((text) => Math.abs(text.x - x) < 14 && Math.abs(text.y - y) < 10);
    if (!near) texts.push({ x, y, part: box.part, badges: [box.badge] });
    else if (Math.hypot(near.x - x, near.y - y) < ONE_PLACE) near.badges.push(box.badge);
  }
  const inOrder = (badges) => [...badges].sort((a, b) => a - b).join(", ");
  return texts.map(({ badges, ...text }) => ({ ...text, text: inOrder(badges) }));
}

// ---- voxels ------------------------------------------------------------------------------------

export const indexOf = (scan, voxel) =>
  voxel.reduce((sum, place, axis) => sum + place * scan.stride[axis], 0);

// Returns the voxel some steps further along an axis, as far as the scan goes.
export function moved(voxel, axis, steps, shape) {
  const there = [...voxel];
  there[axis] = clamped(voxel[axis] + steps, 0, shape[axis] - 1);
  return there;
}

// ---- planes on the page ------------------------------------------------------------------------

// Returns each plane's width and height in CSS pixels: all have one scale, the largest that fits.
export function planeSizes(planes, { shape, spacing }, pageWidth) {
  const extent = (axis) => shape[axis] * spacing[axis];
  const wide = planes.map(({ across }) => extent(across));
  const tall = planes.map(({ up }) => extent(up));
  const besideEachOther =
    (pageWidth - GAP * (planes.length - 1)) / wide.reduce((sum, width) => sum + width);
  const across = pageWidth < NARROW ? pageWidth / Math.max(...wide) : besideEachOther;
  const scale = Math.min(across, TALLEST / Math.max(...tall));
  const pixels = (length) => Math.max(1, Math.floor(length * scale));
  return planes.map((_, index) => [pixels(wide[index]), pixels(tall[index])]);
}

// Leads from voxels of a plane to CSS pixels of its canvas. A voxel's middle is at its whole
// number, so its edges are half a voxel away.
export function placeOn({ plane, width, height }, { shape }) {
  return ([u, v]) => [
    ((u + 0.5) / shape[plane.across]) * width,
    height - ((v + 0.5) / shape[plane.up]) * height,
  ];
}

// The border between two label maps lies between two columns of voxels: so many are left of it.
export const columnsLeft = ({ plane }, { shape }, wipe) => Math.round(wipe * shape[plane.across]);

// Returns the border's place on the canvas, in CSS pixels.
export const borderAt = (panel, scan, wipe) =>
  (columnsLeft(panel, scan, wipe) / scan.shape[panel.plane.across]) * panel.width;

export const isOnBorder = (panel, scan, wipe, x, byFinger) =>
  Math.abs(borderAt(panel, scan, wipe) - x) < (byFinger ? 18 : 7);

// Leads back: to the voxel at (x, y) of a canvas, on the slice that is shown.
export function voxelAt({ plane, width, height }, { shape }, voxel, [x, y]) {
  const within = (share, edge) => clamped(Math.floor(share * edge), 0, edge - 1);
  const there = [...voxel];
  there[plane.across] = within(x / width, shape[plane.across]);
  there[plane.up] = within(1 - y / height, shape[plane.up]);
  return there;
}

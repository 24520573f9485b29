// These functions say where the pieces of a puzzle are, in the scan and on the canvas. Nothing here
// draws.
//
// A place is the first three rows of an affine 4 x 4 matrix, which lead from a piece's voxels to
// the scan's.

import { look, project } from "./looking.js";
import { determinant, dot, minus } from "./vectors.js";

// ---- matrices ----------------------------------------------------------------------------------

// It blends numbers, and lists of them however deep.
export const blend = (a, b, t) =>
  Array.isArray(a) ? a.map((part, i) => blend(part, b[i], t)) : a + (b - a) * t;

export const apply = (m, p) => [0, 1, 2].map((i) => dot(m[i], p) + m[i][3]);

export const column = (m, j) => [m[0][j], m[1][j], m[2][j]];

const times = (a, b) => a.map((row) => [0, 1, 2].map((j) => dot(row, column(b, j))));

const linear = (m) => [0, 1, 2].map((i) => m[i].slice(0, 3));

const transposed = (m) => [0, 1, 2].map((j) => column(m, j));

// Returns the part t of the turn r, about the same axis. Number by number a half turn would be
// blended through a flat box.
export function partOfTurn(r, t) {
  const cosine = Math.max(-1, Math.min(1, (r[0][0] + r[1][1] + r[2][2] - 1) / 2));
  let axis = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]];
  // No turn and a half turn are symmetric and leave no axis there; the diagonal tells which of the
  // scan's axes a half turn keeps.
  if (Math.hypot(...axis) < 1e-6) axis = [0, 1, 2].map((i) => (r[i][i] > cosine + 1e-6 ? 1 : 0));
  const length = Math.hypot(...axis) || 1;
  const [x, y, z] = axis.map((n) => n / length);
  const angle = Math.acos(cosine) * t;
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const v = 1 - c;
  return [
    [c + x * x * v, x * y * v - z * s, x * z * v + y * s],
    [x * y * v + z * s, c + y * y * v, y * z * v - x * s],
    [x * z * v - y * s, y * z * v + x * s, c + z * z * v],
  ];
}

function withoutScale(m) {
  const rows = linear(m);
  const size = [0, 1, 2].map((j) => Math.hypot(...column(rows, j)));
  return rows.map((row) => row.map((n, j) => n / size[j]));
}

// Between two places of a piece its middle goes straight, and the piece turns.
export function between(a, b, t, middle) {
  if (t <= 0) return a;
  if (t >= 1) return b;
  let turned = blend(linear(a), linear(b), t);
  const [from, to] = [withoutScale(a), withoutScale(b)];
  if (determinant(...from) > 0 && determinant(...to) > 0) {
    // no turn leads to a mirrored piece, so only the others turn
    turned = times(partOfTurn(times(to, transposed(from)), t), linear(a));
  }
  const centre = blend(apply(a, middle), apply(b, middle), t);
  return turned.map((row, i) => [...row, centre[i] - dot(row, middle)]);
}

// ---- boxes -------------------------------------------------------------------------------------

export const middleVoxel = (size) => size.map((n) => (n - 1) / 2);

// The bits of a corner's number say which end of each axis it is at.
export const cornersOf = (low, high) =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((n) => [0, 1, 2].map((a) => ((n >> a) & 1 ? high : low)[a]));

// A voxel's middle is at its whole number, so a box ends half a voxel further out.
export const boxOf = (size) =>
  cornersOf(
    [-0.5, -0.5, -0.5],
    size.map((n) => n - 0.5),
  );

// Returns the middle of the points' bounding box.
export const middleOf = (points) =>
  [0, 1, 2].map((a) => {
    const along = points.map((p) => p[a]);
    return (Math.min(...along) + Math.max(...along)) / 2;
  });

const reach = (points, centre) => Math.max(...points.map((p) => Math.hypot(...minus(p, centre))));

// Cuts a piece across `axis`, and returns its greys there as an opaque picture. `depth` is the
// share of the way from the side at the axis's start, or the far one, to the opposite side.
// `colours` are those of bytes that are no greys: [red, green, blue] by byte.
export function slice(voxels, first, size, axis, far, depth, colours = {}) {
  const [across, up] = [0, 1, 2].filter((a) => a !== axis);
  const [width, height] = [size[across], size[up]];
  const stride = [size[1] * size[2], size[2], 1];
  const step = Math.round(depth * (size[axis] - 1));
  const start = first + (far ? size[axis] - 1 - step : step) * stride[axis];
  const pixels = new Uint8ClampedArray(4 * width * height);
  let at = 0;
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++, at += 4) {
      const grey = voxels[start + i * stride[across] + j * stride[up]];
      if (grey in colours) pixels.set(colours[grey], at);
      else pixels.fill(grey, at, at + 3);
      pixels[at + 3] = 255;
    }
  }
  return { width, height, pixels };
}

// ---- looking -----------------------------------------------------------------------------------

// Returns the largest scale at which the points leave a margin in a panel.
function fit(view, points, width, height) {
  const seen = points.map((p) => minus(p, view.centre));
  const [across, up] = [view.across, view.up].map((way) =>
    Math.max(...seen.map((p) => Math.abs(dot(p, way)))),
  );
  return Math.min((width / 2 - 8) / across, (height / 2 - 8) / up);
}

// Panels stand side by side on a canvas. Returns a view for each: its eye, its middle on the canvas
// and in the scan, and the scale, which is the same for all. `places` has a list of matrices for
// each panel; `framed` says how far the scan's own box stands in the middle instead of the pieces.
export function viewsOf(scene, places, turn, framed, { wide, high }) {
  const box = boxOf(scene.size);
  const space = boxOf(scene.space);
  const clouds = places.map((each) => each.flatMap((m) => box.map((p) => apply(m, p))));
  const centres = clouds.map((cloud) => blend(middleOf(cloud), middleOf(space), framed));
  const width = wide / places.length;
  const title = places.length > 1 ? 24 : 0;
  const views = centres.map((centre, n) => {
    return { ...look(turn), x: (n + 0.5) * width, y: (high + title) / 2, centre };
  });
  const reaches = clouds.map((cloud, n) => reach(cloud, centres[n]));
  const radius = Math.max(...reaches, framed * reach(space, middleOf(space)));
  // the first size stays the same while the puzzle is turned; the others keep it from being cut off
  const scale = Math.min(
    (0.57 * Math.min(width, high - title)) / radius,
    ...views.map((view, n) => fit(view, clouds[n], width, high - title)),
  );
  return views.map((view) => ({ ...view, width, scale }));
}

// Returns the sides of a box that are turned to the eye, the one most turned to it last.
export function sidesSeen(matrix, near) {
  const sides = [0, 1, 2].map((axis) => {
    const normal = column(matrix, axis);
    const facing = dot(normal, near);
    return { axis, far: facing > 0, facing: Math.abs(facing), normal };
  });
  return sides.filter(({ facing }) => facing >= 1e-6).sort((a, b) => a.facing - b.facing);
}

// Projects a side onto the canvas. Returns its corners in order, of which the first is the origin
// of its picture, and where the picture's point one pixel to the right of it, or above it, comes.
export function sideOnCanvas(view, matrix, size, { axis, far }) {
  const [b, c] = [0, 1, 2].filter((a) => a !== axis);
  const corner = [-0.5, -0.5, -0.5];
  if (far) corner[axis] = size[axis] - 0.5;
  const at = (i, j) => {
    const p = corner.slice();
    p[b] += i;
    p[c] += j;
    return project(view, apply(matrix, p));
  };
  const quad = [at(0, 0), at(size[b], 0), at(size[b], size[c]), at(0, size[c])];
  return { quad, right: at(1, 0), up: at(0, 1) };
}

// Returns the axis of the scan that a side's normal is nearest to.
export const nearestAxis = (normal) =>
  [0, 1, 2].reduce((best, a) => (Math.abs(normal[a]) > Math.abs(normal[best]) ? a : best));

// A point inside a convex quadrangle lies on the same side of all its edges.
export function inside(quad, x, y) {
  const turns = quad.map(([ax, ay], i) => {
    const [bx, by] = quad[(i + 1) % 4];
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax);
  });
  return turns.every((t) => t >= 0) || turns.every((t) => t <= 0);
}

// ---- moving ------------------------------------------------------------------------------------

// A movement starts and ends softly.
export const eased = (t) => t * t * (3 - 2 * t);

// The surface of an organ, or of a body with a corner cut out, as voxels and where they face; and a
// picture of it. Nothing here needs a page.

import { dot } from "./vectors.js";

const REACH = 3; // a surface faces away from what lies within so many voxels
const DARKEST = 0.5; // of a side that the light does not reach

// Returns which voxels are shown, a byte each: those with a label, or else all that are not air, but
// for the corner that lies to the right of, before and above a voxel.
export function shownVoxels({ shape, labels, voxels }, byLabel, [cx, cy, cz]) {
  if (byLabel) return labels.map((label) => (label ? 1 : 0));
  const shown = voxels.map((grey) => (grey ? 1 : 0));
  for (let x = cx + 1; x < shape[0]; x++) {
    for (let y = cy + 1; y < shape[1]; y++) {
      const row = (x * shape[1] + y) * shape[2];
      shown.fill(0, row + cz + 1, row + shape[2]);
    }
  }
  return shown;
}

// Returns the shown voxels beside which one is not: their places, and where each faces, three
// numbers a voxel.
export function surfaceOf(shown, shape) {
  const [places, facing] = [[], []];
  const at = (x, y, z) =>
    x >= 0 && y >= 0 && z >= 0 && x < shape[0] && y < shape[1] && z < shape[2]
      ? shown[(x * shape[1] + y) * shape[2] + z]
      : 0;
  for (let x = 0; x < shape[0]; x++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let z = 0; z < shape[2]; z++) {
        if (!at(x, y, z)) continue;
        const around = at(x - 1, y, z) + at(x + 1, y, z) + at(x, y - 1, z) + at(x, y + 1, z);
        if (around + at(x, y, z - 1) + at(x, y, z + 1) === 6) continue;
        places.push(x, y, z);
        facing.push(...outward(at, x, y, z));
      }
    }
  }
  return { places: Int16Array.from(places), facing: Float32Array.from(facing) };
}

function outward(at, x, y, z) {
  let [a, b, c] = [0, 0, 0];
  for (let i = -REACH; i <= REACH; i++) {
    for (let j = -REACH; j <= REACH; j++) {
      for (let k = -REACH; k <= REACH; k++) {
        if (!at(x + i, y + j, z + k)) continue;
        a -= i;
        b -= j;
        c -= k;
      }
    }
  }
  const length = Math.hypot(a, b, c) || 1;
  return [a / length, b / length, c / length];
}

// Returns where a disc about a pixel has its pixels.
function discOf(radius) {
  const reach = Math.ceil(radius);
  const offsets = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++)
      if (x * x + y * y <= radius * radius) offsets.push([x, y]);
  }
  return offsets;
}

// Paints a surface into an image: each voxel a disc, as far as no other is nearer to the eye.
// `colourOf` gives a voxel's red, green and blue. The view's scale is pixels a mm.
export function paintSurface(image, view, { places, facing }, spacing, colourOf) {
  const { width, height, data } = image;
  const depth = new Float32Array(width * height).fill(-Infinity);
  const light = view.near.map((n, axis) => n + 0.6 * view.up[axis] - 0.4 * view.across[axis]);
  const bright = Math.hypot(...light);
  const disc = discOf(Math.max(0.5, 0.9 * view.scale * Math.max(...spacing)));
  data.fill(0);
  for (let n = 0; n < places.length; n += 3) {
    const lit = dot(facing.subarray(n, n + 3), light) / bright;
    const shade = DARKEST + (1 - DARKEST) * Math.max(0, lit);
    const point = [0, 1, 2].map((axis) => places[n + axis] * spacing[axis] - view.centre[axis]);
    const left = Math.round(view.x + view.scale * dot(point, view.across));
    const top = Math.round(view.y - view.scale * dot(point, view.up));
    const near = dot(point, view.near);
    const [red, green, blue] = colourOf(places[n], places[n + 1], places[n + 2]);
    for (const [dx, dy] of disc) {
      const [x, y] = [left + dx, top + dy];
      const pixel = y * width + x;
      if (x < 0 || y < 0 || x >= width || y >= height || near <= depth[pixel]) continue;
      depth[pixel] = near;
      data[4 * pixel] = red * shade;
      data[4 * pixel + 1] = green * shade;
      data[4 * pixel + 2] = blue * shade;
      data[4 * pixel + 3] = 255;
    }
  }
}

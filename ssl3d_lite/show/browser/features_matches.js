// Cells of features, and which of them are alike. A cell is a block of voxels; it has one byte for
// each component, and cells lie one after another, the last axis fastest. Nothing here draws.

// ---- where cells are ---------------------------------------------------------------------------

export const gridOf = (shape, stride) => shape.map((edge) => Math.ceil(edge / stride));

// Returns the number of the cell that holds a voxel.
export function cellOf(voxel, grid, stride) {
  const [x, y, z] = voxel.map((place) => Math.floor(place / stride));
  return (x * grid[1] + y) * grid[2] + z;
}

// Returns the middle of a cell, in voxels; the last cell may reach beyond the scan.
export function middleOf(cell, grid, stride, shape) {
  const z = cell % grid[2];
  const y = Math.floor(cell / grid[2]) % grid[1];
  const x = Math.floor(cell / (grid[1] * grid[2]));
  return [x, y, z].map((place, axis) => {
    const start = place * stride;
    return (start + Math.min(start + stride, shape[axis]) - 1) / 2;
  });
}

// ---- which cells are alike ---------------------------------------------------------------------

const SAMPLED = 4096; // cells by which a share of all is estimated

// Fills `found` with each cell's squared distance to the query, and returns the nearest cell.
export function measure(cells, query, found) {
  const width = query.length;
  let nearest = 0;
  let least = Infinity;
  for (let cell = 0, at = 0; cell < found.length; cell++) {
    let sum = 0;
    for (let component = 0; component < width; component++, at++) {
      const apart = cells[at] - query[component];
      sum += apart * apart;
    }
    found[cell] = sum;
    if (sum < least) {
      least = sum;
      nearest = cell;
    }
  }
  return nearest;
}

// Returns the squared distances at which colouring begins and ends: the nearest cell's, and the one
// below which a share of all cells lies. So each picture has as much colour as any other, and tells
// by its shape whether the likest places lie together.
export function heatRange(found, share, nearest) {
  const step = Math.max(1, Math.floor(found.length / SAMPLED));
  const sampled = new Uint32Array(Math.ceil(found.length / step));
  for (let n = 0; n < sampled.length; n++) sampled[n] = found[n * step];
  sampled.sort();
  const end = sampled[Math.floor(share * (sampled.length - 1))];
  return [found[nearest], Math.max(end, found[nearest] + 1)];
}

// Likeness is 1 at the nearest cell, and 0 where colouring ends.
export const likeness = (squared, [start, end]) =>
  Math.min(1, Math.max(0, (end - squared) / (end - start)));

// ---- the nearest cells of several patients -------------------------------------------------------

// Returns the `count` cells that are nearest over several patients, the nearest first: {patient,
// cell}. Cells of one patient lie further apart than `apart` cells along some axis, from each other
// and from the one that is asked, so that one place is not found over and over.
export function nearestCells(found, grids, asked, apart, count) {
  const taken = found.map((distances) => new Uint8Array(distances.length));
  const best = found.map(() => null); // of each patient
  const nearest = [];
  const take = ({ patient, cell }) => {
    takeAround(taken[patient], grids[patient], cell, Math.floor(apart));
    best[patient] = null;
  };
  take(asked);
  while (nearest.length < count) {
    found.forEach((distances, patient) => {
      best[patient] ??= { patient, ...nearestFree(distances, taken[patient]) };
    });
    const next = best.reduce((a, b) => (b.squared < a.squared ? b : a));
    if (next.cell < 0) break; // all are taken
    nearest.push(next);
    take(next);
  }
  return nearest;
}

function nearestFree(distances, taken) {
  let [cell, squared] = [-1, Infinity];
  for (let at = 0; at < distances.length; at++) {
    if (distances[at] < squared && !taken[at]) [cell, squared] = [at, distances[at]];
  }
  return { cell, squared };
}

function takeAround(taken, grid, cell, apart) {
  const middle = [Math.floor(cell / (grid[1] * grid[2])), Math.floor(cell / grid[2]) % grid[1]];
  const at = [...middle, cell % grid[2]];
  const [[a, b], [c, d], [e, f]] = at.map((place, axis) => [
    Math.max(0, place - apart),
    Math.min(grid[axis] - 1, place + apart),
  ]);
  for (let x = a; x <= b; x++) {
    for (let y = c; y <= d; y++) {
      const row = (x * grid[1] + y) * grid[2];
      taken.fill(1, row + e, row + f + 1);
    }
  }
}

// ---- how far a match is off --------------------------------------------------------------------

export const distance = (a, b, spacing) =>
  Math.hypot(...a.map((place, axis) => (place - b[axis]) * spacing[axis]));

// Returns the voxels of each label, three numbers a voxel.
export function voxelsByLabel({ labels, shape }) {
  const found = new Map();
  for (let at = 0; at < labels.length; at++) {
    if (!labels[at]) continue;
    if (!found.has(labels[at])) found.set(labels[at], []);
    const z = at % shape[2];
    const rest = (at - z) / shape[2];
    found.get(labels[at]).push(Math.floor(rest / shape[1]), rest % shape[1], z);
  }
  return found;
}

// Returns the distance from a place to the nearest of some voxels; Infinity if there are none.
export function distanceToVoxels(place, voxels, spacing) {
  const [x, y, z] = place;
  const [a, b, c] = spacing.map((edge) => edge * edge);
  let least = Infinity;
  for (let at = 0; at < voxels.length; at += 3) {
    const squared =
      a * (voxels[at] - x) ** 2 + b * (voxels[at + 1] - y) ** 2 + c * (voxels[at + 2] - z) ** 2;
    if (squared < least) least = squared;
  }
  return Math.sqrt(least);
}

export const labelAt = ({ labels, shape }, voxel) =>
  labels ? labels[(voxel[0] * shape[1] + voxel[1]) * shape[2] + voxel[2]] : null;

// Returns the position of the crop's corner, among those there are, that is nearest to a move of so
// many voxels from where it is now.
export function nearestFrame(frames, now, move) {
  const wanted = frames[now].corner.map((place, axis) => place + move[axis]);
  const axes = [0, 1, 2].filter((axis) => move[axis] !== 0); // the others do not move in this plane
  const away = frames.map(({ corner }) =>
    Math.hypot(0, ...axes.map((axis) => corner[axis] - wanted[axis])),
  );
  return axes.length ? away.indexOf(Math.min(...away)) : now;
}

// What the network's answer depends on, as far as hiding shows it. Part after part of what it was
// given is made grey, and it is asked again: the lead of its answer over the next best one shrinks,
// or does not. This says what the answer needs. It does not say how the network comes to it.

import { best, viewsOf } from "./game_solvers.js";

const PARTS = { rotation: 5, rpl: 3, jigsaw: 1, cpc: 1 }; // along each axis of a view
const PATIENCE = 150; // milliseconds between two moments in which the page can act

// Parts as boxes of a view: those that are all one grey hide nothing, and are left out.
function partsOf(round, question, views) {
  const edge = question.block ?? Math.ceil(question.size[0] / PARTS[round.kind]);
  const steps = question.size.map((length) => Math.ceil(length / edge));
  const asked = round.kind === "cpc" ? views.slice(0, question.cells.length) : views;
  const parts = [];
  for (const [view, values] of asked.entries()) {
    for (let n = 0; n < steps[0] * steps[1] * steps[2]; n++) {
      const place = [
        Math.floor(n / (steps[1] * steps[2])),
        Math.floor(n / steps[2]) % steps[1],
        n % steps[2],
      ];
      const part = { view, number: n, from: place.map((p) => p * edge), edge };
      if (!question.hidden?.[n] && isVaried(question, values, part)) parts.push(part);
    }
  }
  return { parts, steps, edge };
}

function forEachVoxel({ size }, { from, edge }, act) {
  const [x, y, z] = from.map((start, axis) => Math.min(start + edge, size[axis]));
  for (let i = from[0]; i < x; i++) {
    for (let j = from[1]; j < y; j++) {
      for (let k = from[2]; k < z; k++) act((i * size[1] + j) * size[2] + k);
    }
  }
}

function isVaried(question, values, part) {
  let [low, high] = [Infinity, -Infinity];
  forEachVoxel(question, part, (at) => {
    low = Math.min(low, values[at]);
    high = Math.max(high, values[at]);
  });
  return high > low;
}

function withoutPart(question, values, part) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const hidden = values.slice();
  forEachVoxel(question, part, (at) => {
    hidden[at] = mean;
  });
  return hidden;
}

function leadOf(scores, answer) {
  const others = scores.filter((_, option) => option !== answer);
  return scores[answer] - Math.max(...others);
}

const breath = () => new Promise((done) => setTimeout(done));

// Tells how far the lead falls for each part: { steps, edge, drops: view → part → drop, … }. It stops
// when isWanted says so, and `told` hears how much of it is done.
export const occlusion = async (round, question, solver, isWanted, told) => {
  const views = viewsOf(question);
  const read = views.map((view) => solver.read(question, view));
  const scores = solver.score(question, read);
  const answer = best(scores);
  const [{ parts, steps, edge }, lead] = [partsOf(round, question, views), leadOf(scores, answer)];
  const found = {
    steps,
    edge,
    drops: views.map(() => new Map()),
    tried: parts.length,
    flips: 0,
    largest: 0,
  };
  let last = performance.now();
  for (const [done, part] of parts.entries()) {
    if (performance.now() - last > PATIENCE) {
      told(done / parts.length);
      await breath();
      last = performance.now();
      if (!isWanted()) return null;
    }
    const changed = [...read];
    changed[part.view] = solver.read(question, withoutPart(question, views[part.view], part));
    const left = leadOf(solver.score(question, changed), answer);
    if (left < 0) found.flips += 1;
    const drop = Math.max(0, lead - left);
    found.drops[part.view].set(part.number, drop);
    found.largest = Math.max(found.largest, drop);
  }
  return found;
};

// The share of the largest drop at a voxel of a view, or 0.
export function heatAt({ steps, edge, drops, largest }, view, [x, y, z]) {
  const [i, j, k] = [x, y, z].map((place) => Math.floor(place / edge));
  const drop = drops[view].get((i * steps[1] + j) * steps[2] + k) ?? 0;
  return largest ? drop / largest : 0;
}

// The voxel of a volume where it is most orange: amid those that are equally so.
export function hottest({ size, heat }) {
  let [most, voxels] = [0, []];
  for (let x = 0; x < size[0]; x += 2) {
    for (let y = 0; y < size[1]; y += 2) {
      for (let z = 0; z < size[2]; z += 2) {
        const share = heat([x, y, z]);
        if (share > most) [most, voxels] = [share, []];
        if (share && share === most) voxels.push([x, y, z]);
      }
    }
  }
  return voxels[Math.floor(voxels.length / 2)];
}

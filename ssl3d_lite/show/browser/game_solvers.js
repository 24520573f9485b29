// What the network says to a question: a score for each option, as game_questions.py has it. Each
// view is encoded by itself, so a view can be changed without encoding the others again.

import { unsigned } from "./bytes.js";
import { averaged, decode, encode, head, linear, relu, sizeOf } from "./game_network.js";

// The voxels that the network reads: whole greys, as the player sees them.
export function viewsOf(question) {
  const greys = unsigned(question.views);
  const size = sizeOf(question.size);
  return Array.from({ length: greys.length / size }, (_, view) =>
    valuesOf(question, greys.subarray(view * size, (view + 1) * size)),
  );
}

const valuesOf = ({ low, step }, greys) => Float32Array.from(greys, (grey) => low + step * grey);

// What is made of one view, to be kept; and the scores, from what was made of all.
export function makeSolver(round, network) {
  const pooled = (question, view) => averaged(encode(network, question.size, view));
  const solvers = {
    rotation: { read: pooled, score: (_, [one]) => head(network, "task.head", one) },
    rpl: { read: pooled, score: (_, all) => head(network, "task.head", all.flat()) },
    jigsaw: { read: pooled, score: (_, all) => head(network, "task.head", all.flat()) },
    cpc: {
      read: (question, view) => head(network, "task.embed", pooled(question, view)),
      score: (question, latents) => nextPatchScores(network, question, latents),
    },
    masked: {
      read: ({ size }, view) => decode(network, encode(network, size, view), size).values,
      score: (question, [rebuilt]) => blockScores(question, rebuilt),
    },
  };
  return solvers[round.kind];
}

export const best = (scores) => scores.indexOf(Math.max(...scores));

// ---- which patch comes next --------------------------------------------------------------------

function nextPatchScores(network, question, latents) {
  const { cells } = question;
  const context = contextAt(network, question, latents.slice(0, cells.length));
  // a convolution of one voxel is a linear layer
  const predicted = linear(network, `task.predict.${question.step_number}`, context);
  const similar = (latent) => cosine(predicted, latent) / network.settings.temperature;
  return latents.slice(cells.length).map(similar);
}

function cosine(a, b) {
  const length = (v) => Math.max(1e-12, Math.hypot(...v));
  return a.reduce((sum, value, n) => sum + value * b[n], 0) / (length(a) * length(b));
}

// What sums up the pyramid, at its tip. Places whose patches are not in it have no influence.
function contextAt(network, question, latents) {
  const { grid, cells, axis, backwards } = question;
  const way = network.tensors.get("task.way.weight");
  const dim = way.shape[1];
  const own = way.values.subarray((2 * axis + backwards) * dim, (2 * axis + backwards + 1) * dim);
  const place = placesAlong(grid, axis, backwards);
  const field = new Map(
    cells.map((cell, n) => [String(place(cell)), latents[n].map((value, d) => value + own[d])]),
  );
  let layer = field;
  for (let n = 0; network.tensors.has(`task.context.${n}.conv.weight`); n++) {
    layer = contextLayer(network, `task.context.${n}.conv`, layer);
  }
  return layer.get(String(place(cells[0])));
}

// A cell's number → its place: the row first, in the order of reading, then the places across.
function placesAlong(grid, axis, backwards) {
  return (cell) => {
    const at = [
      Math.floor(cell / (grid[1] * grid[2])),
      Math.floor(cell / grid[2]) % grid[1],
      cell % grid[2],
    ];
    const [row] = at.splice(axis, 1);
    return [backwards ? grid[axis] - 1 - row : row, ...at];
  };
}

// A convolution that sees the row before, there and beside, and its own place.
function contextLayer({ tensors }, name, field) {
  const { shape, values: weight } = tensors.get(`${name}.weight`);
  const bias = tensors.get(`${name}.bias`).values;
  const dim = shape[0];
  const result = new Map();
  for (const [key, before] of field) {
    const [row, u, v] = key.split(",").map(Number);
    const sum = Array.from(bias);
    const add = (latent, tap) => {
      for (let o = 0; o < dim; o++) {
        for (let i = 0; i < dim; i++) sum[o] += weight[(o * dim + i) * 18 + tap] * latent[i];
      }
    };
    for (let tap = 0; tap < 9; tap++) {
      const above = field.get(String([row - 1, u + Math.floor(tap / 3) - 1, v + (tap % 3) - 1]));
      if (above) add(above, tap);
    }
    add(before, 9 + 4);
    const seen = relu(sum);
    result.set(
      key,
      before.map((value, d) => value + seen[d]),
    );
  }
  return result;
}

// ---- what was hidden ---------------------------------------------------------------------------

// A block's place among the voxels of a box: its first voxel.
export const blockCorner = ({ blocks, block }, number) =>
  [
    Math.floor(number / (blocks[1] * blocks[2])),
    Math.floor(number / blocks[2]) % blocks[1],
    number % blocks[2],
  ].map((place) => place * block);

export function fillersOf(question) {
  const greys = unsigned(question.fillers);
  const size = question.block ** 3;
  return Array.from({ length: question.options }, (_, n) =>
    greys.subarray(n * size, (n + 1) * size),
  );
}

function blockScores(question, rebuilt) {
  const { size, block, asked } = question;
  const [a, b, c] = blockCorner(question, asked);
  return fillersOf(question).map((greys) => {
    const filler = valuesOf(question, greys);
    let sum = 0;
    for (let i = 0, n = 0; i < block; i++) {
      for (let j = 0; j < block; j++) {
        for (let k = 0; k < block; k++, n++) {
          const at = ((a + i) * size[1] + b + j) * size[2] + c + k;
          sum += (rebuilt[at] - filler[n]) ** 2;
        }
      }
    }
    return -sum / block ** 3;
  });
}

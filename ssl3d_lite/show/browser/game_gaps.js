// Two questions of what belongs into a gap: the patch that comes next, the block that was hidden.
// What the network is not shown is veiled. An option that is chosen is put into the gap.

import { make } from "./elements.js";
import { heatAt } from "./game_occlusion.js";
import { makeOptions } from "./game_options.js";
import { makeThumbnail, makeViewer } from "./game_planes.js";
import { blockCorner, fillersOf } from "./game_solvers.js";
import { heated, volumesOf } from "./game_turns.js";

const VEIL = [91, 95, 151]; // as hidden voxels are in every view: pieces.py
const LETTERS = "ABCDEF";

export function askBlock(parent, { question }, changed) {
  const [{ size, greys }] = volumesOf(question);
  const hidden = (voxel) => {
    const [i, j, k] = voxel.map((place) => Math.floor(place / question.block));
    return question.hidden[(i * question.blocks[1] + j) * question.blocks[2] + k];
  };
  const from = blockCorner(question, question.asked);
  const edges = [question.block, question.block, question.block];
  const fillers = fillersOf(question).map((each) => ({ size: edges, greys: each }));
  const gap = { size, greys, hidden, from, fillers };
  const heats = (found) => [["the head as the network got it", veiled(heated(gap, found, 0))]];
  return askGap(parent, question, gap, "the head", heats, changed);
}

export function askNext(parent, { question }, changed) {
  const patches = volumesOf(question);
  const seen = patches.slice(0, question.cells.length);
  const edges = question.size;
  const size = [0, 1, 2].map(
    (axis) => Math.max(...question.corners.map((corner) => corner[axis])) + edges[axis],
  );
  const greys = new Uint8Array(size[0] * size[1] * size[2]);
  const covered = new Map(); // a voxel → the patches that lie over it
  for (const [n, patch] of seen.entries()) {
    paste(greys, size, patch, question.corners[n], (at) => {
      covered.set(at, [...(covered.get(at) ?? []), n]);
    });
  }
  const index = ([x, y, z]) => (x * size[1] + y) * size[2] + z;
  const hidden = (voxel) => !covered.has(index(voxel));
  const gap = {
    size,
    greys,
    hidden,
    from: question.corners.at(-1),
    fillers: patches.slice(seen.length),
  };
  const inPatch = (found) => (voxel) =>
    Math.max(0, ...(covered.get(index(voxel)) ?? []).map((n) => heatAt(found, n, [0, 0, 0])));
  const heats = (found) => [["what the network got", veiled({ ...gap, heat: inPatch(found) })]];
  return askGap(parent, question, gap, "the part that is shown", heats, changed);
}

// Copies a box into a volume, and tells of each voxel of the volume that it lies on.
function paste(greys, size, box, corner, told = () => {}) {
  const [x, y, z] = box.size;
  for (let i = 0, n = 0; i < x; i++) {
    for (let j = 0; j < y; j++) {
      for (let k = 0; k < z; k++, n++) {
        const at = ((corner[0] + i) * size[1] + corner[1] + j) * size[2] + corner[2] + k;
        greys[at] = box.greys[n];
        told(at);
      }
    }
  }
}

const endOf = ({ from, fillers: [{ size }] }) => from.map((start, axis) => start + size[axis]);

const isIn = (gap, end, voxel) =>
  voxel.every((place, axis) => place >= gap.from[axis] && place < end[axis]);

// The volume with its veil, and with an option in the gap if there is one.
function veiled(gap, option = null) {
  const end = endOf(gap);
  const filled = option !== null;
  const greys = filled ? gap.greys.slice() : gap.greys;
  if (filled) paste(greys, gap.size, gap.fillers[option], gap.from);
  const veil = (voxel) => (gap.hidden(voxel) && !(filled && isIn(gap, end, voxel)) ? VEIL : null);
  const at = gap.from.map((start, axis) => Math.floor((start + end[axis]) / 2));
  const boxes = [{ from: gap.from, to: end, text: filled ? "" : "?" }];
  return { ...gap, greys, veil, at, boxes };
}

function askGap(parent, question, gap, name, heats, changed) {
  const title = make(parent, "p", { className: "now" });
  const viewer = makeViewer(parent, name, veiled(gap));
  title.textContent = "What is blue is hidden. What belongs at the question mark?";
  const labels = gap.fillers.map((_, n) => `option ${LETTERS[n]}`);
  const dress = (label, option) => {
    make(label, "b", { textContent: LETTERS[option] });
    for (const axis of [0, 1, 2]) makeThumbnail(label, gap.fillers[option], axis);
  };
  const chosen = (option) => {
    title.textContent = `With ${labels[option]} in the gap:`;
    viewer.show(veiled(gap, option));
    changed();
  };
  const legend = "Which one belongs there? Each is seen from the side, from the front, from above.";
  const options = makeOptions(parent, legend, labels, chosen, dress, "fillers");
  return {
    options,
    answer: () => options.choice,
    told: (option) => labels[option],
    reveal(person, network) {
      options.mark(question.correct, person, network);
      title.textContent = `This belongs there, ${labels[question.correct]}:`;
      viewer.show(veiled(gap, question.correct));
    },
    heats,
  };
}

// Two questions with classes: which way was it turned, and where does the patch lie?

import { unsigned } from "./bytes.js";
import { make } from "./elements.js";
import { sizeOf } from "./game_network.js";
import { heatAt } from "./game_occlusion.js";
import { makeOptions } from "./game_options.js";
import { makeThumbnail, makeViewer } from "./game_planes.js";

// The views of a question as volumes that can be shown.
export function volumesOf({ size, views }) {
  const [greys, length] = [unsigned(views), sizeOf(size)];
  return Array.from({ length: greys.length / length }, (_, view) => ({
    size,
    greys: greys.subarray(view * length, (view + 1) * length),
  }));
}

// The same for the eye: a few very bright voxels would leave all others dark.
export function brightened({ size, greys }) {
  const sorted = greys.slice().sort();
  const [low, high] = [0.01, 0.99].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  const scale = 255 / Math.max(1, high - low);
  const stretched = greys.map((grey) => Math.max(0, Math.min(255, (grey - low) * scale)));
  return { size, greys: stretched };
}

// A cube before it was turned from axis a to axis b: one quarter back after another.
export function turnedBack({ size, greys }, [a, b, quarters]) {
  const [edge, stride] = [size[0], [size[1] * size[2], size[2], 1]];
  const c = 3 - a - b;
  let before = greys;
  for (let n = 0; n < quarters; n++) {
    const [turned, next] = [before, new Uint8Array(greys.length)];
    for (let p = 0; p < edge; p++) {
      for (let q = 0; q < edge; q++) {
        let [to, from] = [
          p * stride[a] + q * stride[b],
          (edge - 1 - q) * stride[a] + p * stride[b],
        ];
        for (let r = 0; r < edge; r++, to += stride[c], from += stride[c]) next[to] = turned[from];
      }
    }
    before = next;
  }
  return { size, greys: before };
}

const MOVES = {
  "L–R": "as in nodding",
  "P–A": "towards a shoulder",
  "I–S": "as in shaking the head",
};

export function askTurn(parent, { round, question }, changed) {
  const [turned] = volumesOf(question);
  const example = make(parent, "figure", { className: "example" });
  const upright = { size: round.example.size, greys: unsigned(round.example.greys) };
  for (const axis of [0, 1, 2]) makeThumbnail(example, upright, axis);
  make(example, "figcaption", {
    textContent: "Another one, upright: this is how it should look.",
  });
  const title = make(parent, "p", { className: "now" });
  const viewer = makeViewer(parent, "the head", turned);
  const tell = (option) => {
    const said = round.answers[option ?? 0];
    title.textContent = option ? `After ${said}, turned back it would be so:` : "As it came:";
    viewer.show(turnedBack(turned, round.turns[option ?? 0]));
  };
  tell(null);
  const chosen = (option) => {
    tell(option);
    changed();
  };
  const options = makeTurnOptions(parent, round.answers, chosen);
  return {
    options,
    answer: () => options.choice,
    told: (option) => round.answers[option],
    reveal(person, network) {
      options.mark(question.correct, person, network);
      tell(question.correct);
      title.textContent = "Turned back rightly, it is upright:";
    },
    heats: (found) => [["the head as the network got it", heated(turned, found, 0)]],
  };
}

// A column for each axis, "a quarter turn about L–R" and so on in it, and "not turned" before them.
function makeTurnOptions(parent, answers, chosen) {
  const parts = answers.map((answer) => answer.split(" about "));
  const dress = (label, option) => make(label, "span", { textContent: parts[option][0] });
  const options = makeOptions(parent, "How was it turned?", answers, chosen, dress, "turns");
  const columns = new Map();
  for (const [option, [, axis]] of parts.entries()) {
    if (!axis) continue;
    if (!columns.has(axis)) {
      const column = make(options.set, "div", { className: "layer" });
      make(column, "span", { className: "name", textContent: `about ${axis}: ${MOVES[axis]}` });
      columns.set(axis, column);
    }
    columns.get(axis).append(options.buttons[option].label);
  }
  return options;
}

export const heated = (volume, found, view) => ({
  ...volume,
  heat: (voxel) => heatAt(found, view, voxel),
});

const HEIGHTS = ["above", "at the same height", "below"];

export function askPlace(parent, { round, question }, changed) {
  const volumes = volumesOf(question).map(brightened);
  const names = ["the centre patch", "the patch in question"];
  const beside = make(parent, "div", { className: "beside" });
  for (const [n, name] of names.entries()) {
    const part = make(beside, "section");
    make(part, "h4", { textContent: name });
    makeViewer(part, name, volumes[n]);
  }
  const legend = "Where does it lie, seen from the centre?";
  const chosen = (option) => {
    told.textContent = round.answers[option];
    changed();
  };
  const options = makeOptions(parent, legend, round.answers, chosen);
  const told = make(parent, "p", { className: "now" }, { "aria-live": "polite" });
  options.set.classList.add("places");
  layOut(options, round.answers.length);
  return {
    options,
    answer: () => options.choice,
    told: (option) => round.answers[option],
    reveal: (person, network) => options.mark(question.correct, person, network),
    heats: (found) => names.map((name, n) => [name, heated(volumes[n], found, n)]),
  };
}

// Three layers of nine places: what is in front lies at the top of each, what is left on the left.
// The buttons stay in the order in which they are seen, so that arrow keys go along a row.
function layOut(options, places) {
  for (const [layer, name] of HEIGHTS.entries()) {
    const column = make(options.set, "div", { className: "layer" }, { "aria-hidden": "false" });
    make(column, "span", { className: "name", textContent: name });
    const grid = make(column, "div", { className: "grid" });
    for (let n = 0; n < 9; n++) {
      const [x, y, z] = [n % 3, 2 - Math.floor(n / 3), 2 - layer];
      const cell = (x * 3 + y) * 3 + z;
      const centre = Math.floor(places / 2);
      if (cell === centre) make(grid, "span", { className: "centre", textContent: "centre" });
      else grid.append(options.buttons[cell - (cell > centre)].label);
    }
  }
  const sides = "In each square: top is in front, bottom behind, left is left.";
  make(options.set, "p", { className: "help", textContent: sides });
}

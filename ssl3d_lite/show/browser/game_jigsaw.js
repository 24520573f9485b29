// A jigsaw of 27 pieces in three layers: two pieces change places, by dragging one onto the other,
// or by touching both. A piece that was moved counts as put where it lies.
//
// The network knows that only so many orders occur, and names one. So the player's pieces are read in
// the same way: the order that most of the pieces fit which were put somewhere.

import { make } from "./elements.js";
import { heatAt } from "./game_occlusion.js";
import { makeOptions } from "./game_options.js";
import { makeViewer, paintPlane } from "./game_planes.js";
import { brightened, volumesOf } from "./game_turns.js";
import { PLANES } from "./slices_geometry.js";

const SIDE = 3;
const LAYERS = ["top layer", "middle layer", "bottom layer"];
const ROWS = ["front", "middle", "back"];
const COLUMNS = ["left", "middle", "right"];
const RIM = 1; // voxels between the pieces of the whole
const FEWEST = 3; // pieces that have to be put somewhere before an order can be read

// Returns the order in which most pieces lie where they were put: orders[o][view] is the cell of the
// piece that is shown at `view`. `cellOf` is a map from view to cell.
export function nearestOrder(orders, cellOf) {
  const fits = orders.map((order) =>
    [...cellOf].reduce((count, [view, cell]) => count + (order[view] === cell), 0),
  );
  return fits.indexOf(Math.max(...fits));
}

export function askOrder(parent, { question }, changed) {
  const pieces = volumesOf(question).map(brightened);
  const board = {
    pieces,
    at: pieces.map((_, n) => n),
    put: new Set(),
    held: null,
    cells: [],
    axis: 2,
  };
  makePlaneChoice(parent, board);
  board.root = make(parent, "div", { className: "board" });
  for (const layer of [0, 1, 2]) makeLayer(board, layer, changed);
  const hand = make(parent, "section", { className: "hand" });
  board.told = make(hand, "p", { className: "now" }, { "aria-live": "polite" });
  board.viewer = makeViewer(hand, "the piece in your hand", pieces[0]);
  redraw(board);
  const { orders } = question;
  const right = orders[question.correct];
  const inPlace = (option) => right.filter((cell, view) => cell === orders[option][view]).length;
  return {
    answer: () => (board.put.size < FEWEST ? null : nearestOrder(orders, placed(board))),
    told: (option) => `order ${option}: ${inPlace(option)} of ${right.length} pieces in place`,
    reveal() {
      board.done = true;
      board.at = right.map((_, cell) => right.indexOf(cell));
      board.put.clear();
      redraw(board);
      hand.replaceChildren();
      make(hand, "p", { className: "now", textContent: "All pieces in place, as one head:" });
      makeViewer(hand, "the head", assembled(pieces, right));
    },
    heats: (found) => [["the head, put together", assembled(pieces, right, found)]],
  };
}

function makePlaneChoice(parent, board) {
  const names = ["from the side", "from the front", "from above"];
  const chosen = (axis) => {
    board.axis = axis;
    redraw(board);
  };
  const dress = (label, axis) => make(label, "span", { textContent: names[axis] });
  makeOptions(
    parent,
    "Look at the pieces",
    names,
    chosen,
    dress,
    "small",
  ).buttons[2].input.checked = true;
}

// The views that were put somewhere → their cells.
const placed = ({ at, put }) => new Map([...put].map((view) => [view, at.indexOf(view)]));

function makeLayer(board, layer, changed) {
  const column = make(board.root, "div", { className: "layer" });
  make(column, "span", { className: "name", textContent: LAYERS[layer] });
  const grid = make(column, "div", { className: "grid" });
  for (let n = 0; n < SIDE * SIDE; n++) {
    const [row, x] = [Math.floor(n / SIDE), n % SIDE];
    const cell = (x * SIDE + SIDE - 1 - row) * SIDE + SIDE - 1 - layer;
    const button = make(grid, "button", { type: "button", className: "piece" });
    const place = `${LAYERS[layer]}, ${ROWS[row]}, ${COLUMNS[x]}`;
    const canvas = make(button, "canvas", {}, { "aria-hidden": "true" });
    board.cells.push({ cell, button, canvas, place });
    button.addEventListener("click", () => touch(board, cell, changed));
    listenToDrag(board, button, cell, changed);
  }
}

function touch(board, cell, changed) {
  if (board.done || board.dragged) return;
  if (board.held === null) board.held = cell;
  else if (board.held === cell) board.held = null;
  else swap(board, board.held, cell, changed);
  redraw(board);
}

function swap(board, from, to, changed) {
  const { at, put } = board;
  [at[from], at[to]] = [at[to], at[from]];
  put.add(at[to]);
  put.delete(at[from]); // it had to make room, and was put nowhere
  board.held = null;
  changed();
}

function listenToDrag(board, button, cell, changed) {
  button.addEventListener("pointerdown", (event) => {
    board.dragged = false;
    button.releasePointerCapture?.(event.pointerId); // a finger would keep all events to itself
    if (board.done) return;
    const up = (end) => {
      globalThis.removeEventListener("pointerup", up);
      const over = document.elementFromPoint(end.clientX, end.clientY)?.closest(".piece");
      const there = board.cells.find((each) => each.button === over);
      if (!there || there.cell === cell) return;
      swap(board, cell, there.cell, changed);
      board.dragged = true; // no click comes after it on the same piece
      setTimeout(() => {
        board.dragged = false;
      });
      redraw(board);
    };
    globalThis.addEventListener("pointerup", up);
  });
}

function redraw(board) {
  for (const { cell, button, canvas, place } of board.cells) {
    const view = board.at[cell];
    const [held, put] = [board.held === cell, board.put.has(view)];
    paintPlane(
      canvas,
      board.pieces[view],
      PLANES[board.axis],
      Math.floor(board.pieces[view].size[board.axis] / 2),
    );
    button.classList.toggle("put", put);
    button.setAttribute("aria-pressed", held);
    button.setAttribute(
      "aria-label",
      `${place}: piece ${view + 1}${put ? ", put here by you" : ""}`,
    );
  }
  if (board.done) return;
  const held = board.held === null ? null : board.at[board.held];
  board.told.textContent =
    held === null
      ? `Touch a piece, then the place where it belongs. ${board.put.size} put so far.`
      : `Piece ${held + 1} is in your hand. Touch the place where it belongs.`;
  if (held !== null) board.viewer.show(board.pieces[held]);
}

// All pieces side by side in their cells, with how much hiding each of them mattered.
function assembled(pieces, order, found = null) {
  const step = pieces[0].size[0] + RIM;
  const size = [0, 1, 2].map(() => SIDE * step - RIM);
  const greys = new Uint8Array(size[0] ** 3);
  const viewAt = (voxel) => {
    const [x, y, z] = voxel.map((place) => Math.floor(place / step));
    return order.indexOf((x * SIDE + y) * SIDE + z);
  };
  const voxel = [0, 0, 0];
  for (voxel[0] = 0; voxel[0] < size[0]; voxel[0]++) {
    for (voxel[1] = 0; voxel[1] < size[1]; voxel[1]++) {
      for (voxel[2] = 0; voxel[2] < size[2]; voxel[2]++) {
        const [x, y, z] = voxel.map((place) => place % step);
        if (Math.max(x, y, z) === step - RIM) continue;
        const edge = step - RIM;
        greys[(voxel[0] * size[1] + voxel[1]) * size[2] + voxel[2]] =
          pieces[viewAt(voxel)].greys[(x * edge + y) * edge + z];
      }
    }
  }
  const heat = found && ((place) => heatAt(found, viewAt(place), [0, 0, 0]));
  return { size, greys, heat };
}

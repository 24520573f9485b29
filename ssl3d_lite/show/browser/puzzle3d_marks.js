// Edges, numbers and marks tell pieces from each other. This module says how they look.

const RIGHT = "#009E73";
const WRONG = "#D55E00";
const GREY = "#777777";
const DARK_GREY = "#333333"; // small names need more contrast than edges
const PALE = ["#E69F00", "#56B4E9", "#CC79A7"]; // white could not be read on these

// A guess that is right or wrong has the mark true or false. Beside it, pieces without a mark have
// null. In a puzzle that has no guess at all, pieces have undefined.
export function markOf(scene, panel, number) {
  const { right } = scene.pieces[number];
  if (panel.marked && right !== null) return right;
  return scene.panels.length > 1 ? null : undefined;
}

export function edgeColour(piece, mark) {
  if (mark === undefined) return piece.colour;
  if (mark === null) return GREY;
  return mark ? RIGHT : WRONG;
}

export const nameColour = (piece, mark) => (mark === null ? DARK_GREY : edgeColour(piece, mark));

export const colourOn = (ground) => (PALE.includes(ground) ? "#000" : "#fff");

export const nameOf = (number, mark) => (({ true: "✓ ", false: "✗ " })[mark] ?? "") + number;

// A single piece needs no number, and names of pieces that overlap would hide each other.
export function isNamed(scene, mark, apart) {
  if (scene.pieces.length === 1 && typeof mark !== "boolean") return false;
  return !(scene.overlap && apart < 0.4);
}

// Edges, numbers and marks tell pieces from each other. This module says how they look.

import { RIGHT_COLOUR, WRONG_COLOUR } from "./verdicts.js";

const GREY = "#777777";
const DARK_GREY = "#333333"; // small names need more contrast than edges

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
  return mark ? RIGHT_COLOUR : WRONG_COLOUR;
}

export const nameColour = (piece, mark) => (mark === null ? DARK_GREY : edgeColour(piece, mark));

// Black or white, whichever can be read on a colour.
export function colourOn(ground) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(ground.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}

export const nameOf = ({ badge }, mark) => (({ true: "✓ ", false: "✗ " })[mark] ?? "") + badge;

// A single piece needs no number, and numbers of pieces that overlap would hide each other. What is
// asked about, and what was answered, has its name always.
export function isNamed(scene, piece, mark, apart) {
  if (piece.ghost || (scene.overlap && typeof mark === "boolean" && scene.panels.length === 1))
    return true;
  if (scene.pieces.length === 1 && typeof mark !== "boolean") return false;
  return !(scene.overlap && apart < 0.4);
}

// Says where the body's sides came to lie: the letter of a turned piece's side, or nothing where
// the side is askew. `home` leads from the piece's voxels to where they lie in the body.
export function sideLetter(home, { axis, far }) {
  const way = home.slice(0, 3).map((row) => row[axis]);
  const leads = way.findIndex((part) => Math.abs(part) > 0.99 * Math.hypot(...way));
  if (leads < 0) return "";
  return ["LR", "PA", "IS"][leads][+(way[leads] > 0 === far)];
}

// These functions draw a puzzle in 3D: pieces, the scan's box, a compass, titles.
//
// Seen without perspective, each side of a box is a parallelogram, and a canvas can draw a picture
// into one exactly: so far boxes first, near boxes last (the painter's way) is all that it takes.

import { project } from "./looking.js";
import {
  apply,
  inside,
  middleVoxel,
  nearestAxis,
  sideOnCanvas,
  sidesSeen,
} from "./puzzle3d_geometry.js";
import {
  colourOn,
  edgeColour,
  isNamed,
  markOf,
  nameColour,
  nameOf,
  sideLetter,
} from "./puzzle3d_marks.js";
import { dot } from "./vectors.js";

const FONT = "system-ui, sans-serif";
const SHADE = [0.22, 0.1, 0]; // each axis darkens its sides so much: light comes from above
const PICKED = "#F0E442";

// The pen then measures in CSS pixels from the canvas's corner.
const onPage = (pen, { ratio }) => pen.setTransform(ratio, 0, 0, ratio, 0, 0);

// ---- pieces ------------------------------------------------------------------------------------

// Returns the sides that it drew, the nearest last, so that a click can be told whose they are.
// `chosen` has the scene, what the reader `picked`, how far pieces are `apart`, and a function
// `picture(number, side)`.
export function drawPieces(pen, view, chosen, matrices) {
  const middle = middleVoxel(chosen.scene.size);
  const far = matrices.map((m, number) => [dot(apply(m, middle), view.near), number]);
  far.sort((a, b) => a[0] - b[0]);
  const drawn = far.flatMap(([, number]) => drawPiece(pen, view, chosen, matrices[number], number));
  drawNames(pen, view, chosen, drawn);
  return drawn;
}

function drawPiece(pen, view, chosen, matrix, number) {
  const quads = sidesSeen(matrix, view.near).map((side) => {
    const onCanvas = sideOnCanvas(view, matrix, chosen.scene.size, side);
    const piece = chosen.scene.pieces[number];
    if (!piece.ghost) drawSide(pen, view, chosen.picture(number, side), side, onCanvas);
    if (piece.ghost || piece.tinted) tintSide(pen, view, onCanvas.quad, piece);
    drawEdge(pen, view, chosen, onCanvas.quad, number);
    if (chosen.scene.turned) drawLetter(pen, view, onCanvas.quad, sideLetter(piece.home[0], side));
    return onCanvas.quad;
  });
  return quads.map((quad) => ({ quad, number }));
}

function drawSide(pen, view, picture, { normal }, { quad: [first], right, up }) {
  onPage(pen, view);
  const [alongRight, alongUp] = [right, up].map((p) => [p[0] - first[0], p[1] - first[1]]);
  pen.transform(...alongRight, ...alongUp, ...first);
  pen.imageSmoothingEnabled = false; // voxels are what the network gets
  pen.drawImage(picture, 0, 0);
  pen.fillStyle = `rgba(0, 0, 0, ${SHADE[nearestAxis(normal)]})`;
  pen.fillRect(0, 0, picture.width, picture.height);
}

function outlineSide(pen, view, quad) {
  onPage(pen, view);
  pen.beginPath();
  for (const corner of quad) pen.lineTo(...corner);
  pen.closePath();
}

// A piece of the context is blue; a place where nothing is known yet can be looked through.
function tintSide(pen, view, quad, { colour, ghost }) {
  outlineSide(pen, view, quad);
  pen.globalAlpha = ghost ? 0.15 : 0.3;
  pen.fillStyle = colour;
  pen.fill();
  pen.globalAlpha = 1;
}

function drawLetter(pen, view, quad, letter) {
  if (!letter) return;
  onPage(pen, view);
  const [x, y] = [0, 1].map((a) => quad[0][a] + 0.13 * (quad[2][a] - quad[0][a]));
  pen.font = `600 13px ${FONT}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 3;
  pen.strokeStyle = "rgba(0, 0, 0, 0.75)";
  pen.strokeText(letter, x, y);
  pen.fillStyle = "#ffe9a8";
  pen.fillText(letter, x, y);
  pen.textBaseline = "alphabetic";
}

function drawEdge(pen, view, { scene, picked }, quad, number) {
  const mark = markOf(scene, view.panel, number);
  const isPicked = picked === number;
  outlineSide(pen, view, quad);
  pen.lineJoin = "round";
  pen.lineWidth = isPicked ? 6 : 2.5;
  pen.strokeStyle = isPicked ? PICKED : edgeColour(scene.pieces[number], mark);
  if ((mark === false || scene.pieces[number].ghost) && !isPicked) pen.setLineDash([6, 4]);
  pen.stroke();
  pen.setLineDash([]);
  if (isPicked) {
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#000";
    pen.stroke();
  }
}

// Names come after all pieces, lest one be cut by a piece in front; a piece that is hidden has none.
function drawNames(pen, view, { scene, apart }, drawn) {
  const sides = new Map();
  for (const { quad, number } of drawn) sides.set(number, [quad, ...(sides.get(number) ?? [])]);
  for (const [number, quads] of sides) {
    const mark = markOf(scene, view.panel, number);
    if (!isNamed(scene, scene.pieces[number], mark, apart)) continue;
    const quad = quads.find((each) => {
      const [x, y] = middleOfSide(each);
      return drawn.findLast((side) => inside(side.quad, x, y)).number === number;
    });
    if (quad) drawName(pen, view, scene.pieces[number], mark, quad);
  }
}

const middleOfSide = (quad) => [0, 1].map((a) => quad.reduce((sum, p) => sum + p[a], 0) / 4);

function drawName(pen, view, piece, mark, quad) {
  onPage(pen, view);
  const name = nameOf(piece, mark);
  const colour = nameColour(piece, mark);
  const [x, y] = middleOfSide(quad);
  const edge = Math.hypot(quad[1][0] - quad[0][0], quad[1][1] - quad[0][1]);
  const size = Math.max(10, Math.min(14, edge / 4));
  pen.font = `600 ${size}px ${FONT}`;
  const width = pen.measureText(name).width + 8;
  pen.fillStyle = colour;
  pen.globalAlpha = 0.9;
  pen.beginPath();
  pen.roundRect(x - width / 2, y - size / 2 - 3, width, size + 6, 4);
  pen.fill();
  pen.globalAlpha = 1;
  pen.fillStyle = colourOn(colour);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(name, x, y + 1);
  pen.textBaseline = "alphabetic";
}

// ---- what stands about them --------------------------------------------------------------------

export function drawTitle(pen, view) {
  onPage(pen, view);
  pen.font = `600 14px ${FONT}`;
  pen.textAlign = "center";
  pen.fillStyle = "#222";
  pen.fillText(view.panel.title, view.x, 16, view.width - 10);
}

export function drawFrame(pen, view, corners, opacity) {
  onPage(pen, view);
  pen.globalAlpha = opacity;
  pen.strokeStyle = "#bbb";
  pen.lineWidth = 1;
  corners.forEach((from, n) => {
    for (const bit of [1, 2, 4]) if (!(n & bit)) drawLine(pen, view, from, corners[n | bit]);
  });
  pen.globalAlpha = 1;
}

function drawLine(pen, view, from, to) {
  pen.beginPath();
  pen.moveTo(...project(view, from));
  pen.lineTo(...project(view, to));
  pen.stroke();
}

// The compass shows where the patient's right, front (anterior) and top (superior) are.
export function drawCompass(pen, view, x, y, opacity) {
  onPage(pen, view);
  pen.globalAlpha = opacity;
  pen.strokeStyle = "#444";
  pen.fillStyle = "#444";
  pen.lineWidth = 1.5;
  pen.font = `600 12px ${FONT}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  ["R", "A", "S"].forEach((name, axis) => {
    const [across, up] = [view.across[axis], view.up[axis]];
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + 18 * across, y - 18 * up);
    pen.stroke();
    pen.fillText(name, x + 26 * across, y - 26 * up);
  });
  pen.textBaseline = "alphabetic";
  pen.globalAlpha = 1;
}

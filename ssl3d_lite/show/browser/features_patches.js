// The patches that are most like the one that is asked, over all patients: a strip for each column.

import { BY_CPU, sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { drawPatch, drawPointer, drawRing } from "./features_drawing.js";
import { middleOf, nearestCells } from "./features_matches.js";
import { sayBelow } from "./features_panel.js";
import { answerOf, judged, letterOf, planeOf } from "./features_question.js";

const COUNT = 10; // patches that are found
const THUMB = 84; // of a thumbnail, in CSS pixels
const SHARE = 5; // a patch reaches so far from its middle: this part of the shortest edge

export function makePatches(view, root, choose) {
  const section = make(root, "section", { className: "ssl3d-patches" });
  make(section, "h4", {
    textContent:
      "The patches most like the one you point at, of all patients; a click asks from there",
  });
  const strips = view.columns.map(({ name }) => {
    const strip = make(section, "div", { className: "ssl3d-strip" });
    make(strip, "div", { className: "ssl3d-name", textContent: name });
    const row = make(strip, "div", { className: "ssl3d-thumbs" });
    return Array.from({ length: COUNT + 1 }, (_, n) => makeThumb(row, `${name}, ${n}`, choose));
  });
  return { strips };
}

function makeThumb(row, label, choose) {
  const element = make(row, "figure");
  const about = { role: "img", "aria-label": label };
  const canvas = make(element, "canvas", {}, about);
  const context = canvas.getContext("2d", BY_CPU);
  const layer = document.createElement("canvas");
  const caption = make(element, "figcaption");
  const thumb = { element, canvas, context, layer, caption, edge: THUMB };
  canvas.addEventListener("click", () => choose(thumb.question));
  return thumb;
}

export function arrangePatches({ patches }) {
  for (const thumb of patches.strips.flat()) sizeCanvas(thumb, THUMB, THUMB);
}

export function drawPatches(view) {
  const { patches, patients, stride, asked } = view;
  const reach = Math.min(...patients.flatMap(({ shape }) => shape)) / SHARE;
  const grids = patients.map(({ grid }) => grid);
  patches.strips.forEach((strip, row) => {
    const found = patients.map((_, subject) => answerOf(view, row, subject).distances);
    const nearest = nearestCells(found, grids, asked, reach / stride, COUNT);
    drawThumb(view, strip[0], asked.patient, asked.voxel, reach);
    strip.slice(1).forEach((thumb, n) => {
      thumb.element.hidden = n >= nearest.length;
      if (thumb.element.hidden) return;
      const { patient, cell } = nearest[n];
      const { grid, shape } = patients[patient];
      drawThumb(view, thumb, patient, middleOf(cell, grid, stride, shape), reach);
    });
  });
}

function drawThumb(view, thumb, subject, place, reach) {
  drawPatch(thumb, view.patients[subject], planeOf(view), place, reach);
  thumb.question = { patient: subject, voxel: place.map(Math.floor) };
  if (place === view.asked.voxel) {
    drawPointer(thumb, [THUMB / 2, THUMB / 2]);
    sayBelow(thumb, `${letterOf(subject)} asked`);
  } else {
    const { brief = "", colour } = judged(view, subject, place);
    drawRing(thumb, [THUMB / 2, THUMB / 2], colour);
    sayBelow(thumb, `${letterOf(subject)} ${brief}`, colour);
  }
}

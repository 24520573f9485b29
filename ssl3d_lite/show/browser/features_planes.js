// Three planes of one patient that cross where it is looked at: the scan, a column's features in
// colours, and how like each voxel is to the one that is asked.

import { sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { drawPanel, listenToQuestions, makePanel } from "./features_panel.js";
import { letterOf, patientOf, placeOfInterest } from "./features_question.js";
import { drawCross, drawLetters } from "./slices_drawing.js";
import { PLANES } from "./slices_geometry.js";

const WIDEST = 480; // of three planes side by side, in CSS pixels
const BETWEEN_PLANES = 6;
const ROWS = { scan: "the scan", colours: "features in colours", heat: "like the voxel asked" };

export function makePlanes(view, root, hover, choose) {
  const section = make(root, "section", { className: "ssl3d-three" });
  const bar = make(section, "div", { className: "ssl3d-controls" });
  const names = view.patients.map(({ name }, subject) => `${letterOf(subject)} ${name}`);
  const patient = picker(bar, "three planes of", ["the patient asked", ...names]);
  const column = picker(
    bar,
    "by",
    view.columns.map(({ name }) => name),
  );
  const grid = make(section, "div", { className: "ssl3d-three-grid" });
  const panels = Object.entries(ROWS).flatMap(([shows, name]) => {
    make(grid, "div", { className: "ssl3d-name", textContent: name });
    return PLANES.map((plane) => {
      const panel = makePanel(grid, `${name}, ${plane.name}`);
      listenToQuestions(view, panel, hover, choose);
      return { panel, shows, plane };
    });
  });
  const redraw = () => drawPlanes(view);
  for (const each of [patient, column]) each.addEventListener("change", redraw);
  return { patient, column, grid, panels };
}

function picker(bar, text, options) {
  const select = make(make(bar, "label", { textContent: text }), "select");
  options.forEach((textContent, value) => {
    make(select, "option", { textContent, value });
  });
  return select;
}

export function drawPlanes(view) {
  const { patient, column, panels } = view.planes;
  const row = Number(column.value);
  const subject = patient.value === "0" ? view.asked.patient : Number(patient.value) - 1;
  const place = placeOfInterest(view, row, subject);
  for (const { panel, shows, plane } of panels) {
    if (!panel.width) continue;
    drawPanel(view, panel, { row, subject, plane, place, shows });
    drawCross(panel, patientOf(view, subject), place);
    drawLetters(panel);
    const there = `${"xyz"[plane.axis]} = ${panel.slice}`;
    panel.caption.textContent = `${plane.name}, ${there}`;
  }
}

// One size serves all patients, else the picture would jump when another one is asked.
export function arrangePlanes({ planes, patients }, width) {
  const extent = [0, 1, 2].map((axis) => {
    return Math.max(...patients.map(({ shape, spacing }) => shape[axis] * spacing[axis]));
  });
  const sum = PLANES.reduce((total, { across }) => total + extent[across], 0);
  const scale = (Math.min(WIDEST, width) - 2 * BETWEEN_PLANES) / sum;
  for (const { panel, plane } of planes.panels) {
    const [wide, high] = [plane.across, plane.up].map((axis) => Math.floor(extent[axis] * scale));
    Object.assign(panel, { width: wide, height: high });
    sizeCanvas(panel, wide, high);
  }
}

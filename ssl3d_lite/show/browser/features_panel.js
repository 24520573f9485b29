// A panel of the view of features: a canvas on which a plane of a subject is drawn, with what a
// column makes of it, and which asks for the voxel that is pointed at.

import { BY_CPU } from "./canvases.js";
import { make } from "./elements.js";
import {
  drawAir,
  drawArrow,
  drawColours,
  drawFrame,
  drawHeat,
  drawMove,
  drawOutline,
  drawPointer,
  drawRing,
  drawScan,
  RING,
} from "./features_drawing.js";
import { labelAt } from "./features_matches.js";
import {
  answerOf,
  boxOf,
  cellsOf,
  isCutOff,
  isKnown,
  judged,
  patientOf,
} from "./features_question.js";
import { placeOn, voxelAt } from "./slices_geometry.js";

export function makePanel(parent, label) {
  const element = make(parent, "figure");
  const about = { role: "img", "aria-label": label };
  const canvas = make(element, "canvas", { tabIndex: 0 }, about);
  const context = canvas.getContext("2d", BY_CPU);
  return { element, canvas, context, caption: make(element, "figcaption"), layers: {} };
}

// Draws a subject in the slice through a place. `shows` says what lies over the scan: a column's
// "colours", or its "heat", how like each voxel is to the one that is asked; else nothing.
export function drawPanel(view, panel, { row, subject, plane, place, shows }) {
  const { model, stride } = view;
  const patient = patientOf(view, subject);
  const inside = Math.floor(place[plane.axis] + 0.5);
  const slice = Math.max(0, Math.min(patient.shape[plane.axis] - 1, inside));
  Object.assign(panel, { subject, plane, slice, place });
  drawScan(panel, patient, plane, slice);
  const column = view.columns[row];
  const how = { stride, opacity: model.get("opacity"), column };
  const box = boxOf(view, subject);
  if (shows === "heat" && !isCutOff(view, subject)) {
    const { range, distances } = answerOf(view, row, subject);
    drawHeat(panel, patient, box, plane, slice, { ...how, range, found: distances });
  } else if (shows === "colours") {
    const cells = cellsOf(view, column, subject);
    drawColours(panel, patient, box, plane, slice, { ...how, cells });
  }
  if (patient.air) drawAir(panel, patient, plane, slice);
  drawLabels(view, panel, patient, shows !== "heat" || subject === view.asked.patient);
  if (box !== patient) {
    drawFrame(panel, patient, box, plane, slice);
    drawMove(panel, patient, view.frames[0], box, plane);
  }
}

// The label that is asked for is outlined in all patients; beside colours, every label is.
function drawLabels(view, panel, patient, all) {
  const label = labelAt(view.patients[view.asked.patient], view.asked.voxel);
  view.classes.forEach(({ colour }, index) => {
    if (all || label === index + 1) {
      drawOutline(panel, patient, panel.plane, panel.slice, index + 1, colour);
    }
  });
}

// Marks the voxel that is asked where it is known, and a column's best match with how good it is.
export function markPlace(view, panel) {
  const { asked } = view;
  const { row, subject, plane } = panel;
  const to = placeOn(panel, patientOf(view, subject));
  const cutOff = isCutOff(view, subject);
  if (isKnown(view, subject)) {
    drawPointer(panel, to([asked.voxel[plane.across], asked.voxel[plane.up]]));
    sayBelow(panel, cutOff ? "outside the crop" : "");
  }
  if (subject !== asked.patient && !cutOff) {
    const { place } = answerOf(view, row, subject);
    const { words, colour } = judged(view, subject, place);
    const hidden = Math.abs(place[plane.axis] - panel.slice) > 1;
    const at = to([place[plane.across], place[plane.up]]);
    if (isKnown(view, subject)) {
      const from = to([asked.voxel[plane.across], asked.voxel[plane.up]]);
      drawArrow(panel, from, at, colour, RING);
    }
    drawRing(panel, at, colour, hidden);
    sayBelow(panel, words, colour);
  }
}

// Without a colour, no dot stands before the words.
export function sayBelow({ caption }, words, colour = "") {
  caption.textContent = words;
  caption.classList.toggle("ssl3d-marked", Boolean(words && colour));
  caption.style.setProperty("--mark", colour);
}

// ---- mouse and keyboard ------------------------------------------------------------------------

const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
export const stepOf = (event) => STEPS[event.key] ?? 0;

// Calls `hover` with what the pointer asks for, and `choose` with what is to be kept. Only the
// patient that is asked hears the pointer: on its way to the others nothing changes.
export function listenToQuestions(view, panel, hover, choose) {
  const { canvas } = panel;
  const under = ({ offsetX, offsetY }) => {
    const voxel = [0, 0, 0];
    voxel[panel.plane.axis] = panel.slice;
    const patient = view.patients[panel.subject];
    return { patient: panel.subject, voxel: voxelAt(panel, patient, voxel, [offsetX, offsetY]) };
  };
  canvas.addEventListener("pointermove", (event) => {
    if (panel.subject === view.model.get("patient")) hover(under(event));
  });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("click", (event) => choose(under(event)));
  const scroll = (steps) => {
    const { plane, subject, slice, place } = panel;
    const wanted = place.map(Math.floor);
    wanted[plane.axis] = slice + steps;
    const { shape } = view.patients[subject];
    const voxel = wanted.map((v, axis) => Math.min(shape[axis] - 1, Math.max(0, v)));
    choose({ patient: subject, voxel });
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      scroll(-Math.sign(event.deltaY));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    if (!stepOf(event)) return;
    event.preventDefault();
    scroll(stepOf(event));
  });
}

// Features in colours, in 3D: an organ, or a body that is cut open where it is asked. The mouse turns
// all columns' pictures at once.

import { sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { cellOf } from "./features_matches.js";
import { CPU } from "./features_panel.js";
import { letterOf } from "./features_question.js";
import { paintSurface, shownVoxels, surfaceOf } from "./features_space.js";
import { look, project, tilted } from "./looking.js";

const START = [40, 25]; // degrees to the patient's right, and up: where a body is cut open
const KEY_TURN = 15; // degrees
const WAIT = 120; // milliseconds after a question, since its answers come first
const TURNS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const GREY = "#8888"; // lines and letters, on white and on black

export function makeSolid(view, root) {
  const section = make(root, "section", { className: "ssl3d-solid" });
  const bar = make(section, "div", { className: "ssl3d-controls" });
  const title = make(bar, "b");
  const what = make(bar, "select", {}, { "aria-label": "what is shown in 3D" });
  if (view.classes.length) make(what, "option", { textContent: "the labels", value: "labels" });
  make(what, "option", { textContent: "the scan, cut open", value: "scan" });
  make(bar, "span", { textContent: "Drag to turn." });
  const row = make(section, "div", { className: "ssl3d-plots-row" });
  const panels = view.columns.map(({ name }) => {
    const figure = make(row, "figure");
    const about = { role: "img", "aria-label": `${name}, in 3D` };
    const canvas = make(figure, "canvas", { tabIndex: 0 }, about);
    make(figure, "figcaption", { textContent: name });
    const layer = document.createElement("canvas");
    return { canvas, layer, context: canvas.getContext("2d", CPU) };
  });
  const solid = { title, what, panels, turn: START, timer: 0 };
  what.addEventListener("change", () => drawSolid(view));
  for (const { canvas } of panels) listenToTurns(view, solid, canvas);
  return solid;
}

export function arrangeSolid({ solid }, width, height) {
  for (const panel of solid.panels) {
    Object.assign(panel, { width, height });
    sizeCanvas(panel, width, height);
    [panel.layer.width, panel.layer.height] = [panel.canvas.width, panel.canvas.height];
  }
}

// Cutting takes longer than the rest of the view, so it follows when nothing else is asked.
export function drawSolidSoon(view) {
  clearTimeout(view.solid.timer);
  view.solid.timer = setTimeout(() => drawSolid(view), WAIT);
}

// ---- drawing -----------------------------------------------------------------------------------

function drawSolid(view) {
  const { solid, model } = view;
  const [number, voxel] = [model.get("patient"), model.get("voxel")];
  const patient = view.patients[number];
  const byLabel = solid.what.value === "labels" && patient.labels !== null;
  const wanted = `${number} ${byLabel || voxel}`; // labels are not cut
  if (solid.cut !== wanted) {
    solid.surface = surfaceOf(shownVoxels(patient, byLabel, voxel), patient.shape);
    solid.cut = wanted;
  }
  solid.title.textContent = `${letterOf(number)} in 3D, features in colours`;
  solid.panels.forEach((panel, row) => {
    if (panel.width) drawColumn(view, panel, view.columns[row], number, patient);
  });
}

function drawColumn({ solid, model, stride }, panel, column, number, patient) {
  const { context, layer, canvas, width, height } = panel;
  const { shape, spacing, grid, voxels } = patient;
  const extent = shape.map((edge, axis) => edge * spacing[axis]);
  const dense = canvas.width / width;
  const eye = {
    ...look(solid.turn),
    x: width / 2,
    y: height / 2,
    scale: Math.min(width, height) / (0.85 * Math.hypot(...extent)),
    centre: shape.map((edge, axis) => ((edge - 1) / 2) * spacing[axis]),
  };
  context.clearRect(0, 0, width, height);
  drawSpace(context, eye, extent, spacing);
  const pen = layer.getContext("2d", CPU);
  const image = pen.createImageData(layer.width, layer.height);
  const fine = { ...eye, x: eye.x * dense, y: eye.y * dense, scale: eye.scale * dense };
  const share = model.get("opacity");
  const { components, palette, cells } = column;
  const rgb = [0, 0, 0];
  paintSurface(image, fine, solid.surface, spacing, (x, y, z) => {
    const at = cellOf([x, y, z], grid, stride) * components;
    const grey = voxels[(x * shape[1] + y) * shape[2] + z];
    for (let n = 0; n < 3; n++) {
      const colour = n < components ? palette[n][cells[number][at + n]] : 128;
      rgb[n] = share * colour + (1 - share) * grey;
    }
    return rgb;
  });
  pen.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, width, height);
}

// The scan's box, with a letter where each of the patient's sides is.
function drawSpace(context, eye, extent, spacing) {
  const [low, high] = [spacing.map((n) => -n / 2), extent.map((n, axis) => n - spacing[axis] / 2)];
  const corner = (bits) => [0, 1, 2].map((axis) => ((bits >> axis) & 1 ? high : low)[axis]);
  context.strokeStyle = GREY;
  context.lineWidth = 1;
  context.beginPath();
  for (let a = 0; a < 8; a++) {
    for (const bit of [1, 2, 4]) {
      if (a & bit) continue;
      context.moveTo(...project(eye, corner(a)));
      context.lineTo(...project(eye, corner(a | bit)));
    }
  }
  context.stroke();
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = "#888";
  ["LR", "PA", "IS"].forEach((letters, axis) => {
    for (const end of [0, 1]) {
      const side = [...eye.centre];
      side[axis] = end ? high[axis] + 4 / eye.scale : low[axis] - 4 / eye.scale;
      context.fillText(letters[end], ...project(eye, side));
    }
  });
}

// ---- mouse and keyboard ------------------------------------------------------------------------

function listenToTurns(view, solid, canvas) {
  let from = null;
  const turn = (right, up) => {
    solid.turn = tilted(solid.turn, right, up);
    cancelAnimationFrame(solid.frame);
    solid.frame = requestAnimationFrame(() => drawSolid(view));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = event;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    turn((from.clientX - event.clientX) / 2, (event.clientY - from.clientY) / 2);
    from = event;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      from = null;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in TURNS)) return;
    event.preventDefault();
    turn(...TURNS[event.key].map((way) => way * KEY_TURN));
  });
}

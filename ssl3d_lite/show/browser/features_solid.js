// Features in colours, in 3D: an organ, or a body that is cut open where it is asked. The mouse turns
// all columns' pictures at once.

import { make } from "./elements.js";
import { cellOf } from "./features_matches.js";
import { letterOf } from "./features_question.js";
import { shownVoxels, surfaceOf } from "./features_space.js";
import { drawSolidPanel, listenToTurns, makeSolidPanel, START, sizeSolidPanel } from "./solid.js";

const WAIT = 120; // milliseconds after a question, since its answers come first

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
    const panel = makeSolidPanel(figure, name);
    make(figure, "figcaption", { textContent: name });
    return panel;
  });
  const solid = { title, what, panels, turn: START, timer: 0 };
  what.addEventListener("change", () => drawSolid(view));
  for (const { canvas } of panels) listenToTurns(solid, canvas, () => drawSolid(view));
  return solid;
}

export function arrangeSolid({ solid }, width, height) {
  for (const panel of solid.panels) sizeSolidPanel(panel, width, height);
}

// Cutting takes longer than the rest of the view, so it follows when nothing else is asked.
export function drawSolidSoon(view) {
  clearTimeout(view.solid.timer);
  view.solid.timer = setTimeout(() => drawSolid(view), WAIT);
}

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
  const { shape, grid, voxels } = patient;
  const share = model.get("opacity");
  const { components, palette, cells } = column;
  const rgb = [0, 0, 0];
  drawSolidPanel(panel, solid.turn, solid.surface, patient, (x, y, z) => {
    const at = cellOf([x, y, z], grid, stride) * components;
    const grey = voxels[(x * shape[1] + y) * shape[2] + z];
    for (let n = 0; n < 3; n++) {
      const colour = n < components ? palette[n][cells[number][at + n]] : 128;
      rgb[n] = share * colour + (1 - share) * grey;
    }
    return rgb;
  });
}

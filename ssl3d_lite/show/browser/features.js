// Shows what two encoders, and place alone, make of a few patients: features in colours, and for a
// voxel of one patient the places in the others that are most like it. All of it is done here; the
// kernel hears of a click, and of nothing else.

import { make } from "./elements.js";
import { arrangeBoard, drawBoard, makeBoard, TITLES } from "./features_board.js";
import { drawLegend, makeLegend } from "./features_legend.js";
import { arrangePatches, drawPatches, makePatches } from "./features_patches.js";
import { drawNearestPatients, makeNearestPatients } from "./features_patients.js";
import { arrangePlanes, drawPlanes, makePlanes } from "./features_planes.js";
import { makePlots, sizePlots } from "./features_plots.js";
import { questionOf, readFeatures, tell } from "./features_question.js";
import { arrangeSolid, drawSolidSoon, makeSolid } from "./features_solid.js";
import { PLANES } from "./slices_geometry.js";

const BETWEEN = 6; // the style sheet leaves so many pixels between pictures
const NARROW_PAGE = 640; // on a narrower page, columns stand side by side instead of patients
const SEEN = 0.5; // from this opacity on, colours can be told apart
const WIDE_PAGE = 1050; // on a wider one, three planes and 3D stand side by side

function render({ model, el }) {
  const view = makeView(model, el);
  const redraw = () => ask(view);
  const arranged = () => arrange(view);
  const changed = {
    "change:voxel": redraw,
    "change:patient": redraw,
    "change:opacity": redraw,
    "change:frame": redraw,
    "change:plane": arranged,
  };
  for (const [event, listener] of Object.entries(changed)) model.on(event, listener);
  // pictures change the view's height, its width comes from the page
  const sizes = new ResizeObserver(() => {
    if (view.root.clientWidth !== view.width) arrange(view);
  });
  sizes.observe(view.root);
  arrange(view);
  return () => {
    sizes.disconnect();
    for (const [event, listener] of Object.entries(changed)) model.off(event, listener);
  };
}

// ---- elements ----------------------------------------------------------------------------------

const PRIVATE = {
  "data-lm-suppress-shortcuts": "true", // letters typed here are not JupyterLab's commands
  "data-jp-suppress-context-menu": "true",
};

function makeView(model, el) {
  const root = make(el, "div", { className: "ssl3d-features" }, PRIVATE);
  root.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab acts
  const view = { ...readFeatures(model), root, kept: false };
  model.get("_marks").forEach((colour, wrong) => {
    root.style.setProperty(wrong ? "--wrong" : "--right", colour);
  });
  const { columns, patients, classes } = view;
  const pointed = (question) => hover(view, question);
  const kept = (question) => choose(view, question);
  const onBoard = (question) => view.kept || hover(view, question);
  makeConclusion(view);
  const first = make(root, "div", { className: "ssl3d-first" });
  view.legend = makeLegend(view, first);
  view.board = makeBoard(view, first, onBoard, kept);
  view.controls = makeControls(view);
  makeNumbers(view);
  view.patches = makePatches(view, root, kept);
  const beside = make(root, "div", { className: "ssl3d-beside" });
  view.planes = makePlanes(view, beside, pointed, kept);
  view.solid = makeSolid(view, beside);
  view.paint = { place: columns.at(-1), patients, classes, colours: model.get("_colours") };
  view.plots = makePlots(view, root, pointed, kept);
  view.nearest = makeNearestPatients(view, root);
  return view;
}

function makeConclusion({ model, root }) {
  const said = make(root, "div", { className: "ssl3d-conclusion" });
  for (const textContent of model.get("_conclusion")) make(said, "p", { textContent });
}

function makeControls(view) {
  const bar = make(view.root, "div", { className: "ssl3d-controls" });
  const planes = make(make(bar, "label", { textContent: "plane" }), "select");
  for (const { name } of PLANES) make(planes, "option", { textContent: name, value: name });
  planes.addEventListener("change", () => tell(view, { plane: planes.value }));
  const label = make(bar, "label", { textContent: "scan" });
  const opacity = make(label, "input", { type: "range", min: 0, max: 1, step: 0.05 });
  label.append("features");
  opacity.addEventListener("input", () => tell(view, { opacity: Number(opacity.value) }));
  const colours = make(bar, "button", { type: "button" });
  colours.addEventListener("click", () => {
    view.coloured = !view.coloured;
    if (view.coloured && Number(opacity.value) < SEEN) tell(view, { opacity: SEEN });
    ask(view);
  });
  return { planes, opacity, colours };
}

function makeNumbers({ model, root, columns }) {
  const section = make(root, "section", { className: "ssl3d-numbers" });
  const folded = make(section, "details");
  make(folded, "summary", { textContent: "In the measures of papers" });
  const table = make(folded, "table");
  const head = make(table, "tr");
  for (const name of ["", ...columns.map((column) => column.name)]) {
    make(head, "th", { textContent: name });
  }
  for (const cells of model.get("_numbers")) {
    const row = make(table, "tr");
    for (const text of cells) make(row, "td", { textContent: text });
  }
  make(section, "p", { className: "ssl3d-note", textContent: model.get("_note") });
}

// ---- asking ------------------------------------------------------------------------------------

// Finds what each column answers, and draws it.
function ask(view) {
  const start = performance.now();
  view.asked = questionOf(view);
  drawBoard(view);
  drawPatches(view);
  drawPlanes(view);
  view.plots.show();
  drawNearestPatients(view);
  showState(view);
  if (!view.hovered) drawSolidSoon(view);
  view.root.dataset.milliseconds = performance.now() - start; // tests read it
}

// The pointer moves more often than the page is drawn: only the last place counts.
function hover(view, question) {
  view.hovered = question;
  if (question) view.coloured = false;
  if (view.waiting) return;
  view.waiting = true;
  requestAnimationFrame(() => {
    view.waiting = false;
    ask(view);
  });
}

// A question that is kept, until it is asked again; the kernel is told.
function choose(view, { patient, voxel }) {
  view.hovered = null;
  view.coloured = false;
  const { model } = view;
  const known = patient === model.get("patient") && voxel.join() === model.get("voxel").join();
  view.kept = !(known && view.kept);
  if (known) ask(view);
  else tell(view, { patient, voxel });
}

function showState(view) {
  const { model, controls } = view;
  controls.planes.value = model.get("plane");
  controls.opacity.value = model.get("opacity");
  controls.colours.textContent = view.coloured ? "show matches" : "show colours";
  drawLegend(view);
}

function arrange(view) {
  const { root } = view;
  const width = root.clientWidth;
  view.width = width;
  if (width <= 0) return; // the view is hidden
  const [narrow, wide] = [width < NARROW_PAGE, width >= WIDE_PAGE];
  root.classList.toggle("ssl3d-narrow", narrow);
  root.classList.toggle("ssl3d-wide", wide);
  const third = Math.min(300, Math.floor((width - 2 * BETWEEN) / view.columns.length) - 1);
  arrangeBoard(view, width, narrow);
  arrangePatches(view);
  arrangePlanes(view, narrow ? width : width - TITLES);
  if (wide) arrangeSolid(view, 420, 205);
  else if (narrow) arrangeSolid(view, width, 220);
  else arrangeSolid(view, third, third);
  view.asked = questionOf(view);
  sizePlots(view.plots, third);
  ask(view);
}

export default { render };

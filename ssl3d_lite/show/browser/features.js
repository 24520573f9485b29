// Shows what two encoders, and place alone, make of a few patients: features in colours, and for a
// voxel of the first patient the places in the others that are most like it. All of it is done
// here; the kernel hears of a click, and of nothing else.

import { unsigned } from "./bytes.js";
import { make } from "./elements.js";
import {
  drawAir,
  drawColours,
  drawFrame,
  drawHeat,
  drawOutline,
  drawPointer,
  drawRing,
  drawScan,
} from "./features_drawing.js";
import {
  cellOf,
  distance,
  distanceToVoxels,
  gridOf,
  heatRange,
  labelAt,
  measure,
  middleOf,
  nearestFrame,
  voxelsByLabel,
} from "./features_matches.js";
import { makePlots, sizePlots } from "./features_plots.js";
import { drawLetters } from "./slices_drawing.js";
import { PLANES, voxelAt } from "./slices_geometry.js";

const HEATED = 0.04; // share of a picture's cells that are coloured
const PLAIN = "#ffffff"; // where nothing tells what is right
const PANEL_HEIGHT = 190; // of a panel, in CSS pixels
const PANEL_GAP = 6; // the style sheet leaves so many between panels
const NARROW_PAGE = 640; // on a page narrower than this, encoders stand side by side instead of patients
const TITLES = 108; // pixels that the style sheet gives to titles on the left

function render({ model, el }) {
  const view = makeView(model, el);
  listen(view);
  const redraw = () => ask(view);
  const events = [
    "change:voxel",
    "change:patient",
    "change:plane",
    "change:opacity",
    "change:frame",
  ];
  const arranged = () => arrange(view);
  for (const event of events) model.on(event, event === "change:plane" ? arranged : redraw);
  const sizes = new ResizeObserver(arranged);
  sizes.observe(view.root);
  arrange(view);
  return () => {
    sizes.disconnect();
    for (const event of events) model.off(event, event === "change:plane" ? arranged : redraw);
  };
}

// ---- what the kernel sent ----------------------------------------------------------------------

function readPatients(model) {
  const [scans, labels] = [unsigned(model.get("_scans")), unsigned(model.get("_labels"))];
  const stride = model.get("_stride");
  let [at, labelled] = [0, 0];
  return model.get("_patients").map((about) => {
    const size = about.shape.reduce((product, edge) => product * edge, 1);
    const voxels = scans.subarray(at, at + size);
    at += size;
    let own = null;
    if (about.labelled) {
      own = labels.subarray(labelled, labelled + size);
      labelled += size;
    }
    const grid = gridOf(about.shape, stride);
    const byLabel = own && voxelsByLabel({ labels: own, shape: about.shape });
    const known = { voxels, air: voxels.includes(0), labels: own, byLabel };
    return { ...about, ...known, corner: [0, 0, 0], size: about.shape, grid };
  });
}

function readFeatures(model, boxes) {
  const bytes = unsigned(model.get("_cells"));
  let at = 0;
  return model.get("_columns").map((column) => ({
    ...column,
    cells: boxes.map(({ grid }) => {
      const count = grid[0] * grid[1] * grid[2] * column.components;
      at += count;
      return bytes.subarray(at - count, at);
    }),
  }));
}

function makeView(model, el) {
  const stride = model.get("_stride");
  const patients = readPatients(model);
  const frames = model
    .get("_frames")
    .map((frame) => ({ ...frame, grid: gridOf(frame.size, stride) }));
  const columns = readFeatures(model, [...patients, ...frames]);
  const classes = model.get("_classes");
  const root = make(el, "div", { className: "ssl3d-features" }, PRIVATE);
  const view = { model, stride, patients, frames, columns, classes, root, hovered: null };
  view.controls = makeControls(view);
  view.board = make(root, "div", { className: "ssl3d-board" });
  view.corner = make(view.board, "div", { className: "ssl3d-corner" });
  view.heads = [...shortened(patients.map(({ name }) => name)), "moved crop"].map((name, index) =>
    makeHead(view.board, name, index, patients.length),
  );
  view.names = columns.map(({ name }) =>
    make(view.board, "div", { className: "ssl3d-name", textContent: name }),
  );
  view.panels = columns.flatMap((column, row) =>
    [...patients.keys(), patients.length].map((place) => makePanel(view, column, row, place)),
  );
  view.told = make(root, "output", { className: "ssl3d-told" });
  view.paint = { place: columns.at(-1), patients, classes, colours: model.get("_colours") };
  view.plots = makePlots(
    view,
    root,
    (dot) => hover(view, dot),
    (dot) => choose(view, dot),
  );
  makeNumbers(view);
  return view;
}

const PRIVATE = {
  "data-lm-suppress-shortcuts": "true", // letters typed here are not JupyterLab's commands
  "data-jp-suppress-context-menu": "true",
};

// ---- elements ----------------------------------------------------------------------------------

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
    ask(view);
  });
  const moved = make(make(bar, "label", { textContent: "move the crop" }), "input", {
    type: "range",
    min: 0,
    max: view.frames.length - 1,
    step: 1,
  });
  moved.addEventListener("input", () => tell(view, { frame: Number(moved.value) }));
  return { planes, opacity, colours, moved };
}

// Long names often begin alike: what follows tells them apart.
function shortened(names) {
  let alike = 0;
  while (names.every((name) => name[alike] === names[0][alike] && alike < name.length - 3)) alike++;
  return alike > 4 ? names.map((name) => `…${name.slice(alike)}`) : names;
}

function makeHead(board, name, index, patients) {
  const head = make(board, "div", { className: "ssl3d-head" });
  make(head, "b", { textContent: "ABCDE"[index] });
  make(head, "span", { textContent: name, title: name });
  if (index === 0) make(head, "i", { textContent: "hover, click" });
  if (index === patients) {
    head.firstChild.textContent = "A";
    make(head, "i", { textContent: "drag it" });
  }
  return head;
}

function makePanel(view, column, row, place) {
  const element = make(view.board, "figure");
  const moved = place === view.patients.length;
  const what = moved ? "moved crop" : view.patients[place].name;
  const canvas = make(
    element,
    "canvas",
    { tabIndex: 0 },
    { role: "img", "aria-label": `${column.name}, ${what}` },
  );
  const caption = make(element, "figcaption");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return { element, canvas, context, caption, column, row, place, moved, layers: {} };
}

function makeNumbers({ model, root, columns }) {
  const table = make(make(root, "div", { className: "ssl3d-numbers" }), "table");
  const head = make(table, "tr");
  for (const name of ["", ...columns.map((column) => column.name)]) {
    make(head, "th", { textContent: name });
  }
  for (const cells of model.get("_numbers")) {
    const row = make(table, "tr");
    for (const text of cells) make(row, "td", { textContent: text });
  }
  make(root, "p", { className: "ssl3d-note", textContent: model.get("_note") });
}

// ---- asking ------------------------------------------------------------------------------------

const planeOf = ({ model }) => PLANES.find(({ name }) => name === model.get("plane"));

// What the panel shows cells of: a patient as a whole, or the crop where it is now.
const boxOf = (view, panel) =>
  panel.moved ? view.frames[view.model.get("frame")] : view.patients[panel.place];

const cellsOf = (view, panel) =>
  panel.column.cells[panel.moved ? panel.place + view.model.get("frame") : panel.place];

const patientOf = (view, panel) => view.patients[panel.moved ? 0 : panel.place];

function tell({ model }, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
}

// What is asked for: a voxel of a patient, and the cell that holds it.
function questionOf({ model, hovered, patients, stride }) {
  const [patient, voxel] = hovered
    ? [hovered.patient, hovered.voxel]
    : [model.get("patient"), model.get("voxel")];
  return { patient, voxel, cell: cellOf(voxel, patients[patient].grid, stride) };
}

const asks = ({ asked }, panel) => !panel.moved && panel.place === asked.patient;

// Finds the best match in every panel but those of the patient that is asked, and draws them all.
function ask(view) {
  const start = performance.now();
  view.asked = questionOf(view);
  for (const panel of view.panels) {
    panel.match = view.coloured || asks(view, panel) ? null : matchOf(view, panel);
    if (panel.width) draw(view, panel);
  }
  view.plots.show();
  showState(view);
  view.root.dataset.milliseconds = performance.now() - start; // tests read it
}

// A click asks for what the pointer has asked before.
function matchOf(view, panel) {
  const { patient, voxel } = view.asked;
  const asked = `${patient} ${voxel} ${panel.moved ? view.model.get("frame") : ""}`;
  if (panel.askedFor !== asked) panel.found = findMatch(view, panel);
  panel.askedFor = asked;
  return panel.found;
}

function findMatch(view, panel) {
  const { stride, asked } = view;
  const width = panel.column.components;
  const at = asked.cell * width;
  const query = panel.column.cells[asked.patient].slice(at, at + width);
  const box = boxOf(view, panel);
  const count = box.grid[0] * box.grid[1] * box.grid[2];
  if (panel.distances?.length !== count) panel.distances = new Uint32Array(count);
  const cell = measure(cellsOf(view, panel), query, panel.distances);
  panel.range = heatRange(panel.distances, HEATED, cell);
  const middle = middleOf(cell, box.grid, stride, box.size);
  const place = middle.map((value, axis) => value + box.corner[axis]);
  return { place, ...judged(view, panel, place) };
}

// Says how good a match is, as far as it is known: of a crop of the same scan the right place is
// known, of another patient only where the label is.
function judged(view, panel, place) {
  const { asked, stride, classes, model } = view;
  const [rightColour, wrongColour] = model.get("_marks");
  const unit = model.get("_unit") ? ` ${model.get("_unit")}` : "";
  const patient = patientOf(view, panel);
  if (panel.moved && asked.patient === 0) {
    const { corner, size } = boxOf(view, panel);
    const seen = asked.voxel.every((v, axis) => v >= corner[axis] && v < corner[axis] + size[axis]);
    if (!seen) return { words: "outside the crop", colour: PLAIN };
    const off = distance(place, asked.voxel, patient.spacing);
    // cells of the crop lie between those of the scan, so nearer than a cell nothing can be told
    const within = Math.hypot(...patient.spacing.map((edge) => edge * stride));
    const right = off <= within;
    const words = right ? "✓ the same place" : `✗ ${off.toFixed(0)}${unit} off`;
    return { words, colour: right ? rightColour : wrongColour };
  }
  const label = labelAt(view.patients[asked.patient], asked.voxel);
  if (label === null || patient.labels === null) return { words: "", colour: PLAIN };
  if (label === 0) return { words: "no label is asked", colour: PLAIN };
  const { name } = classes[label - 1];
  const off = distanceToVoxels(place, patient.byLabel.get(label) ?? [], patient.spacing);
  if (off === Infinity) return { words: `it has no ${name}`, colour: PLAIN };
  const right = off < Math.max(...patient.spacing); // the match is the middle of a cell
  const words = right ? `✓ ${name}` : `✗ ${off.toFixed(0)}${unit} from ${name}`;
  return { words, colour: right ? rightColour : wrongColour };
}

// ---- drawing -----------------------------------------------------------------------------------

function draw(view, panel) {
  const { model, stride, asked } = view;
  const plane = planeOf(view);
  const patient = patientOf(view, panel);
  const { match, column } = panel;
  const place = match ? match.place : scaled(view, patient);
  const slice = Math.min(patient.shape[plane.axis] - 1, Math.floor(place[plane.axis] + 0.5));
  panel.slice = slice;
  drawScan(panel, patient, plane, slice);
  const how = { stride, opacity: model.get("opacity"), column, range: panel.range };
  const box = boxOf(view, panel);
  if (match) drawHeat(panel, patient, box, plane, slice, { ...how, found: panel.distances });
  else drawColours(panel, patient, box, plane, slice, { ...how, cells: cellsOf(view, panel) });
  if (patient.air) drawAir(panel, patient, plane, slice);
  drawLabels(view, panel, patient, plane, slice);
  if (panel.moved) drawFrame(panel, patient, box, plane, slice);
  if (match) drawRing(panel, patient, plane, match.place, match.colour);
  else if (asks(view, panel)) drawPointer(panel, patient, plane, asked.voxel);
  if (panel.place === 0) drawLetters({ plane, ...panel });
  panel.caption.textContent = match?.words ?? "";
  panel.caption.style.setProperty("--mark", match?.words ? match.colour : "transparent");
}

// Before anything is asked of it, a patient shows the slice at the same share of its depth.
function scaled({ asked, patients }, { shape }) {
  const whole = patients[asked.patient].shape;
  return asked.voxel.map((v, axis) => ((v + 0.5) / whole[axis]) * shape[axis] - 0.5);
}

// The label that is asked for is outlined in all patients; while colours are shown, every label is.
function drawLabels(view, panel, patient, plane, slice) {
  const label = labelAt(view.patients[view.asked.patient], view.asked.voxel);
  view.classes.forEach(({ colour }, index) => {
    if (view.coloured || asks(view, panel) || label === index + 1) {
      drawOutline(panel, patient, plane, slice, index + 1, colour);
    }
  });
}

function showState(view) {
  const { model, controls, asked, classes, patients } = view;
  controls.planes.value = model.get("plane");
  controls.opacity.value = model.get("opacity");
  controls.moved.value = model.get("frame");
  controls.colours.textContent = view.coloured ? "show matches" : "show colours";
  const patient = patients[asked.patient];
  const label = labelAt(patient, asked.voxel);
  const what = label ? `, ${classes[label - 1].name}` : "";
  const where = `voxel (${asked.voxel.join(", ")}) of ${patient.name}${what}`;
  view.told.textContent = view.coloured
    ? "One colour means one kind of feature, in all patients of a row."
    : `Rings are where each row finds the place most like ${where}.`;
}

// Gives all panels one scale, the largest by which they fit side by side.
function arrange(view) {
  const { root, panels, patients } = view;
  if (root.clientWidth <= 0) return; // the view is hidden
  const plane = planeOf(view);
  const narrow = root.clientWidth < NARROW_PAGE;
  const beside = narrow ? view.columns.length : patients.length + 1;
  const extent = (axis) => Math.max(...patients.map((p) => p.shape[axis] * p.spacing[axis]));
  const room = (root.clientWidth - (narrow ? 0 : TITLES) - PANEL_GAP * (beside - 1)) / beside;
  const scale = Math.min(room / extent(plane.across), PANEL_HEIGHT / extent(plane.up));
  for (const panel of panels) {
    const { shape, spacing } = patientOf(view, panel);
    const width = Math.floor(shape[plane.across] * spacing[plane.across] * scale);
    const height = Math.floor(shape[plane.up] * spacing[plane.up] * scale);
    const dense = globalThis.devicePixelRatio || 1;
    const { canvas, context } = panel;
    Object.assign(panel, { width, height });
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    context.scale(canvas.width / width, canvas.height / height);
  }
  place(view, narrow);
  view.asked = questionOf(view);
  sizePlots(view.plots, Math.min(300, (root.clientWidth - 2 * PANEL_GAP) / 3));
  ask(view);
}

// Patients stand side by side and encoders one below the other; on a narrow page the other way.
function place(view, narrow) {
  const encoders = view.names.length;
  view.board.style.gridTemplateColumns = narrow ? `repeat(${encoders}, auto)` : "";
  const put = (element, patient, encoder) => {
    const [row, column] = narrow ? [2 * patient, encoder] : [encoder, patient];
    element.style.gridArea = `${row + 1} / ${column + 1}`;
  };
  put(view.corner, 0, 0);
  view.heads.forEach((head, index) => {
    if (narrow) head.style.gridArea = `${2 * index + 2} / 1 / auto / -1`;
    else put(head, index + 1, 0);
  });
  view.names.forEach((name, index) => {
    if (narrow) name.style.gridArea = `1 / ${index + 1}`;
    else put(name, 0, index + 1);
  });
  for (const panel of view.panels) {
    if (narrow) panel.element.style.gridArea = `${2 * panel.place + 3} / ${panel.row + 1}`;
    else put(panel.element, panel.place + 1, panel.row + 1);
  }
}

// ---- mouse and keyboard ------------------------------------------------------------------------

function listen(view) {
  view.root.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab acts
  for (const panel of view.panels) {
    if (panel.moved) listenToDrags(view, panel);
    else listenToQuestions(view, panel);
  }
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

// A question that is kept; the kernel is told.
function choose(view, { patient, voxel }) {
  view.hovered = null;
  view.coloured = false;
  const { model } = view;
  const known = patient === model.get("patient") && voxel.join() === model.get("voxel").join();
  if (known) ask(view);
  else tell(view, { patient, voxel });
}

function listenToQuestions(view, panel) {
  const { canvas, place: patient } = panel;
  const here = () => {
    const voxel = [0, 0, 0];
    voxel[planeOf(view).axis] = panel.slice;
    return voxel;
  };
  const under = ({ offsetX, offsetY }) => {
    const at = { plane: planeOf(view), ...panel };
    return { patient, voxel: voxelAt(at, view.patients[patient], here(), [offsetX, offsetY]) };
  };
  canvas.addEventListener("pointermove", (event) => hover(view, under(event)));
  canvas.addEventListener("pointerleave", () => hover(view, null));
  canvas.addEventListener("click", (event) => choose(view, under(event)));
  const scroll = (steps) => {
    const plane = planeOf(view);
    const shown = panel.match ? panel.match.place.map(Math.floor) : view.asked.voxel;
    const voxel = [...shown];
    const most = view.patients[patient].shape[plane.axis] - 1;
    voxel[plane.axis] = Math.min(most, Math.max(0, voxel[plane.axis] + steps));
    choose(view, { patient, voxel });
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
  const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    scroll(steps[event.key]);
  });
}

function listenToDrags(view, panel) {
  const { canvas } = panel;
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, frame: view.model.get("frame") };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const plane = planeOf(view);
    const { shape } = view.patients[0];
    const move = [0, 0, 0];
    move[plane.across] = ((event.clientX - from.x) / panel.width) * shape[plane.across];
    move[plane.up] = ((from.y - event.clientY) / panel.height) * shape[plane.up];
    const frame = nearestFrame(view.frames, from.frame, move);
    if (frame !== view.model.get("frame")) tell(view, { frame });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      from = null;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const frame = view.model.get("frame") + step;
    if (view.frames[frame]) tell(view, { frame });
  });
}

export default { render };

// The board: a row for each column of features, a picture for each patient, and the first patient
// again through a crop that can be moved. Three steps above the pictures say what to do and to ask.

import { sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { nearestFrame } from "./features_matches.js";
import {
  drawPanel,
  listenToQuestions,
  makePanel,
  markPlace,
  sayBelow,
  stepOf,
} from "./features_panel.js";
import {
  howFarMoved,
  letterOf,
  patientOf,
  placeOfInterest,
  planeOf,
  tell,
} from "./features_question.js";
import { drawLetters } from "./slices_drawing.js";

const PANEL_HEIGHT = 190; // of a panel, in CSS pixels
const PANEL_GAP = 6; // the style sheet leaves so many between panels
export const TITLES = 120; // pixels that the style sheet gives to titles on the left

export function makeBoard(view, root, hover, choose) {
  const { patients, columns } = view;
  const element = make(root, "div", { className: "ssl3d-board" });
  const titles = [...shortened(patients.map(({ name }) => name)), "crop"];
  const steps = makeSteps(element);
  const heads = titles.map((name, subject) => makeHead(element, name, subject, patients.length));
  const moves = makeMoves(view, heads.at(-1).head);
  const names = columns.map((column) => makeName(view, element, column));
  const panels = columns.flatMap(({ name }, row) =>
    titles.map((_, subject) => {
      const what = subject < patients.length ? patients[subject].name : "moved crop";
      return { ...makePanel(element, `${name}, ${what}`), row, subject };
    }),
  );
  for (const panel of panels) {
    if (panel.subject === patients.length) listenToDrags(view, panel);
    else listenToQuestions(view, panel, hover, choose);
  }
  return { element, steps, heads, moves, names, panels };
}

// What is to be done and asked, above the patient that is asked, its crop, and the others.
function makeSteps(board) {
  const said = ["", "And if its crop moves?", "And in other patients, is it the same part?"];
  return said.map((textContent, n) => {
    const step = make(board, "div", { className: "ssl3d-step" });
    make(step, "b", { textContent: n + 1 });
    return { step, text: make(step, "span", { textContent }) };
  });
}

// Long names often begin alike: what follows tells them apart.
export function shortened(names) {
  let alike = 0;
  while (names.every((name) => name[alike] === names[0][alike] && alike < name.length - 3)) alike++;
  return alike > 4 ? names.map((name) => `…${name.slice(alike)}`) : names;
}

// A row's name, and how often its rings are right if every place of A is asked: in the crop, before
// and after it is moved, and in the others.
function makeName(view, board, { name, about, right, still }) {
  const element = make(board, "div", { className: "ssl3d-row" });
  const title = make(element, "div", { className: "ssl3d-name", textContent: name });
  const told = make(element, "div", { className: "ssl3d-shares" });
  make(told, "small", { textContent: about });
  const others = view.patients.slice(1).map((_, n) => letterOf(n + 1));
  makeShare(told, "crop still", still);
  makeShare(told, "crop moved", right[1]);
  makeShare(told, others.join(" "), right[0]);
  return { element, title, told };
}

function makeShare(told, where, share) {
  const element = make(told, "div", { className: "ssl3d-share", hidden: share === null });
  make(element, "span", { textContent: where });
  const text = `${(100 * share).toFixed(0)}%`;
  make(element, "span", { textContent: `✓ ${text}` });
  make(element, "div", { className: "ssl3d-bar" }).style.setProperty("--share", text);
}

function makeHead(board, name, subject, patients) {
  const head = make(board, "div", { className: "ssl3d-head" });
  make(head, "b", { textContent: letterOf(subject % patients) });
  make(head, "span", { textContent: name, title: name });
  return { head, hint: make(head, "i") };
}

// A button for each position of the crop, in the order in which they lie.
function makeMoves(view, head) {
  const bar = make(head, "div", { className: "ssl3d-moves" });
  return alongDiagonal(view).map((frame) => {
    const where = howFarMoved(view, frame);
    const textContent = where.match(/[↙↗]/)?.[0] ?? where;
    const about = { type: "button", textContent, title: where, ariaLabel: where };
    const button = make(bar, "button", about);
    button.addEventListener("click", () => tell(view, { frame }));
    return { button, frame };
  });
}

const alongDiagonal = ({ frames }) =>
  [...frames.keys()].toSorted((a, b) => frames[a].corner[0] - frames[b].corner[0]);

// ---- drawing -----------------------------------------------------------------------------------

export function drawBoard(view) {
  for (const panel of view.board.panels) if (panel.width) drawOnBoard(view, panel);
  for (const { button, frame } of view.board.moves) {
    button.ariaPressed = frame === view.model.get("frame");
  }
  sayWhatToDo(view);
}

function sayWhatToDo({ board, model, kept }) {
  const patient = model.get("patient");
  const touched = matchMedia("(hover: none)").matches;
  board.steps[0].text.textContent = `${touched ? "Tap" : "Point at"} a place in ${letterOf(patient)}`;
  board.heads.forEach(({ hint }, subject) => {
    const said = kept ? "kept; click it to let go" : "a click keeps it";
    hint.textContent = subject === patient && !touched ? said : "";
  });
  board.element.classList.toggle("ssl3d-not-first", patient !== 0);
}

function drawOnBoard(view, panel) {
  const { row, subject } = panel;
  const asks = subject === view.asked.patient;
  const shows = view.coloured || asks ? "colours" : "heat";
  const place = view.coloured ? scaled(view, subject) : placeOfInterest(view, row, subject);
  drawPanel(view, panel, { row, subject, plane: planeOf(view), place, shows });
  if (asks || !view.coloured) markPlace(view, panel);
  if (shows === "colours") sayBelow(panel, "features in colours");
  if (subject === 0) drawLetters(panel);
}

// While nothing is asked of it, a patient shows the slice at the same share of its depth.
function scaled(view, subject) {
  const { asked, patients } = view;
  const { shape } = patientOf(view, subject);
  const whole = patients[asked.patient].shape;
  return asked.voxel.map((v, axis) => ((v + 0.5) / whole[axis]) * shape[axis] - 0.5);
}

// ---- layout ------------------------------------------------------------------------------------

// Gives all panels one scale, the largest by which they fit side by side.
export function arrangeBoard(view, width, narrow) {
  const { board, patients, columns } = view;
  const plane = planeOf(view);
  const beside = narrow ? columns.length : patients.length + 1;
  const extent = (axis) => Math.max(...patients.map((p) => p.shape[axis] * p.spacing[axis]));
  const room = (width - (narrow ? 0 : TITLES) - PANEL_GAP * (beside - 1)) / beside;
  const scale = Math.min(room / extent(plane.across), PANEL_HEIGHT / extent(plane.up));
  for (const panel of board.panels) {
    const { shape, spacing } = patientOf(view, panel.subject);
    const [wide, high] = [plane.across, plane.up].map((axis) =>
      Math.max(1, Math.floor(shape[axis] * spacing[axis] * scale)),
    );
    Object.assign(panel, { width: wide, height: high });
    sizeCanvas(panel, wide, high);
  }
  lay(board, columns.length, narrow);
}

// Patients stand side by side and columns one below the other; on a narrow page the other way. The
// crop stands next to the patient that it is of.
function lay({ element: board, steps, heads, names, panels }, columns, narrow) {
  board.style.gridTemplateColumns = narrow ? `repeat(${columns}, minmax(0, 1fr))` : "";
  const crop = heads.length - 1;
  const turn = (subject) => (subject === crop ? 1 : subject && subject + 1);
  const put = (element, across, down, wide = 1) => {
    element.style.gridArea = `${down + 1} / ${across + 1} / auto / span ${wide}`;
  };
  const NAMES = 2; // rows at the top of a narrow page: names, and shares
  const under = (place) => NAMES + 3 * place; // of each a step or none, a head, panels
  steps.forEach(({ step }, n) => {
    if (narrow) put(step, 0, under(n), columns);
    else put(step, n + 1, 0, n === 2 ? crop - 1 : 1);
  });
  heads.forEach(({ head }, subject) => {
    if (narrow) put(head, 0, under(turn(subject)) + 1, columns);
    else put(head, turn(subject) + 1, 1);
  });
  names.forEach(({ element, title, told }, row) => {
    put(element, 0, row + 2);
    put(title, row, 0); // on a narrow page the two are in the grid themselves
    put(told, row, 1);
  });
  for (const { element, subject, row } of panels) {
    if (narrow) put(element, row, under(turn(subject)) + 2);
    else put(element, turn(subject) + 1, row + 2);
  }
}

// ---- the crop ----------------------------------------------------------------------------------

function listenToDrags(view, panel) {
  const { canvas } = panel;
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") return; // a finger scrolls the page, and has the buttons
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
    if (!stepOf(event)) return;
    event.preventDefault();
    const along = alongDiagonal(view);
    const frame = along[along.indexOf(view.model.get("frame")) + stepOf(event)];
    if (frame !== undefined) tell(view, { frame });
  });
}

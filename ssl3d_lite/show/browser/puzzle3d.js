// Puzzle3D shows pieces of a scan as boxes that fly apart, are shuffled and put back. Python says
// where a piece can be; this module moves it between those places.

import { unsigned } from "./bytes.js";
import { make } from "./elements.js";
import { tilted } from "./looking.js";
import { drawCompass, drawFrame, drawPieces, drawTitle } from "./puzzle3d_drawing.js";
import {
  between,
  blend,
  boxOf,
  eased,
  inside,
  middleVoxel,
  slice,
  viewsOf,
} from "./puzzle3d_geometry.js";

const MOVE = 700; // putting back takes so many milliseconds

function render({ model, el }) {
  const puzzle = makePuzzle(model, el);
  listenToMouse(puzzle);
  listenToKeys(puzzle, el);
  listenToControls(puzzle);
  const forget = listenToModel(puzzle);
  const resized = new ResizeObserver(() => draw(puzzle));
  resized.observe(puzzle.canvas);
  load(puzzle);
  return () => {
    resized.disconnect();
    cancelAnimationFrame(puzzle.frame);
    forget();
  };
}

// ---- elements ----------------------------------------------------------------------------------

function makePuzzle(model, el) {
  el.classList.add("ssl3d-puzzle3d");
  const question = make(el, "div", { className: "question" });
  const canvas = make(el, "canvas", { tabIndex: 0, role: "img" });
  const controls = make(el, "div", { className: "controls" });
  return {
    model,
    question,
    canvas,
    pen: canvas.getContext("2d"),
    apart: slider(controls, "apart", "apart", 1),
    depth: slider(controls, "slices at the border", "depth", 0.5, "at the middle"),
    shuffle: button(controls, "shuffle", "shuffle"),
    putBack: button(controls, "put back", "put-back"),
    legend: make(el, "div", { className: "legend" }),
    says: make(el, "div", { className: "says" }),
    drawn: [], // the sides of pieces that are on the canvas
    frame: 0, // the animation asked the browser for this one
  };
}

function slider(parent, text, className, max, textAfter = "") {
  const input = document.createElement("input");
  Object.assign(input, { type: "range", className, min: 0, max, step: 0.01 });
  make(parent, "label", { textContent: text }).append(input, textAfter);
  return input;
}

const button = (parent, textContent, className) =>
  make(parent, "button", { type: "button", className, textContent });

function showLegend(legend, entries) {
  legend.replaceChildren();
  for (const [colour, dashed, text] of entries) {
    const entry = make(legend, "span");
    const { style } = make(entry, "i");
    style.borderColor = colour;
    style.borderStyle = dashed ? "dashed" : "solid";
    entry.append(text);
  }
}

// ---- what to show ------------------------------------------------------------------------------

function load(puzzle) {
  const { model, shuffle, putBack } = puzzle;
  const scene = model.get("_scene");
  const goal = scene.pieces.map(() => (model.get("shuffled") ? 0 : 1));
  Object.assign(puzzle, {
    scene,
    voxels: unsigned(model.get("_voxels")),
    pictures: new Map(), // see pictureOf
    goal, // where each piece goes: 0 as the network sees it, 1 put back
    back: goal.slice(), // where each piece is between the two
  });
  for (const control of [shuffle, putBack]) control.hidden = !scene.moves;
  shuffle.textContent = scene.grid ? "shuffle" : "as the network sees them";
  puzzle.apart.parentElement.hidden = scene.pieces.length === 1;
  puzzle.canvas.ariaLabel = scene.title;
  puzzle.question.textContent = scene.question;
  showLegend(puzzle.legend, scene.legend);
  showPressed(puzzle);
  describe(puzzle);
  draw(puzzle);
}

function describe({ model, scene, says }) {
  const piece = scene.pieces[model.get("picked")];
  says.textContent = piece ? piece.says : scene.hint;
}

// Neither button is pressed while some pieces are shuffled and others put back.
function showPressed({ goal, shuffle, putBack }) {
  const alike = goal.every((t) => t === goal[0]);
  shuffle.ariaPressed = alike && goal[0] === 0;
  putBack.ariaPressed = alike && goal[0] === 1;
}

// ---- drawing -----------------------------------------------------------------------------------

function draw(puzzle) {
  const { model, scene, canvas, pen } = puzzle;
  puzzle.apart.value = model.get("apart");
  puzzle.depth.value = model.get("depth");
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  if (!wide) return; // the view is hidden
  const ratio = window.devicePixelRatio || 1;
  canvas.width = wide * ratio;
  canvas.height = high * ratio;

  const matrices = scene.panels.map((panel) => placesIn(puzzle, panel));
  const home = puzzle.back.reduce((sum, t) => sum + t, 0) / puzzle.back.length;
  const { shown, home: put } = scene.framed;
  // the scan's own box is drawn as far as pieces lie in it
  const framed = blend(+shown, +put, home) * (1 - model.get("apart"));
  const views = viewsOf(scene, matrices, model.get("turn"), framed, { wide, high });
  puzzle.drawn = views.flatMap((seen, n) => {
    const view = { ...seen, ratio, panel: scene.panels[n] };
    if (framed) drawFrame(pen, view, boxOf(scene.space), framed);
    const sides = drawPieces(pen, view, chosenIn(puzzle, scene.panels[n]), matrices[n]);
    drawCompass(pen, view, n * view.width + 34, high - 34, scene.turned ? home : 1);
    drawTitle(pen, view);
    return sides;
  });
}

const chosenIn = (puzzle, panel) => ({
  scene: puzzle.scene,
  picked: puzzle.model.get("picked"),
  apart: puzzle.model.get("apart"),
  picture: (number, side) => pictureOf(puzzle, panel, number, side),
});

function placesIn({ model, scene, back }, panel) {
  const middle = middleVoxel(scene.size);
  return scene.pieces.map((piece, number) => {
    const [shown, home] = ["shown", panel.put].map((where) =>
      blend(piece[where][0], piece[where][1], model.get("apart")),
    );
    return between(shown, home, back[number], middle);
  });
}

// Pictures are kept, because sides look the same while pieces move or turn.
function pictureOf({ model, scene, voxels, pictures }, panel, number, { axis, far }) {
  const key = `${panel.set} ${number} ${axis} ${far}`;
  if (!pictures.has(key)) {
    const place = panel.set * scene.pieces.length + number;
    const first = place * scene.size.reduce((a, b) => a * b);
    const { colours } = panel;
    const made = slice(voxels, first, scene.size, axis, far, model.get("depth"), colours);
    const picture = new OffscreenCanvas(made.width, made.height);
    const image = new ImageData(made.pixels, made.width, made.height);
    picture.getContext("2d").putImageData(image, 0, 0);
    pictures.set(key, picture);
  }
  return pictures.get(key);
}

// ---- moving ------------------------------------------------------------------------------------

function move(puzzle) {
  showPressed(puzzle);
  cancelAnimationFrame(puzzle.frame);
  const from = puzzle.back.slice();
  const begin = performance.now();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tick = (now) => {
    const t = still ? 1 : Math.min(1, Math.max(0, now - begin) / MOVE);
    puzzle.back = from.map((a, n) => a + (puzzle.goal[n] - a) * eased(t));
    draw(puzzle);
    if (t < 1) puzzle.frame = requestAnimationFrame(tick);
  };
  puzzle.frame = requestAnimationFrame(tick);
}

function moveAll(puzzle) {
  puzzle.goal = puzzle.goal.map(() => (puzzle.model.get("shuffled") ? 0 : 1));
  move(puzzle);
}

// ---- what the reader does ----------------------------------------------------------------------

function set({ model }, name, value) {
  model.set(name, value);
  model.save_changes();
}

const tilt = (puzzle, right, up) =>
  set(puzzle, "turn", tilted(puzzle.model.get("turn"), right, up));

// Returns the number of the piece under the pointer, -1 if none is there.
function under({ canvas, drawn }, event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  return drawn.findLast(({ quad }) => inside(quad, x, y))?.number ?? -1;
}

function listenToMouse(puzzle) {
  const { canvas } = puzzle;
  let grip = null; // a pointer that is held down was last seen here
  let dragged = false;
  const letGo = () => {
    grip = null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    grip = [event.clientX, event.clientY];
    dragged = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [x, y] = [event.clientX - grip[0], event.clientY - grip[1]];
    if (!dragged && Math.hypot(x, y) < 4) return; // a hand is not quite still when it clicks
    dragged = true;
    grip = [event.clientX, event.clientY];
    tilt(puzzle, x / 2, y / 2);
  });
  canvas.addEventListener("pointerup", letGo);
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("click", (event) => {
    if (!dragged) set(puzzle, "picked", under(puzzle, event));
  });
  canvas.addEventListener("dblclick", (event) => {
    const number = under(puzzle, event);
    if (number < 0 || dragged || !puzzle.scene.moves) return;
    puzzle.goal[number] = 1 - puzzle.goal[number];
    move(puzzle);
  });
}

function listenToKeys(puzzle, el) {
  const keys = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] };
  puzzle.canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    tilt(puzzle, ...keys[event.key]);
  });
  // else JupyterLab takes the arrow keys
  el.addEventListener("keydown", (event) => event.stopPropagation());
}

function listenToControls(puzzle) {
  const { model, apart, depth, shuffle, putBack } = puzzle;
  const again = (shuffled) => {
    // the kernel tells of no change here, but some pieces may have been moved by themselves
    if (model.get("shuffled") === shuffled) moveAll(puzzle);
    set(puzzle, "shuffled", shuffled);
  };
  apart.addEventListener("input", () => set(puzzle, "apart", Number(apart.value)));
  depth.addEventListener("input", () => set(puzzle, "depth", Number(depth.value)));
  shuffle.addEventListener("click", () => again(true));
  putBack.addEventListener("click", () => again(false));
}

// ---- what the kernel says, or another view of the same widget ----------------------------------

function listenToModel(puzzle) {
  const { model } = puzzle;
  const loadAgain = () => load(puzzle);
  const drawAgain = () => draw(puzzle);
  const cutElsewhere = () => {
    puzzle.pictures.clear();
    draw(puzzle);
  };
  const shuffleOrPutBack = () => moveAll(puzzle);
  const pickAnother = () => {
    draw(puzzle);
    describe(puzzle);
  };
  model.on("change:_scene", loadAgain);
  model.on("change:apart", drawAgain);
  model.on("change:depth", cutElsewhere);
  model.on("change:turn", drawAgain);
  model.on("change:shuffled", shuffleOrPutBack);
  model.on("change:picked", pickAnother);
  return () => {
    model.off("change:_scene", loadAgain);
    model.off("change:apart", drawAgain);
    model.off("change:depth", cutElsewhere);
    model.off("change:turn", drawAgain);
    model.off("change:shuffled", shuffleOrPutBack);
    model.off("change:picked", pickAnother);
  };
}

export default { render };

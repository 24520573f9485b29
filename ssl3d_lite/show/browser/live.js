// Draws the curves and the questions of a training. The kernel sends numbers and small pictures
// after every ten steps.

import { unsigned } from "./bytes.js";
import { lossRange, scoreRange, short, ticksOf } from "./scales.js";
import { RIGHT_COLOUR, verdict, WRONG_COLOUR } from "./verdicts.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [460, 210];
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 10, 22, 34]; // a curve leaves this room for its scales
const BLUE = "#0072B2";
const WIDEST = 172; // a picture is at most this wide, in CSS pixels
const WIDEST_MARKED = 210; // the same of one with boxes over it
const STATES = {
  waiting: "waiting for training to begin",
  running: "training",
  stopped: "stopped",
  ended: "ended",
};

function make(tag, parent, attributes = {}, text = "") {
  const svg = parent.namespaceURI === SVG || tag === "svg";
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

// ---- curves ------------------------------------------------------------------------------------

function drawCurve(svg, { steps, values, title, range: [low, high], chance, frames, pointed }) {
  svg.replaceChildren();
  const last = steps[steps.length - 1] ?? 100;
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  };
  make("text", svg, { x: LEFT, y: 13 }, title);
  for (const tick of ticksOf(low, high)) {
    make("line", svg, { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) });
    make("text", svg, { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick));
  }
  for (const tick of ticksOf(0, last)) {
    make("text", svg, { x: x(tick), y: HEIGHT - 18, "text-anchor": "middle" }, short(tick));
  }
  make("text", svg, { x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "step");
  if (chance !== undefined) {
    const words = `chance ${short(chance)}`;
    const at = y(chance);
    make("line", svg, { class: "chance", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at });
    make("text", svg, { x: WIDTH - RIGHT, y: at - 4, "text-anchor": "end" }, words);
  }
  const points = steps.map((step, n) => `${x(step).toFixed(1)},${y(values[n]).toFixed(1)}`);
  make("polyline", svg, { class: "curve", points: points.join(" "), stroke: BLUE });
  const dot = (place, r) => {
    const [cx, cy] = points[place].split(",");
    make("circle", svg, { cx, cy, r, fill: BLUE });
  };
  for (const place of frames.map((step) => nearest(steps, step))) if (place >= 0) dot(place, 2.5);
  if (points.length) dot(points.length - 1, 3.5);
  if (pointed === null || pointed > last) return;
  const at = x(pointed);
  make("line", svg, { class: "pointed", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
}

// Returns the place of the step that is nearest, -1 where training has not come so far.
function nearest(steps, step) {
  if (!step || step > (steps[steps.length - 1] ?? 0)) return -1;
  const away = steps.map((each) => Math.abs(each - step));
  return away.indexOf(Math.min(...away));
}

// `pointed` is the step of the frame that is pointed at, or null.
function drawCurves(model, loss, score, pointed = null) {
  const told = model.get("_progress");
  const { steps = [], loss: losses = [], score: scores = [], chance } = told;
  const both = { steps, frames: model.get("_film_steps"), pointed };
  drawCurve(loss, { ...both, values: losses, title: "loss", range: lossRange(losses) });
  const range = scoreRange(scores, chance ?? 0);
  drawCurve(score, { ...both, values: scores, title: told.measure ?? "score", range, chance });
}

// ---- questions ---------------------------------------------------------------------------------

function drawPicture(parent, picture, marks) {
  const [height, width] = picture.size;
  const frame = make("div", parent, { class: "picture" });
  const canvas = make("canvas", frame, { width, height });
  const scale = Math.min(6, (marks.length ? WIDEST_MARKED : WIDEST) / width);
  canvas.style.width = `${Math.round(scale * width)}px`;
  canvas.style.height = `${Math.round(scale * height)}px`;
  paintPicture(canvas, picture);
  if (marks.length) drawMarks(frame, marks, [width, height], scale);
}

function paintPicture(canvas, picture) {
  const [height, width] = picture.size;
  const bytes = unsigned(picture.bytes);
  const channels = bytes.length / (width * height); // a grey picture has 1, a coloured one 3
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * pixel + c] = bytes[channels * pixel + (c % channels)];
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Boxes of patches lie over a plane: what the network is shown, the place that is asked about, and
// what it chose.
function drawMarks(frame, marks, [width, height], scale) {
  const svg = make("svg", frame, { viewBox: `0 0 ${width} ${height}` });
  for (const { kind, box } of marks) {
    const [left, top, right, bottom] = box;
    const [wide, high] = [right - left, bottom - top];
    const gap = 0.06 * wide; // neighbours are told apart
    const [x, y] = [left + gap / 2, top + gap / 2];
    make("rect", svg, { class: kind, x, y, width: wide - gap, height: high - gap });
    const text = { asked: "?", right: "✓", wrong: "✗" }[kind];
    const size = Math.max(0.75 * high, 13 / scale); // 13 CSS pixels can be read
    const middle = { x: left + wide / 2, y: top + high / 2, "font-size": size };
    if (text) make("text", svg, { class: kind, ...middle, "stroke-width": size / 6 }, text);
  }
}

function drawQuestion(parent, question, guess) {
  const card = make("figure", parent);
  if (guess?.right === true) card.className = "right";
  if (guess?.right === false) card.className = "wrong";
  const pictures = make("div", card, { class: "pictures" });
  const { asked, truth } = question;
  const pairs = Object.entries({ asked, truth, guess: guess?.picture });
  const shown = pairs.filter(([, picture]) => picture);
  const marks = [...question.marks, ...(guess?.marks ?? [])];
  for (const [name, picture] of shown) {
    const column = make("div", pictures);
    drawPicture(column, picture, name === "asked" ? marks : []);
    if (shown.length > 1) make("small", column, {}, name);
  }
  const list = make("dl", card);
  make("dt", list, {}, question.marks.length ? "asked" : "truth");
  make("dd", list, {}, question.words);
  if (!guess) return;
  make("dt", list, {}, "guess");
  make("dd", list, {}, guess.words);
  if (guess.right !== null) make("dd", list, { class: "mark" }, verdict(guess.right));
  if (guess.right) card.style.order = -1; // hits come first
}

function drawQuestions(model, place, heading) {
  place.replaceChildren();
  heading.textContent = model.get("_right") ? ` (${model.get("_right")})` : "";
  const guesses = model.get("_guesses");
  model.get("_questions").forEach((question, n) => {
    drawQuestion(place, question, guesses[n]);
  });
}

// ---- the film ----------------------------------------------------------------------------------

// Each row of frames is a row of a table, whose head names the steps. Whoever points at a frame, or
// reaches it by keyboard, sees its place on the curves.
function drawFilm(model, place, point) {
  place.replaceChildren();
  const [rows, steps] = [model.get("_film"), model.get("_film_steps")];
  if (steps.length < 2) return; // nothing has changed yet
  make("h5", place, {}, "As it learns: one scan, after so many steps");
  const table = make("table", make("div", place, { class: "strip" }));
  const truths = rows.some(({ truth }) => truth);
  const head = make("tr", make("thead", table));
  const titles = ["", "given", ...steps.map(String), ...(truths ? ["truth"] : [])];
  for (const title of titles) make("th", head, { scope: "col" }, title);
  const body = make("tbody", table);
  for (const { name, frames, shown, truth } of rows) {
    const line = make("tr", body);
    make("th", line, { scope: "row" }, name);
    drawFrame(line, shown, `${name}: what is given`);
    frames.forEach((picture, n) => {
      const cell = drawFrame(line, picture, `${name} after ${steps[n]} steps`);
      cell.tabIndex = 0;
      for (const event of ["pointerenter", "focus"]) {
        cell.addEventListener(event, () => point(steps[n]));
      }
      for (const event of ["pointerleave", "blur"]) cell.addEventListener(event, () => point(null));
    });
    if (truths) drawFrame(line, truth, `${name}: the truth`);
  }
}

function drawFrame(line, picture, label) {
  const cell = make("td", line);
  if (!picture) return cell;
  const [height, width] = picture.size;
  paintPicture(make("canvas", cell, { width, height, role: "img", "aria-label": label }), picture);
  return cell;
}

// ---- the widget --------------------------------------------------------------------------------

function drawState(model, line, button) {
  const state = model.get("state");
  const { last, measure, chance } = model.get("_progress");
  const words = [STATES[state]];
  if (last) {
    words.push(`step ${last.step}`, `loss ${short(last.loss)}`);
    words.push(`${measure} ${short(last.score)} (chance ${short(chance)})`);
  }
  line.textContent = words.join(" · ");
  button.disabled = state !== "running" || button.dataset.pressed === "yes";
  if (state !== "running") delete button.dataset.pressed;
  button.textContent = button.dataset.pressed ? "Stopping …" : "■ Stop";
}

// The kernel may miss a message while it speaks, so "stop" is sent until it is heard.
function listenToButton(model, line, button) {
  let again;
  const stop = () => {
    if (model.get("state") !== "running") clearInterval(again);
    else model.send("stop");
  };
  button.addEventListener("click", () => {
    button.dataset.pressed = "yes";
    drawState(model, line, button);
    stop();
    again = setInterval(stop, 700);
  });
  return () => clearInterval(again);
}

function render({ model, el }) {
  el.classList.add("ssl3d-live");
  const header = make("header", el);
  make("h4", header, {}, `Training on ${model.get("_title")}`);
  el.style.setProperty("--right", RIGHT_COLOUR);
  el.style.setProperty("--wrong", WRONG_COLOUR);
  const line = make("output", header);
  const button = make("button", header, { type: "button" }, "■ Stop");
  const curves = make("div", el, { class: "ssl3d-curves" });
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" };
  const loss = make("svg", curves, { ...box, class: "loss", "aria-label": "loss over steps" });
  const score = make("svg", curves, { ...box, class: "score", "aria-label": "score over steps" });
  const film = make("div", el, { class: "ssl3d-film" });
  make("p", el, { class: "question" }, model.get("_question"));
  const heading = make("span", make("h5", el, {}, "Fixed questions, answered as of now"));
  const questions = make("div", el, { class: "ssl3d-questions" });

  const forget = listenToButton(model, line, button);
  const draw = {
    state: () => drawState(model, line, button),
    _progress: () => {
      drawCurves(model, loss, score);
      drawState(model, line, button);
    },
    _film_steps: () => {
      drawFilm(model, film, (step) => drawCurves(model, loss, score, step));
      drawCurves(model, loss, score);
    },
    _guesses: () => drawQuestions(model, questions, heading),
  };
  for (const [name, redraw] of Object.entries(draw)) {
    redraw();
    model.on(`change:${name}`, redraw);
  }
  return () => {
    forget();
    for (const [name, redraw] of Object.entries(draw)) model.off(`change:${name}`, redraw);
  };
}

export default { render };

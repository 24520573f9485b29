// Curves and questions of a training. The kernel sends numbers and small pictures after every ten
// steps; all drawing is done here.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 460, HEIGHT = 210;
const LEFT = 46, RIGHT = 10, TOP = 22, BOTTOM = 34; // room about a curve for its scales
const BLUE = "#0072B2", ORANGE = "#D55E00";
const WIDEST = 172; // of a picture, in CSS pixels
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

// About four round numbers from low to high.
function ticksOf(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-9); n++) ticks.push(n * step);
  return ticks;
}

const short = (value) => String(Number(value.toPrecision(3)));

function drawCurve(svg, steps, values, title, colour, range, chance) {
  svg.replaceChildren();
  const [low, high] = range;
  const last = steps[steps.length - 1] ?? 100;
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) =>
    HEIGHT - BOTTOM - ((Math.min(high, Math.max(low, value)) - low) / (high - low)) *
      (HEIGHT - TOP - BOTTOM);
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
    make("line", svg, { class: "chance", x1: LEFT, x2: WIDTH - RIGHT, y1: y(chance), y2: y(chance) });
    const words = `chance ${short(chance)}`;
    make("text", svg, { x: WIDTH - RIGHT, y: y(chance) - 4, "text-anchor": "end" }, words);
  }
  const points = steps.map((step, n) => `${x(step).toFixed(1)},${y(values[n]).toFixed(1)}`);
  make("polyline", svg, { class: "curve", points: points.join(" "), stroke: colour });
  if (points.length) {
    const [cx, cy] = points[points.length - 1].split(",");
    make("circle", svg, { cx, cy, r: 3.5, fill: colour });
  }
}

function drawCurves(model, loss, score) {
  const told = model.get("_progress");
  const steps = told.steps ?? [];
  const losses = told.loss ?? [], scores = told.score ?? [];
  const top = losses.length ? Math.max(...losses) * 1.05 : 1;
  const bottom = losses.length ? Math.min(0, ...losses) : 0;
  drawCurve(loss, steps, losses, "loss", BLUE, [bottom, top > bottom ? top : bottom + 1]);
  const best = Math.max(0.1, told.chance ?? 0, ...scores);
  const worst = Math.max(-1, Math.min(0, ...scores));
  const range = [worst, Math.min(1, 1.3 * best)];
  drawCurve(score, steps, scores, told.measure ?? "score", ORANGE, range, told.chance);
}

// ---- questions ---------------------------------------------------------------------------------

function drawPicture(parent, picture) {
  const [height, width] = picture.size;
  const canvas = make("canvas", parent, { width, height });
  const scale = Math.min(6, WIDEST / width);
  canvas.style.width = `${Math.round(scale * width)}px`;
  canvas.style.height = `${Math.round(scale * height)}px`;
  const { buffer, byteOffset, byteLength } = picture.bytes;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const channels = bytes.length / (width * height); // 1, or 3 for colours
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

function drawQuestion(parent, question, guess) {
  const card = make("figure", parent);
  if (guess?.right === true) card.className = "right";
  if (guess?.right === false) card.className = "wrong";
  const pictures = make("div", card, { class: "pictures" });
  const shown = Object.entries({
    asked: question.asked, truth: question.truth, guess: guess?.picture,
  }).filter(([, picture]) => picture);
  for (const [name, picture] of shown) {
    const column = make("div", pictures);
    drawPicture(column, picture);
    if (shown.length > 1) make("small", column, {}, name);
  }
  const list = make("dl", card);
  make("dt", list, {}, "truth");
  make("dd", list, {}, question.words);
  if (!guess) return;
  make("dt", list, {}, "guess");
  make("dd", list, {}, guess.words);
  if (guess.right !== null) make("dd", list, { class: "mark" }, guess.right ? "✓ right" : "✗ wrong");
}

function drawQuestions(model, place, heading) {
  place.replaceChildren();
  heading.textContent = model.get("_right") ? ` (${model.get("_right")})` : "";
  const guesses = model.get("_guesses");
  model.get("_questions").forEach((question, n) => drawQuestion(place, question, guesses[n]));
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

function render({ model, el }) {
  el.classList.add("ssl3d-live");
  const header = make("header", el);
  make("h4", header, {}, `Training on ${model.get("_title")}`);
  const line = make("output", header);
  const button = make("button", header, { type: "button" }, "■ Stop");
  const curves = make("div", el, { class: "ssl3d-curves" });
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" };
  const loss = make("svg", curves, { ...box, class: "loss", "aria-label": "loss over steps" });
  const score = make("svg", curves, { ...box, class: "score", "aria-label": "score over steps" });
  const heading = make("span", make("h5", el, {}, "Fixed questions, answered as of now"));
  const questions = make("div", el, { class: "ssl3d-questions" });

  let again; // until it was heard: while the kernel speaks, it may miss it
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
  const draw = {
    state: () => drawState(model, line, button),
    _progress: () => (drawCurves(model, loss, score), drawState(model, line, button)),
    _guesses: () => drawQuestions(model, questions, heading),
  };
  for (const [name, redraw] of Object.entries(draw)) {
    redraw();
    model.on(`change:${name}`, redraw);
  }
  return () => {
    clearInterval(again);
    for (const [name, redraw] of Object.entries(draw)) model.off(`change:${name}`, redraw);
  };
}

export default { render };

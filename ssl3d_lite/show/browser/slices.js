// Shows three planes of a scan. Every redraw happens here; the kernel only hears of what
// changed: voxel, patch, window, channel, opacity, wipe.

import { unsigned } from "./bytes.js";
import { BY_CPU, sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import {
  drawBorder,
  drawBoxes,
  drawCross,
  drawLetters,
  drawVoxels,
  faintBoxes,
} from "./slices_drawing.js";
import {
  boxAt,
  isOnBorder,
  moved,
  PLANES,
  planeSizes,
  readBox,
  voxelAt,
} from "./slices_geometry.js";
import { arrangeSolid, drawSolidSoon, makeSolid } from "./slices_solid.js";
import {
  draggedWindow,
  fromByte,
  makePalette,
  rounded,
  toByte,
  voxelText,
  windowWithin,
} from "./slices_values.js";

function render({ model, el }) {
  const view = makeView(model, el);
  for (const panel of view.panels) {
    listenToMouse(view, panel);
    listenToKeys(view, panel);
  }
  view.root.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab acts

  const changed = {
    "change:window": () => {
      view.windows[model.get("channel")] = model.get("window");
    },
    change: () => draw(view),
  };
  for (const [event, listener] of Object.entries(changed)) model.on(event, listener);
  const sizes = new ResizeObserver(() => arrange(view));
  sizes.observe(view.root);
  arrange(view);
  return () => {
    sizes.disconnect();
    for (const [event, listener] of Object.entries(changed)) model.off(event, listener);
  };
}

// ---- what the kernel sent, and what it is told -------------------------------------------------

function readScan(model) {
  const shape = model.get("_shape");
  const [labels, beside] = ["_labels", "_beside"].map((name) => unsigned(model.get(name)));
  return {
    shape,
    flat: shape[2] === 1, // a picture has one plane, and its sides have no names
    size: shape[0] * shape[1] * shape[2],
    stride: [shape[1] * shape[2], shape[2], 1],
    bytes: unsigned(model.get("_bytes")),
    labels: labels.length ? labels : null,
    body: unsigned(model.get("_body")), // nothing where there is no picture in 3D
    beside: beside.length ? beside : null, // it is seen on the right of the border
    sides: model.get("_sides"),
    classes: model.get("_classes"),
    reach: model.get("_reach"),
    spacing: model.get("_spacing"),
    boxes: model.get("_boxes").map(readBox),
  };
}

function tell({ model }, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
}

const reachOf = ({ model, scan }) => scan.reach[model.get("channel")];

const setWindow = (view, window) => tell(view, { window: windowWithin(window, reachOf(view)) });

// ---- elements ----------------------------------------------------------------------------------

function makeView(model, el) {
  const scan = readScan(model);
  const windows = model.get("_windows").map((window) => [...window]); // each channel keeps its own
  windows[model.get("channel")] = model.get("window");

  const attributes = {
    "data-lm-suppress-shortcuts": "true", // letters typed here are not JupyterLab's commands
    "data-jp-suppress-context-menu": "true",
  };
  const root = make(el, "div", { className: "ssl3d-slices" }, attributes);
  make(root, "h4", { textContent: model.get("_title") });
  const border = scan.beside ? makeBorderSlider(model, root, scan.sides) : null;
  const row = make(root, "div", { className: "ssl3d-planes" });
  const planes = PLANES.filter(({ axis }) => !scan.flat || axis === 2);
  const panels = planes.map((plane) => makePanel(row, scan, plane));
  const told = make(root, "output", { className: "ssl3d-told" });
  const view = { model, scan, windows, root, panels, told, palette: null, paletteFor: "" };
  view.solid = scan.body.length ? makeSolid(view, row) : null;
  view.controls = { ...makeControls(view), border };
  makeLegend(root, [...(scan.labels ? scan.classes : []), ...model.get("_legend")]);
  make(root, "div", {
    className: "ssl3d-help",
    textContent: [
      ...(scan.flat ? [] : ["Wheel or arrow keys: slices."]),
      ...(scan.beside ? ["Drag the white line."] : []),
      "Click: move the cross. Right or shift drag: window.",
    ].join(" "),
  });
  return view;
}

function makePanel(parent, scan, plane) {
  const figure = make(parent, "figure");
  const canvas = make(
    figure,
    "canvas",
    { tabIndex: 0 },
    {
      role: "slider",
      "aria-label": `${plane.name} plane`,
      "aria-valuemin": 0,
      "aria-valuemax": scan.shape[plane.axis] - 1,
    },
  );
  const voxels = document.createElement("canvas"); // it holds one pixel a voxel
  [voxels.width, voxels.height] = [scan.shape[plane.across], scan.shape[plane.up]];
  const image = voxels.getContext("2d", BY_CPU).createImageData(voxels.width, voxels.height);
  return {
    plane,
    canvas,
    context: canvas.getContext("2d", BY_CPU),
    caption: make(figure, "figcaption"),
    voxels,
    image,
    pixels: new Uint32Array(image.data.buffer),
  };
}

function makeControls(view) {
  const { model, scan } = view;
  const bar = make(view.root, "div", { className: "ssl3d-controls" });
  const names = model.get("_channel_names");
  // the page shows controls in the order in which they are made here
  const channel = names.length > 1 ? makeChannelPicker(view, bar, names) : null;
  const low = slider(bar, "black at", [0, 255, 1], (byte) => {
    setWindow(view, [fromByte(byte, reachOf(view)), model.get("window")[1]]);
  });
  const high = slider(bar, "white at", [0, 255, 1], (byte) => {
    setWindow(view, [model.get("window")[0], fromByte(byte, reachOf(view))]);
  });
  const reset = make(bar, "button", { type: "button", textContent: "reset window" });
  reset.addEventListener("click", () => {
    tell(view, { window: model.get("_windows")[model.get("channel")] });
  });
  const fade = (opacity) => tell(view, { opacity });
  const opacity = scan.labels ? slider(bar, "labels", [0, 1, 0.05], fade) : null;
  const boxes = scan.boxes.length ? makeBoxesTick(view, bar) : { checked: true };
  return { channel, low, high, opacity, boxes };
}

// What lies on the left of the border is named on the left of its slider.
function makeBorderSlider(model, root, sides) {
  const row = make(root, "label", { className: "ssl3d-border" });
  make(row, "span", { textContent: `◀ ${sides[0]}` });
  const named = { "aria-label": `border between ${sides.join(" and ")}` };
  const input = make(row, "input", { type: "range", min: 0, max: 1, step: 0.01 }, named);
  make(row, "span", { textContent: `${sides[1]} ▶` });
  input.addEventListener("input", () => tell({ model }, { wipe: Number(input.value) }));
  return input;
}

function makeChannelPicker(view, bar, names) {
  const picker = make(bar, "select", {}, { "aria-label": "channel" });
  names.forEach((name, value) => {
    make(picker, "option", { textContent: name, value });
  });
  picker.addEventListener("change", () => {
    const channel = Number(picker.value);
    tell(view, { channel, window: view.windows[channel] });
  });
  return picker;
}

function makeBoxesTick(view, bar) {
  const label = make(bar, "label");
  const tick = make(label, "input", { type: "checkbox", checked: true });
  label.append("boxes of pieces");
  tick.addEventListener("change", () => draw(view));
  return tick;
}

function slider(parent, text, [min, max, step], tellValue) {
  const input = make(make(parent, "label", { textContent: text }), "input", { type: "range" });
  Object.assign(input, { min, max, step });
  input.addEventListener("input", () => tellValue(Number(input.value)));
  return input;
}

function makeLegend(root, classes) {
  const legend = make(root, "div", { className: "ssl3d-legend" });
  for (const { name, colour, dashed } of classes) {
    const line = dashed ? { className: "dashed" } : {};
    make(legend, "span", { textContent: name, ...line }, { style: `--colour: ${colour}` });
  }
}

// ---- drawing -----------------------------------------------------------------------------------

function draw(view) {
  const start = performance.now();
  const { model, scan } = view;
  const [voxel, channel] = [model.get("voxel"), model.get("channel")];
  const palette = currentPalette(view);
  for (const panel of view.panels) {
    if (!panel.width) continue; // it is not laid out yet
    drawVoxels(panel, scan, voxel, channel, palette, model.get("wipe"));
    if (view.controls.boxes.checked) drawBoxes(panel, scan, voxel, model.get("patch"));
    drawCross(panel, scan, voxel);
    if (scan.beside) drawBorder(panel, scan, model.get("wipe"));
    if (!scan.flat) drawLetters(panel);
  }
  if (view.solid) drawSolidSoon(view);
  view.root.dataset.milliseconds = performance.now() - start; // tests read it
  showState(view);
}

// Most redraws change only the slice, and use the palette again.
function currentPalette(view) {
  const { model, scan } = view;
  const [channel, window, opacity] = ["channel", "window", "opacity"].map((name) =>
    model.get(name),
  );
  const wanted = JSON.stringify([channel, window, opacity]);
  if (wanted !== view.paletteFor) {
    view.palette = makePalette(scan.classes, scan.reach[channel], window, opacity);
    view.paletteFor = wanted;
  }
  return view.palette;
}

function showState(view) {
  const { model, scan, controls } = view;
  const [voxel, window] = [model.get("voxel"), model.get("window")];
  for (const { plane, canvas, caption } of view.panels) {
    const text = `${plane.name}, ${"xyz"[plane.axis]} = ${voxel[plane.axis]}`;
    caption.textContent = scan.flat ? "" : text;
    canvas.setAttribute("aria-valuenow", voxel[plane.axis]);
    canvas.setAttribute("aria-valuetext", text);
  }
  const reach = reachOf(view);
  [controls.low, controls.high].forEach((input, end) => {
    input.value = toByte(window[end], reach);
    input.title = rounded(window[end], reach);
  });
  if (controls.border) controls.border.value = model.get("wipe");
  if (controls.opacity) controls.opacity.value = model.get("opacity");
  if (controls.channel) controls.channel.value = model.get("channel");
  describe(view, voxel);
}

// The line below the planes tells of the voxel under the pointer, or else of the one at the cross.
function describe({ model, scan, told }, voxel) {
  told.textContent = voxelText(scan, voxel, model.get("channel"), model.get("window"));
}

function arrange(view) {
  const { scan, panels, root } = view;
  if (root.clientWidth <= 0) return; // the view is hidden
  const planes = panels.map(({ plane }) => plane);
  const room = view.solid ? arrangeSolid(view, root.clientWidth) : root.clientWidth;
  planeSizes(planes, scan, room).forEach(([width, height], index) => {
    const panel = Object.assign(panels[index], { width, height });
    sizeCanvas(panel, width, height);
    panel.faint = faintBoxes(panel, scan);
  });
  draw(view);
}

// ---- mouse and keyboard ------------------------------------------------------------------------

const under = ({ model, scan }, panel, event) =>
  voxelAt(panel, scan, model.get("voxel"), [event.offsetX, event.offsetY]);

function scroll(view, axis, steps) {
  tell(view, { voxel: moved(view.model.get("voxel"), axis, steps, view.scan.shape) });
}

function pick(view, panel, event) {
  const voxel = under(view, panel, event);
  tell(view, { voxel, patch: boxAt(view.scan.boxes, voxel)?.number ?? -1 });
}

function drag(view, from, event) {
  const [right, down] = [event.clientX - from.x, event.clientY - from.y];
  setWindow(view, draggedWindow(from.window, right, down));
}

function listenToMouse(view, panel) {
  const { canvas } = panel;
  const hand = {
    from: null, // a drag of the window began here
    moving: false, // the cross follows the pointer
    wiping: false, // the border between two label maps follows the pointer
    armed: false, // while the pointer rests, its wheel scrolls the notebook
  };
  canvas.addEventListener("pointerdown", (event) => press(view, panel, hand, event));
  canvas.addEventListener("pointermove", (event) => {
    hand.armed ||= event.movementX !== 0 || event.movementY !== 0;
    if (hand.from) drag(view, hand.from, event);
    else if (hand.wiping) tell(view, { wipe: shareOf(panel, event) });
    else if (hand.moving) pick(view, panel, event);
    else hover(view, panel, event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => Object.assign(hand, LEFT_ALONE));
  }
  canvas.addEventListener("pointerleave", () => {
    hand.armed = false;
    describe(view, view.model.get("voxel"));
  });
  canvas.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    event.stopPropagation();
  });
  listenToWheel(view, panel, hand);
}

const LEFT_ALONE = { from: null, moving: false, wiping: false };

const shareOf = ({ width }, { offsetX }) => Math.min(1, Math.max(0, offsetX / width));

// A finger needs more room than a mouse to hit the border.
const hitsBorder = ({ scan, model }, panel, { offsetX, pointerType }) =>
  scan.beside && isOnBorder(panel, scan, model.get("wipe"), offsetX, pointerType === "touch");

function hover(view, panel, event) {
  panel.canvas.style.cursor = hitsBorder(view, panel, event) ? "ew-resize" : "";
  describe(view, under(view, panel, event));
}

function press(view, panel, hand, event) {
  event.stopPropagation();
  panel.canvas.focus({ preventScroll: true });
  panel.canvas.setPointerCapture(event.pointerId);
  if (event.button === 2 || event.shiftKey) {
    hand.from = { x: event.clientX, y: event.clientY, window: view.model.get("window") };
  } else if (event.button === 0 && hitsBorder(view, panel, event)) {
    hand.wiping = true;
  } else if (event.button === 0) {
    hand.moving = true;
    pick(view, panel, event);
  }
}

function listenToWheel(view, { canvas, plane }, hand) {
  let turned = 0; // touchpads send many small turns, which add up to a step
  const wheel = (event) => {
    if (view.scan.flat || !hand.armed || event.ctrlKey) return;
    event.preventDefault();
    event.stopPropagation();
    turned += event.deltaMode === 0 ? event.deltaY / 50 : event.deltaY;
    const steps = Math.trunc(turned);
    if (!steps) return;
    turned = 0;
    scroll(view, plane.axis, -Math.sign(steps));
  };
  canvas.addEventListener("wheel", wheel, { passive: false });
}

function listenToKeys(view, { canvas, plane: { axis } }) {
  const all = view.scan.shape[axis];
  const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
  Object.assign(steps, { PageUp: 10, PageDown: -10, Home: -all, End: all });
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    scroll(view, axis, steps[event.key]);
  });
}

export default { render };

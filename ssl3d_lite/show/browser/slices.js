// Three planes of a scan on canvases. Every redraw happens here; the kernel only hears of what
// changed: voxel, patch, window, channel, opacity.

// As `image.T, origin="lower"` in figures: what is right or anterior in the scan is on the right.
const PLANES = [
  { name: "sagittal", axis: 0, across: 1, up: 2, left: "P", right: "A", bottom: "I", top: "S" },
  { name: "coronal", axis: 1, across: 0, up: 2, left: "L", right: "R", bottom: "I", top: "S" },
  { name: "axial", axis: 2, across: 0, up: 1, left: "L", right: "R", bottom: "P", top: "A" },
];
const TALLEST = 360; // of a plane, in CSS pixels
const GAP = 8; // between planes, as in the style sheet
const NARROW = 420; // below that planes stand one under the other
// Drawn by the CPU: planes are small, and a browser without a GPU imitates one far more slowly.
const BY_CPU = { willReadFrequently: true };
const FONT = "system-ui, sans-serif";

// ---- the scan, as the kernel sent it -----------------------------------------------------------

const unsigned = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function readScan(model) {
  const shape = model.get("_shape");
  const labels = unsigned(model.get("_labels"));
  return {
    shape,
    size: shape[0] * shape[1] * shape[2],
    stride: [shape[1] * shape[2], shape[2], 1],
    bytes: unsigned(model.get("_bytes")),
    labels: labels.length ? labels : null,
    classes: model.get("_classes"),
    reach: model.get("_reach"),
    spacing: model.get("_spacing"),
    boxes: model.get("_boxes").map(readBox),
  };
}

function readBox(box) {
  const c = box.corners;
  const from = (corner) => corner.map((value, axis) => value - c[0][axis]);
  const centre = [0, 1, 2].map((axis) => (c[0][axis] + c[7][axis]) / 2);
  return { ...box, centre, edges: [from(c[4]), from(c[2]), from(c[1])] };
}

// Two corners share an edge where their indices differ in one bit.
const EDGES = [];
for (let a = 0; a < 8; a++) {
  for (const bit of [1, 2, 4]) if (!(a & bit)) EDGES.push([a, a | bit]);
}

const determinant = (a, b, c) =>
  a[0] * (b[1] * c[2] - b[2] * c[1]) -
  a[1] * (b[0] * c[2] - b[2] * c[0]) +
  a[2] * (b[0] * c[1] - b[1] * c[0]);

function isInside(box, point) {
  const [a, b, c] = box.edges;
  const p = point.map((value, axis) => value - box.corners[0][axis]);
  const whole = determinant(a, b, c);
  return [determinant(p, b, c), determinant(a, p, c), determinant(a, b, p)].every(
    (part) => part / whole >= 0 && part / whole <= 1,
  );
}

// Of the boxes that hold a voxel, the one whose middle is nearest; null if there is none.
function boxAt(boxes, voxel) {
  const distance = (box) => Math.hypot(...box.centre.map((value, axis) => value - voxel[axis]));
  const holding = boxes.filter((box) => isInside(box, voxel));
  return holding.sort((a, b) => distance(a) - distance(b))[0] ?? null;
}

// The outline of a box where a plane cuts it: points of the plane in order, or none.
function cut(box, plane, place) {
  const points = [];
  for (const [a, b] of EDGES) {
    const [p, q] = [box.corners[a], box.corners[b]];
    const [start, end] = [p[plane.axis] - place, q[plane.axis] - place];
    if (start < 0 === end < 0) continue;
    const share = start / (start - end);
    points.push([plane.across, plane.up].map((axis) => p[axis] + share * (q[axis] - p[axis])));
  }
  const mean = middle(points);
  const angle = ([u, v]) => Math.atan2(v - mean[1], u - mean[0]);
  return points.sort((a, b) => angle(a) - angle(b));
}

const middle = (points) =>
  [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

// ---- drawing -----------------------------------------------------------------------------------

// The colour of each (label, byte), as one number a pixel.
function makePalette(scan, reach, window, opacity) {
  const colours = scan.classes.map(({ colour }) =>
    [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)),
  );
  const bytes = new Uint8ClampedArray((colours.length + 1) * 256 * 4);
  for (let byte = 0; byte < 256; byte++) {
    const value = reach[0] + (byte / 255) * (reach[1] - reach[0]);
    const grey = (255 * (value - window[0])) / (window[1] - window[0]);
    const clamped = Math.min(255, Math.max(0, grey));
    bytes.set([clamped, clamped, clamped, 255], byte * 4);
    colours.forEach((colour, index) => {
      const mixed = colour.map((part) => clamped + opacity * (part - clamped));
      bytes.set([...mixed, 255], ((index + 1) * 256 + byte) * 4);
    });
  }
  return new Uint32Array(bytes.buffer);
}

// One pixel a voxel into `pixels`, the top row first.
function paint(pixels, scan, plane, voxel, channel, palette) {
  const [width, height] = [scan.shape[plane.across], scan.shape[plane.up]];
  const [right, up] = [scan.stride[plane.across], scan.stride[plane.up]];
  const first = channel * scan.size;
  for (let v = 0; v < height; v++) {
    let at = voxel[plane.axis] * scan.stride[plane.axis] + v * up;
    let pixel = (height - 1 - v) * width;
    for (let u = 0; u < width; u++, at += right, pixel++) {
      const label = scan.labels ? scan.labels[at] << 8 : 0;
      pixels[pixel] = palette[label | scan.bytes[first + at]];
    }
  }
}

// From voxels of a plane to CSS pixels of its canvas; a voxel's middle is at its whole number.
function placeOn(panel, scan) {
  const { plane, width, height } = panel;
  return ([u, v]) => [
    ((u + 0.5) / scan.shape[plane.across]) * width,
    height - ((v + 0.5) / scan.shape[plane.up]) * height,
  ];
}

function outline(context, points) {
  context.beginPath();
  points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

function write(context, text, x, y, colour, size = 11) {
  context.font = `600 ${size}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

// All boxes faintly, as one path; made anew when the canvas changes size.
function faintBoxes(panel, scan) {
  const [path, to] = [new Path2D(), placeOn(panel, scan)];
  for (const { corners } of scan.boxes) {
    for (const [a, b] of EDGES) {
      path.moveTo(...to([corners[a][panel.plane.across], corners[a][panel.plane.up]]));
      path.lineTo(...to([corners[b][panel.plane.across], corners[b][panel.plane.up]]));
    }
  }
  return path;
}

function drawBoxes(panel, scan, voxel, chosen) {
  const { context, plane } = panel;
  const to = placeOn(panel, scan);
  context.lineWidth = 1;
  context.strokeStyle = "rgba(255, 255, 255, 0.13)";
  context.stroke(panel.faint);
  const away = (box) =>
    box.number === chosen ? -1 : Math.abs(box.centre[plane.axis] - voxel[plane.axis]);
  const shown = scan.boxes
    .map((box) => ({ box, points: cut(box, plane, voxel[plane.axis]).map(to) }))
    .filter(({ points }) => points.length > 2)
    .sort((a, b) => away(b.box) - away(a.box)); // the nearest is drawn last, the chosen one on top
  for (const { box, points } of shown) {
    outline(context, points);
    if (box.number === chosen) {
      context.fillStyle = `${box.colour}40`;
      context.fill();
      context.lineWidth = 5;
      context.strokeStyle = "#fff";
      context.stroke();
    }
    context.lineWidth = box.number === chosen ? 3 : 1.5;
    context.strokeStyle = box.colour;
    context.stroke();
  }
  numberBoxes(context, shown.reverse());
}

// Boxes one behind the other have their numbers at one place: there the nearest has its own.
function numberBoxes(context, shown) {
  const taken = [];
  for (const { box, points } of shown) {
    const [x, y] = middle(points);
    if (taken.some(([a, b]) => Math.abs(a - x) < 14 && Math.abs(b - y) < 10)) continue;
    taken.push([x, y]);
    write(context, String(box.number), x, y, "#fff");
  }
}

function drawCross(panel, scan, voxel) {
  const { context, plane, width, height } = panel;
  const place = placeOn(panel, scan)([voxel[plane.across], voxel[plane.up]]);
  const [x, y] = place.map((value) => Math.floor(value) + 0.5); // sharp
  const gap = 7; // so that the voxel itself can be seen
  const path = new Path2D();
  for (const [a, b] of [[0, x - gap], [x + gap, width]]) {
    path.moveTo(a, y);
    path.lineTo(b, y);
  }
  for (const [a, b] of [[0, y - gap], [y + gap, height]]) {
    path.moveTo(x, a);
    path.lineTo(x, b);
  }
  for (const [style, line] of [["rgba(0, 0, 0, 0.45)", 3], ["rgba(255, 255, 255, 0.85)", 1]]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.stroke(path);
  }
}

function drawLetters({ context, plane, width, height }) {
  const colour = "#ffe9a8";
  write(context, plane.left, 9, height / 2, colour, 12);
  write(context, plane.right, width - 9, height / 2, colour, 12);
  write(context, plane.top, width / 2, 10, colour, 12);
  write(context, plane.bottom, width / 2, height - 10, colour, 12);
}

// ---- elements ----------------------------------------------------------------------------------

function make(parent, tag, properties = {}, attributes = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

function makePanel(parent, scan, plane) {
  const figure = make(parent, "figure");
  const last = scan.shape[plane.axis] - 1;
  const canvas = make(
    figure,
    "canvas",
    { tabIndex: 0 },
    { role: "slider", "aria-label": `${plane.name} plane`, "aria-valuemin": 0, "aria-valuemax": last },
  );
  const voxels = document.createElement("canvas"); // one pixel a voxel
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

function slider(parent, text, [min, max, step], moved) {
  const input = make(make(parent, "label", { textContent: text }), "input", { type: "range" });
  Object.assign(input, { min, max, step });
  input.addEventListener("input", () => moved(Number(input.value)));
  return input;
}

// ---- the widget --------------------------------------------------------------------------------

function render({ model, el }) {
  const scan = readScan(model);
  const flat = scan.shape[2] === 1; // a picture: one plane, and no body to name the sides of
  const windows = model.get("_windows").map((window) => [...window]); // a channel's own
  windows[model.get("channel")] = model.get("window");

  const root = make(el, "div", { className: "ssl3d-slices" }, {
    "data-lm-suppress-shortcuts": "true", // letters typed here are not JupyterLab's commands
    "data-jp-suppress-context-menu": "true",
  });
  make(root, "h4", { textContent: model.get("_title") });
  const row = make(root, "div", { className: "ssl3d-planes" });
  const panels = PLANES.filter(({ axis }) => !flat || axis === 2).map((plane) =>
    makePanel(row, scan, plane),
  );
  const told = make(root, "output", { className: "ssl3d-told" });
  const controls = makeControls();
  makeLegend();
  make(root, "div", {
    className: "ssl3d-help",
    textContent: flat
      ? "Click: move the cross. Right or shift drag: window."
      : "Wheel or arrow keys: slices. Click: move the cross. Right or shift drag: window.",
  });

  const tell = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    model.save_changes();
  };

  function makeControls() {
    const bar = make(root, "div", { className: "ssl3d-controls" });
    const names = model.get("_channel_names");
    const made = { boxes: { checked: true } };
    if (names.length > 1) {
      made.channel = make(bar, "select", {}, { "aria-label": "channel" });
      names.forEach((name, value) => make(made.channel, "option", { textContent: name, value }));
      made.channel.addEventListener("change", () => {
        const channel = Number(made.channel.value);
        tell({ channel, window: windows[channel] });
      });
    }
    made.low = slider(bar, "black at", [0, 255, 1], (byte) => {
      setWindow(valueOf(byte), model.get("window")[1]);
    });
    made.high = slider(bar, "white at", [0, 255, 1], (byte) => {
      setWindow(model.get("window")[0], valueOf(byte));
    });
    const reset = make(bar, "button", { type: "button", textContent: "reset window" });
    reset.addEventListener("click", () => tell({ window: model.get("_windows")[model.get("channel")] }));
    if (scan.labels) {
      made.opacity = slider(bar, "labels", [0, 1, 0.05], (opacity) => tell({ opacity }));
    }
    if (scan.boxes.length) {
      const label = make(bar, "label");
      made.boxes = make(label, "input", { type: "checkbox", checked: true });
      label.append("boxes of pieces");
      made.boxes.addEventListener("change", draw);
    }
    return made;
  }

  function makeLegend() {
    if (!scan.labels) return;
    const legend = make(root, "div", { className: "ssl3d-legend" });
    for (const { name, colour } of scan.classes) {
      make(legend, "span", { textContent: name }, { style: `--colour: ${colour}` });
    }
  }

  // -- values and windows, in the scan's own units

  const reach = () => scan.reach[model.get("channel")];
  const valueOf = (byte) => reach()[0] + (byte / 255) * (reach()[1] - reach()[0]);
  const byteOf = (value) => (255 * (value - reach()[0])) / (reach()[1] - reach()[0]);

  function setWindow(low, high) {
    const [least, most] = reach();
    const step = (most - least) / 255;
    low = Math.min(Math.max(low, least), most - step);
    tell({ window: [low, Math.min(Math.max(high, low + step), most)] });
  }

  function rounded(value) {
    const digits = Math.ceil(-Math.log10((reach()[1] - reach()[0]) / 255));
    return value.toFixed(Math.min(6, Math.max(0, digits)));
  }

  // -- drawing

  let palette = null;
  let paletteFor = "";

  function draw() {
    const start = performance.now();
    const [voxel, channel, window] = ["voxel", "channel", "window"].map((name) => model.get(name));
    const wanted = JSON.stringify([channel, window, model.get("opacity")]);
    if (wanted !== paletteFor) {
      palette = makePalette(scan, reach(), window, model.get("opacity"));
      paletteFor = wanted;
    }
    for (const panel of panels) {
      if (!panel.width) continue; // not laid out yet
      const { context, plane, width, height } = panel;
      paint(panel.pixels, scan, plane, voxel, channel, palette);
      panel.voxels.getContext("2d").putImageData(panel.image, 0, 0);
      context.imageSmoothingEnabled = false; // a voxel is a square
      context.drawImage(panel.voxels, 0, 0, width, height);
      if (controls.boxes.checked) drawBoxes(panel, scan, voxel, model.get("patch"));
      drawCross(panel, scan, voxel);
      if (!flat) drawLetters(panel);
    }
    root.dataset.milliseconds = performance.now() - start; // that tests can ask for
    showState(voxel, window);
  }

  function showState(voxel, window) {
    for (const { plane, canvas, caption } of panels) {
      const text = `${"xyz"[plane.axis]} = ${voxel[plane.axis]}`;
      caption.textContent = flat ? "" : `${plane.name}, ${text}`;
      canvas.setAttribute("aria-valuenow", voxel[plane.axis]);
      canvas.setAttribute("aria-valuetext", `${plane.name}, ${text}`);
    }
    controls.low.value = byteOf(window[0]);
    controls.high.value = byteOf(window[1]);
    controls.low.title = rounded(window[0]);
    controls.high.title = rounded(window[1]);
    if (controls.opacity) controls.opacity.value = model.get("opacity");
    if (controls.channel) controls.channel.value = model.get("channel");
    describe(voxel);
  }

  // The line below the planes: of the voxel under the pointer, or else of the cross.
  function describe(voxel) {
    const at = voxel.reduce((sum, place, axis) => sum + place * scan.stride[axis], 0);
    const byte = scan.bytes[model.get("channel") * scan.size + at];
    const sign = { 0: "≤", 255: "≥" }[byte] ?? "≈"; // a byte is as exact as it can be
    const parts = [`voxel (${(flat ? voxel.slice(0, 2) : voxel).join(", ")})`];
    parts.push(`value ${sign} ${rounded(valueOf(byte))}`);
    const label = scan.labels?.[at];
    if (label) parts.push(scan.classes[label - 1].name);
    const box = boxAt(scan.boxes, voxel);
    if (box) parts.push(box.told);
    const [low, high] = model.get("window");
    parts.push(`window ${rounded(low)} to ${rounded(high)}`);
    told.textContent = parts.join("  ·  ");
  }

  // All planes at one scale, as large as fits.
  function arrange() {
    const extent = (axis) => scan.shape[axis] * scan.spacing[axis];
    const wide = panels.map(({ plane }) => extent(plane.across));
    const tall = panels.map(({ plane }) => extent(plane.up));
    const room = root.clientWidth - GAP * (panels.length - 1);
    if (root.clientWidth <= 0) return;
    const across =
      root.clientWidth < NARROW
        ? root.clientWidth / Math.max(...wide)
        : room / wide.reduce((a, b) => a + b);
    const scale = Math.min(across, TALLEST / Math.max(...tall));
    panels.forEach((panel, index) => {
      panel.width = Math.max(1, Math.floor(wide[index] * scale));
      panel.height = Math.max(1, Math.floor(tall[index] * scale));
      const dense = globalThis.devicePixelRatio || 1;
      panel.canvas.style.width = `${panel.width}px`;
      panel.canvas.style.height = `${panel.height}px`;
      panel.canvas.width = Math.round(panel.width * dense);
      panel.canvas.height = Math.round(panel.height * dense);
      panel.context.scale(panel.canvas.width / panel.width, panel.canvas.height / panel.height);
      panel.faint = faintBoxes(panel, scan);
    });
    draw();
  }

  // -- mouse and keyboard

  function voxelAt({ plane, width, height }, event) {
    const voxel = [...model.get("voxel")];
    const within = (share, edge) => Math.min(edge - 1, Math.max(0, Math.floor(share * edge)));
    voxel[plane.across] = within(event.offsetX / width, scan.shape[plane.across]);
    voxel[plane.up] = within(1 - event.offsetY / height, scan.shape[plane.up]);
    return voxel;
  }

  function scroll(axis, steps) {
    const voxel = [...model.get("voxel")];
    voxel[axis] = Math.min(scan.shape[axis] - 1, Math.max(0, voxel[axis] + steps));
    tell({ voxel });
  }

  function pick(panel, event) {
    const voxel = voxelAt(panel, event);
    tell({ voxel, patch: boxAt(scan.boxes, voxel)?.number ?? -1 });
  }

  // To the right: more contrast range; up: brighter.
  function drag(from, event) {
    const [low, high] = from.window;
    const width = (high - low) * Math.exp((event.clientX - from.x) / 150);
    const level = (low + high) / 2 + ((event.clientY - from.y) / 200) * (high - low);
    setWindow(level - width / 2, level + width / 2);
  }

  function listenToMouse(panel) {
    const { canvas, plane } = panel;
    let from = null; // of a drag of the window
    let moving = false; // the cross
    let armed = false; // a notebook scrolled under a pointer that rests goes on scrolling
    canvas.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      if (event.button === 2 || event.shiftKey) {
        from = { x: event.clientX, y: event.clientY, window: model.get("window") };
      } else if (event.button === 0) {
        moving = true;
        pick(panel, event);
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      armed ||= event.movementX !== 0 || event.movementY !== 0;
      if (from) drag(from, event);
      else if (moving) pick(panel, event);
      else describe(voxelAt(panel, event));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => ([from, moving] = [null, false]));
    }
    canvas.addEventListener("pointerleave", () => {
      armed = false;
      describe(model.get("voxel"));
    });
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
    let turned = 0; // touchpads send many small turns
    const wheel = (event) => {
      if (flat || !armed || event.ctrlKey) return;
      event.preventDefault();
      event.stopPropagation();
      turned += event.deltaMode === 0 ? event.deltaY / 50 : event.deltaY;
      const steps = Math.trunc(turned);
      if (!steps) return;
      turned = 0;
      scroll(plane.axis, -Math.sign(steps));
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
  }

  function listenToKeys({ canvas, plane: { axis } }) {
    const all = scan.shape[axis];
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
    Object.assign(steps, { PageUp: 10, PageDown: -10, Home: -all, End: all });
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      scroll(axis, steps[event.key]);
    });
  }

  panels.forEach(listenToMouse);
  panels.forEach(listenToKeys);
  root.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab takes it

  // -- the model

  const changed = {
    "change:window": () => (windows[model.get("channel")] = model.get("window")),
    change: draw,
  };
  for (const [event, listener] of Object.entries(changed)) model.on(event, listener);
  const sizes = new ResizeObserver(arrange);
  sizes.observe(root);
  arrange();
  return () => {
    sizes.disconnect();
    for (const [event, listener] of Object.entries(changed)) model.off(event, listener);
  };
}

export default { render };

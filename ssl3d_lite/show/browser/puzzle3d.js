// Puzzle3D: pieces of a scan as boxes that fly apart, are shuffled and put back.
//
// Seen without perspective, each side of a box is a parallelogram, and a canvas can draw a picture
// into one exactly: so far boxes first, near boxes last (the painter's way) is all that it takes.
// Python says where a piece can be (4 x 4 matrices, piece voxel → scan voxel); here they are only
// blended.

const RIGHT = "#009E73", WRONG = "#D55E00", GREY = "#777777";
const SHADE = [0.22, 0.1, 0]; // darkness of a box's sides by axis: light comes from above
const MOVE = 700; // milliseconds that putting back takes

// ---- vectors and matrices (rows of a 4 x 4 matrix that is affine) ------------------------------

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const blend = (a, b, t) => (Array.isArray(a) ? a.map((x, i) => blend(x, b[i], t)) : a + (b - a) * t);
const apply = (m, p) => [0, 1, 2].map((i) => dot(m[i], p) + m[i][3]);
const column = (m, j) => [m[0][j], m[1][j], m[2][j]];

function times(a, b) {
  return a.map((row) => [0, 1, 2].map((j) => dot(row, column(b, j))));
}

const linear = (m) => [0, 1, 2].map((i) => m[i].slice(0, 3));
const transposed = (m) => [0, 1, 2].map((j) => column(m, j));

function determinant(m) {
  const [a, b, c] = m;
  return dot(a, [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]]);
}

// The part t of the turn r, about the same axis. A half turn blended number by number would go
// through a flat box.
function partOfTurn(r, t) {
  const cosine = Math.max(-1, Math.min(1, (r[0][0] + r[1][1] + r[2][2] - 1) / 2));
  const angle = Math.acos(cosine);
  let axis = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]];
  if (Math.hypot(...axis) < 1e-6) axis = [0, 1, 2].map((i) => (r[i][i] > cosine + 1e-6 ? 1 : 0));
  const length = Math.hypot(...axis) || 1;
  const [x, y, z] = axis.map((n) => n / length);
  const s = Math.sin(angle * t), c = Math.cos(angle * t), v = 1 - c;
  return [
    [c + x * x * v, x * y * v - z * s, x * z * v + y * s],
    [x * y * v + z * s, c + y * y * v, y * z * v - x * s],
    [x * z * v - y * s, y * z * v + x * s, c + z * z * v],
  ];
}

// Between two places of a piece: its middle goes straight, the piece turns.
function between(a, b, t, middle) {
  if (t <= 0) return a;
  if (t >= 1) return b;
  let turned = blend(linear(a), linear(b), t);
  const unscaled = [a, b].map((m) => {
    const rows = linear(m), size = [0, 1, 2].map((j) => Math.hypot(...column(rows, j)));
    return rows.map((row) => row.map((n, j) => n / size[j]));
  });
  if (unscaled.every((m) => determinant(m) > 0)) { // not mirrored
    const whole = times(unscaled[1], transposed(unscaled[0]));
    turned = times(partOfTurn(whole, t), linear(a));
  }
  const centre = blend(apply(a, middle), apply(b, middle), t);
  return turned.map((row, i) => [...row, centre[i] - dot(row, middle)]);
}

// ---- pictures on the sides of a box ------------------------------------------------------------

// A piece's picture across `axis`, `depth` of the way from that side (0) to the opposite one (1).
function slice(voxels, first, size, axis, far, depth) {
  const [across, up] = [0, 1, 2].filter((a) => a !== axis);
  const stride = [size[1] * size[2], size[2], 1];
  const step = Math.round(depth * (size[axis] - 1));
  const start = first + (far ? size[axis] - 1 - step : step) * stride[axis];
  const picture = new OffscreenCanvas(size[across], size[up]);
  const pen = picture.getContext("2d");
  const image = pen.createImageData(size[across], size[up]);
  let at = 0;
  for (let j = 0; j < size[up]; j++) {
    for (let i = 0; i < size[across]; i++, at += 4) {
      const grey = voxels[start + i * stride[across] + j * stride[up]];
      image.data[at] = image.data[at + 1] = image.data[at + 2] = grey;
      image.data[at + 3] = 255;
    }
  }
  pen.putImageData(image, 0, 0);
  return picture;
}

// ---- looking -----------------------------------------------------------------------------------

// Seen from the front at (0, 0); the angles turn the eye to the patient's right, and up.
function look([azimuth, elevation]) {
  const a = (azimuth * Math.PI) / 180, e = (elevation * Math.PI) / 180;
  return {
    across: [-Math.cos(a), Math.sin(a), 0],
    up: [-Math.sin(e) * Math.sin(a), -Math.sin(e) * Math.cos(a), Math.cos(e)],
    near: [Math.sin(a) * Math.cos(e), Math.cos(a) * Math.cos(e), Math.sin(e)],
  };
}

const cornersOf = (low, high) =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((n) => [0, 1, 2].map((a) => ((n >> a) & 1 ? high : low)[a]));

function inside(quad, x, y) {
  const turns = quad.map(([ax, ay], i) => {
    const [bx, by] = quad[(i + 1) % 4];
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax);
  });
  return turns.every((t) => t >= 0) || turns.every((t) => t <= 0);
}

// ---- the widget --------------------------------------------------------------------------------

function element(parent, tag, attributes = {}, text = "") {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  parent.append(made);
  return made;
}

function range(parent, text, name, maximum) {
  const input = document.createElement("input");
  Object.assign(input, { type: "range", className: name, min: 0, max: maximum, step: 0.01 });
  const label = element(parent, "label", {}, text);
  label.append(input);
  return input;
}

function render({ model, el }) {
  el.classList.add("ssl3d-puzzle3d");
  const canvas = element(el, "canvas", { tabIndex: 0, role: "img" });
  const controls = element(el, "div", { className: "controls" });
  const apart = range(controls, "apart", "apart", 1);
  const depth = range(controls, "look inside", "depth", 0.5);
  const shuffle = element(controls, "button", { type: "button", className: "shuffle" }, "shuffle");
  const putBack = element(controls, "button", { type: "button", className: "put-back" }, "put back");
  const legend = element(el, "div", { className: "legend" });
  const says = element(el, "div", { className: "says" });
  const pen = canvas.getContext("2d");

  let scene, voxels, pictures, back, goal, drawn, frame = 0;

  // ---- what to show
  function load() {
    scene = model.get("_scene");
    const bytes = model.get("_voxels");
    voxels = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    goal = scene.pieces.map(() => (model.get("shuffled") ? 0 : 1));
    back = goal.slice(); // of each piece, how far it has been put back
    pictures = new Map();
    for (const button of [shuffle, putBack]) button.hidden = !scene.moves;
    shuffle.textContent = scene.grid ? "shuffle" : "as the network sees them";
    apart.parentElement.hidden = scene.pieces.length === 1;
    canvas.ariaLabel = scene.title;
    legend.replaceChildren();
    for (const [colour, dashed, text] of scene.legend) {
      const entry = element(legend, "span");
      const mark = element(entry, "i");
      mark.style.borderColor = colour;
      mark.style.borderStyle = dashed ? "dashed" : "solid";
      entry.append(text);
    }
    press();
    tell();
    draw();
  }

  function tell() {
    const piece = scene.pieces[model.get("picked")];
    says.textContent = piece ? piece.says : scene.hint;
  }

  function press() {
    const known = goal.every((t) => t === goal[0]);
    shuffle.ariaPressed = known && goal[0] === 0;
    putBack.ariaPressed = known && goal[0] === 1;
  }

  function picture(number, axis, far) {
    const key = `${number} ${axis} ${far}`;
    if (!pictures.has(key)) {
      const first = number * scene.size.reduce((a, b) => a * b);
      pictures.set(key, slice(voxels, first, scene.size, axis, far, model.get("depth")));
    }
    return pictures.get(key);
  }

  function cutElsewhere() {
    pictures.clear();
    draw();
  }

  // ---- drawing
  function places(panel) {
    const middle = scene.size.map((n) => (n - 1) / 2);
    return scene.pieces.map((piece, number) => {
      const [shown, home] = ["shown", panel.put].map((where) =>
        blend(piece[where][0], piece[where][1], model.get("apart"))
      );
      return between(shown, home, back[number], middle);
    });
  }

  function draw() {
    if (!scene) return;
    apart.value = model.get("apart");
    depth.value = model.get("depth");
    const ratio = window.devicePixelRatio || 1;
    const wide = canvas.clientWidth, high = canvas.clientHeight;
    if (!wide) return;
    canvas.width = wide * ratio;
    canvas.height = high * ratio;
    drawn = [];
    const matrices = scene.panels.map(places);
    const box = cornersOf([-0.5, -0.5, -0.5], scene.size.map((n) => n - 0.5));
    const clouds = matrices.map((each) => each.flatMap((m) => box.map((p) => apply(m, p))));
    const space = cornersOf([-0.5, -0.5, -0.5], scene.space.map((n) => n - 0.5));
    const home = back.reduce((sum, t) => sum + t, 0) / back.length;
    // the scan's own box, as far as pieces lie in it
    const framed = blend(+scene.framed.shown, +scene.framed.home, home) * (1 - model.get("apart"));
    const centres = clouds.map((cloud) => blend(middleOf(cloud), middleOf(space), framed));
    const reaches = clouds.map((cloud, n) => reach(cloud, centres[n]));
    const radius = Math.max(...reaches, framed * reach(space, middleOf(space)));
    const width = wide / scene.panels.length, title = scene.panels.length > 1 ? 24 : 0;
    const views = scene.panels.map((panel, n) => {
      const [x, y] = [(n + 0.5) * width, (high + title) / 2];
      return { ...look(model.get("turn")), ratio, panel, x, y, centre: centres[n] };
    });
    const scale = Math.min( // turning changes no size, and nothing is cut off
      (0.57 * Math.min(width, high - title)) / radius,
      ...views.map((view, n) => fit(view, clouds[n], width, high - title))
    );
    views.forEach((view, n) => {
      view.scale = scale;
      if (framed) drawFrame(view, space, framed);
      drawPieces(view, matrices[n]);
      drawCompass(view, n * width + 34, high - 34, scene.turned ? home : 1);
      drawTitle(view, view.panel.title, width);
    });
  }

  const middleOf = (cloud) => // of its bounding box
    [0, 1, 2].map((a) => {
      const along = cloud.map((p) => p[a]);
      return (Math.min(...along) + Math.max(...along)) / 2;
    });
  function fit(view, cloud, width, height) {
    const seen = cloud.map((p) => minus(p, view.centre));
    const [across, up] = [view.across, view.up].map((way) =>
      Math.max(...seen.map((p) => Math.abs(dot(p, way))))
    );
    return Math.min((width / 2 - 8) / across, (height / 2 - 8) / up);
  }

  const reach = (cloud, centre) =>
    Math.max(...cloud.map((p) => Math.hypot(...minus(p, centre))));

  function project(view, point) {
    const p = minus(point, view.centre);
    return [view.x + view.scale * dot(p, view.across), view.y - view.scale * dot(p, view.up)];
  }

  function drawTitle(view, title, width) {
    pen.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    pen.font = "600 14px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.fillStyle = "#222";
    pen.fillText(title, view.x, 16, width - 10);
  }

  function drawFrame(view, corners, faint) {
    pen.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    pen.globalAlpha = faint;
    pen.strokeStyle = "#bbb";
    pen.lineWidth = 1;
    corners.forEach((from, n) => {
      for (const bit of [1, 2, 4]) if (!(n & bit)) line(view, from, corners[n | bit]);
    });
    pen.globalAlpha = 1;
  }

  // Which way is the patient's right, front (anterior) and top (superior)
  function drawCompass(view, x, y, clear) {
    pen.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    pen.globalAlpha = clear;
    pen.strokeStyle = pen.fillStyle = "#444";
    pen.lineWidth = 1.5;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    ["R", "A", "S"].forEach((name, axis) => {
      const [across, up] = [view.across[axis], view.up[axis]];
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + 18 * across, y - 18 * up);
      pen.stroke();
      pen.fillText(name, x + 26 * across, y - 26 * up);
    });
    pen.textBaseline = "alphabetic";
    pen.globalAlpha = 1;
  }

  function line(view, from, to) {
    pen.beginPath();
    pen.moveTo(...project(view, from));
    pen.lineTo(...project(view, to));
    pen.stroke();
  }

  function drawPieces(view, matrices) {
    const middle = scene.size.map((n) => (n - 1) / 2);
    const far = matrices.map((m, number) => [dot(apply(m, middle), view.near), number]);
    far.sort((a, b) => a[0] - b[0]);
    for (const [, number] of far) drawPiece(view, matrices[number], number);
  }

  function drawPiece(view, matrix, number) {
    const sides = [];
    for (const axis of [0, 1, 2]) {
      const normal = column(matrix, axis), facing = dot(normal, view.near);
      if (Math.abs(facing) < 1e-6) continue;
      sides.push({ axis, far: facing > 0, facing: Math.abs(facing), normal });
    }
    sides.sort((a, b) => a.facing - b.facing);
    for (const side of sides) drawSide(view, matrix, number, side);
    if (sides.length) drawName(view, drawn.at(-1).quad, number);
  }

  function drawSide(view, matrix, number, { axis, far, normal }) {
    const [b, c] = [0, 1, 2].filter((a) => a !== axis);
    const corner = [-0.5, -0.5, -0.5];
    if (far) corner[axis] = scene.size[axis] - 0.5;
    const at = (i, j) => {
      const p = corner.slice();
      p[b] += i;
      p[c] += j;
      return project(view, apply(matrix, p));
    };
    const [m, n] = [scene.size[b], scene.size[c]];
    const quad = [at(0, 0), at(m, 0), at(m, n), at(0, n)];
    const [o, right, up] = [quad[0], at(1, 0), at(0, 1)];
    pen.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    pen.transform(right[0] - o[0], right[1] - o[1], up[0] - o[0], up[1] - o[1], o[0], o[1]);
    pen.imageSmoothingEnabled = false; // voxels are what the network gets
    pen.drawImage(picture(number, axis, far), 0, 0);
    const toward = [0, 1, 2].reduce((best, a) =>
      Math.abs(normal[a]) > Math.abs(normal[best]) ? a : best
    );
    pen.fillStyle = `rgba(0, 0, 0, ${SHADE[toward]})`;
    pen.fillRect(0, 0, m, n);
    outline(view, quad, number);
    drawn.push({ quad, number });
  }

  // ---- what tells pieces: colour of the edge, whole or dashed; number; mark
  const marking = (view, number) => {
    const right = scene.pieces[number].right;
    if (!view.panel.marked || right === null) return scene.panels.length > 1 ? null : undefined;
    return right;
  };

  function outline(view, quad, number) {
    const mark = marking(view, number), picked = model.get("picked") === number;
    pen.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    pen.beginPath();
    quad.forEach((p) => pen.lineTo(...p));
    pen.closePath();
    pen.lineJoin = "round";
    pen.lineWidth = picked ? 6 : 2.5;
    pen.strokeStyle = picked ? "#F0E442" : colourOf(number, mark);
    if (mark === false && !picked) pen.setLineDash([6, 4]);
    pen.stroke();
    pen.setLineDash([]);
    if (picked) {
      pen.lineWidth = 1.5;
      pen.strokeStyle = "#000";
      pen.stroke();
    }
  }

  function colourOf(number, mark) {
    if (mark === undefined) return scene.pieces[number].colour;
    return mark === null ? GREY : mark ? RIGHT : WRONG;
  }

  function drawName(view, quad, number) {
    const mark = marking(view, number);
    const text = { true: "✓ ", false: "✗ " }[mark] ?? "";
    if (scene.pieces.length === 1 && !text) return;
    if (scene.overlap && model.get("apart") < 0.4) return; // names would hide each other
    const [x, y] = [0, 1].map((a) => quad.reduce((sum, p) => sum + p[a], 0) / 4);
    const name = text + number;
    const edge = Math.hypot(quad[1][0] - quad[0][0], quad[1][1] - quad[0][1]);
    const size = Math.max(10, Math.min(14, edge / 4));
    pen.font = `600 ${size}px system-ui, sans-serif`;
    const width = pen.measureText(name).width + 8;
    const colour = mark === null ? "#333333" : colourOf(number, mark);
    pen.fillStyle = colour;
    pen.globalAlpha = 0.9;
    pen.beginPath();
    pen.roundRect(x - width / 2, y - size / 2 - 3, width, size + 6, 4);
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = ["#E69F00", "#56B4E9", "#CC79A7"].includes(colour) ? "#000" : "#fff";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(name, x, y + 1);
    pen.textBaseline = "alphabetic";
  }

  // ---- moving
  function move() {
    press();
    cancelAnimationFrame(frame);
    const from = back.slice(), begin = performance.now();
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const tick = (now) => {
      const t = still ? 1 : Math.min(1, Math.max(0, now - begin) / MOVE);
      const eased = t * t * (3 - 2 * t);
      back = from.map((a, n) => a + (goal[n] - a) * eased);
      draw();
      if (t < 1) frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  }

  function moveAll() {
    goal = goal.map(() => (model.get("shuffled") ? 0 : 1));
    move();
  }

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return drawn.findLast(({ quad }) => inside(quad, x, y))?.number ?? -1;
  }

  function tilt(right, up) {
    const [azimuth, elevation] = model.get("turn");
    set("turn", [(azimuth + right) % 360, Math.max(-90, Math.min(90, elevation + up))]);
  }

  // ---- what the reader does
  let grip = null, dragged = false;
  canvas.addEventListener("pointerdown", (event) => {
    grip = [event.clientX, event.clientY];
    dragged = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [x, y] = [event.clientX - grip[0], event.clientY - grip[1]];
    if (!dragged && Math.hypot(x, y) < 4) return;
    dragged = true;
    grip = [event.clientX, event.clientY];
    tilt(x / 2, y / 2);
  });
  canvas.addEventListener("pointerup", () => (grip = null));
  canvas.addEventListener("pointercancel", () => (grip = null));
  canvas.addEventListener("click", (event) => {
    if (!dragged) set("picked", under(event));
  });
  canvas.addEventListener("dblclick", (event) => {
    const number = under(event);
    if (number < 0 || dragged || !scene.moves) return;
    goal[number] = 1 - goal[number];
    move();
  });
  canvas.addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] };
    if (!(event.key in keys)) return;
    event.preventDefault();
    tilt(...keys[event.key]);
  });
  // JupyterLab has its own use for arrow keys
  el.addEventListener("keydown", (event) => event.stopPropagation());
  apart.addEventListener("input", () => set("apart", Number(apart.value)));
  depth.addEventListener("input", () => set("depth", Number(depth.value)));
  shuffle.addEventListener("click", () => again(true));
  putBack.addEventListener("click", () => again(false));

  function again(shuffled) { // some pieces may have been moved by themselves
    if (model.get("shuffled") === shuffled) moveAll();
    set("shuffled", shuffled);
  }

  // ---- what the kernel says, or another view of the same widget
  model.on("change:_scene", load);
  model.on("change:apart", draw);
  model.on("change:depth", cutElsewhere);
  model.on("change:turn", draw);
  model.on("change:shuffled", moveAll);
  model.on("change:picked", draw);
  model.on("change:picked", tell);
  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  load();

  return () => {
    resized.disconnect();
    cancelAnimationFrame(frame);
    model.off("change:_scene", load);
    model.off("change:depth", cutElsewhere);
    for (const name of ["apart", "turn", "picked"]) model.off(`change:${name}`, draw);
    model.off("change:shuffled", moveAll);
    model.off("change:picked", tell);
  };
}

export default { render };

// A surface in a canvas that the mouse and the arrow keys turn, with the scan's box about it.

import { BY_CPU, sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { paintSurface } from "./features_space.js";
import { look, project, tilted } from "./looking.js";

export const START = [40, 25]; // degrees to the patient's right, and up: where a body is cut open
const KEY_TURN = 15; // degrees
const TURNS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const GREY = "#8888"; // lines and letters, on white and on black

export function makeSolidPanel(figure, name) {
  const about = { role: "img", "aria-label": `${name}, in 3D` };
  const canvas = make(figure, "canvas", { tabIndex: 0 }, about);
  const layer = document.createElement("canvas");
  return { canvas, layer, context: canvas.getContext("2d", BY_CPU) };
}

export function sizeSolidPanel(panel, width, height) {
  Object.assign(panel, { width, height });
  sizeCanvas(panel, width, height);
  [panel.layer.width, panel.layer.height] = [panel.canvas.width, panel.canvas.height];
}

// `colourOf` gives a voxel's red, green and blue.
export function drawSolidPanel(panel, turn, surface, { shape, spacing }, colourOf) {
  const { context, layer, canvas, width, height } = panel;
  const dense = canvas.width / width;
  const extent = shape.map((edge, axis) => edge * spacing[axis]);
  const eye = {
    ...look(turn),
    x: width / 2,
    y: height / 2,
    scale: Math.min(width, height) / (0.85 * Math.hypot(...extent)),
    centre: shape.map((edge, axis) => ((edge - 1) / 2) * spacing[axis]),
  };
  context.clearRect(0, 0, width, height);
  drawSpace(context, eye, extent, spacing);
  const pen = layer.getContext("2d", BY_CPU);
  const image = pen.createImageData(layer.width, layer.height);
  const fine = { ...eye, x: eye.x * dense, y: eye.y * dense, scale: eye.scale * dense };
  paintSurface(image, fine, surface, spacing, colourOf);
  pen.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, width, height);
}

// The scan's box, with a letter where each of the patient's sides is.
function drawSpace(context, eye, extent, spacing) {
  const [low, high] = [spacing.map((n) => -n / 2), extent.map((n, axis) => n - spacing[axis] / 2)];
  const corner = (bits) => [0, 1, 2].map((axis) => ((bits >> axis) & 1 ? high : low)[axis]);
  context.strokeStyle = GREY;
  context.lineWidth = 1;
  context.beginPath();
  for (let a = 0; a < 8; a++) {
    for (const bit of [1, 2, 4]) {
      if (a & bit) continue;
      context.moveTo(...project(eye, corner(a)));
      context.lineTo(...project(eye, corner(a | bit)));
    }
  }
  context.stroke();
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = "#888";
  ["LR", "PA", "IS"].forEach((letters, axis) => {
    for (const end of [0, 1]) {
      const side = [...eye.centre];
      side[axis] = end ? high[axis] + 4 / eye.scale : low[axis] - 4 / eye.scale;
      context.fillText(letters[end], ...project(eye, side));
    }
  });
}

// `solid` has the turn and the frame that is asked for; `redraw` draws all that it turns.
export function listenToTurns(solid, canvas, redraw) {
  let from = null;
  const turn = (right, up) => {
    solid.turn = tilted(solid.turn, right, up);
    cancelAnimationFrame(solid.frame);
    solid.frame = requestAnimationFrame(redraw);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = event;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    turn((from.clientX - event.clientX) / 2, (event.clientY - from.clientY) / 2);
    from = event;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      from = null;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in TURNS)) return;
    event.preventDefault();
    turn(...TURNS[event.key].map((way) => way * KEY_TURN));
  });
}

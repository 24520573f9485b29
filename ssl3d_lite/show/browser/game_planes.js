// Three planes through a volume, each with a slider; and single planes as thumbnails. A canvas has a
// pixel for each voxel, and the style sheet makes it large: the browser smooths it.

import { make } from "./elements.js";
import { PLANES } from "./slices_geometry.js";

const FROM = ["from the side", "from the front", "from above"]; // what a beginner sees of each plane
const HEAT = [255, 140, 0];

// Colours one plane. `volume` has size, greys (Uint8Array), and may have `heat` and `veil`: functions
// of a voxel, which give a share of orange, or a colour.
export function paintPlane(canvas, volume, { axis, across, up }, slice) {
  const { size, greys, heat, veil } = volume;
  const [wide, tall] = [size[across], size[up]];
  if (canvas.width !== wide || canvas.height !== tall) {
    canvas.width = wide;
    canvas.height = tall;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(wide, tall);
  const voxel = [0, 0, 0];
  voxel[axis] = slice;
  for (let row = 0, to = 0; row < tall; row++) {
    voxel[up] = tall - 1 - row;
    for (let column = 0; column < wide; column++, to += 4) {
      voxel[across] = column;
      const grey = greys[(voxel[0] * size[1] + voxel[1]) * size[2] + voxel[2]];
      const share = heat ? 0.75 * heat(voxel) : 0;
      const over = veil?.(voxel);
      for (let c = 0; c < 3; c++) {
        image.data[to + c] = over ? over[c] : (1 - share) * grey + share * HEAT[c];
      }
      image.data[to + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

// A picture of one plane, amid the volume if no slice is said.
export function makeThumbnail(parent, volume, axis, slice = null) {
  const canvas = make(parent, "canvas", { className: "thumbnail" }, { "aria-hidden": "true" });
  paintPlane(canvas, volume, PLANES[axis], slice ?? Math.floor(volume.size[axis] / 2));
  return canvas;
}

// Gives { show }, which shows another volume of any size at the same slices.
export function makeViewer(parent, name, volume) {
  const root = make(parent, "div", { className: "viewer" }, { role: "group", "aria-label": name });
  const viewer = { volume, panels: [] };
  viewer.panels = PLANES.map((plane) => makePanel(root, viewer, plane, name));
  viewer.show = (next) => {
    viewer.volume = next;
    for (const panel of viewer.panels) draw(viewer, panel);
  };
  viewer.show(volume);
  return viewer;
}

function makePanel(root, viewer, plane, name) {
  const figure = make(root, "figure");
  const frame = make(figure, "div", { className: "frame" });
  const canvas = make(frame, "canvas", {}, { "aria-hidden": "true" });
  const marks = make(frame, "div", { className: "marks" });
  const label = make(figure, "label");
  const caption = make(label, "span", { textContent: `${plane.name}, ${FROM[plane.axis]}` });
  const last = viewer.volume.size[plane.axis] - 1;
  const value = viewer.volume.at?.[plane.axis] ?? Math.floor(last / 2);
  const slider = make(label, "input", { type: "range", min: 0, max: last, step: 1 });
  slider.value = value;
  slider.setAttribute("aria-label", `${name}: ${caption.textContent}, slice`);
  const panel = { plane, canvas, marks, slider };
  slider.addEventListener("input", () => draw(viewer, panel));
  frame.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      slider.value = Number(slider.value) - Math.sign(event.deltaY);
      draw(viewer, panel);
    },
    { passive: false },
  );
  frame.addEventListener("pointerdown", (event) => goTo(viewer, panel, event));
  frame.addEventListener("pointermove", (event) => {
    if (event.buttons) goTo(viewer, panel, event);
  });
  return panel;
}

// A point in one plane says where the two others lie.
function goTo(viewer, { plane, canvas }, event) {
  const box = canvas.getBoundingClientRect();
  const shares = [
    (event.clientX - box.left) / box.width,
    1 - (event.clientY - box.top) / box.height,
  ];
  for (const [n, axis] of [plane.across, plane.up].entries()) {
    const panel = viewer.panels[axis];
    panel.slider.value = Math.floor(shares[n] * viewer.volume.size[axis]);
    draw(viewer, panel);
  }
}

function draw({ volume }, { plane, canvas, marks, slider }) {
  const slice = Number(slider.value);
  paintPlane(canvas, volume, plane, slice);
  canvas.style.aspectRatio = `${volume.size[plane.across]} / ${volume.size[plane.up]}`;
  marks.replaceChildren();
  for (const { from, to, text } of volume.boxes ?? []) {
    if (slice < from[plane.axis] || slice >= to[plane.axis]) continue;
    const percent = (length, axis) => `${(100 * length) / volume.size[axis]}%`;
    const mark = make(marks, "span", { className: "mark", textContent: text });
    mark.style.left = percent(from[plane.across], plane.across);
    mark.style.bottom = percent(from[plane.up], plane.up);
    mark.style.width = percent(to[plane.across] - from[plane.across], plane.across);
    mark.style.height = percent(to[plane.up] - from[plane.up], plane.up);
  }
}

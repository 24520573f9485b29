// The fourth picture of a scan in slices: the body in 3D, cut open at the cross, where its labels
// stand in the cut.

import { make } from "./elements.js";
import { shownVoxels, surfaceOf } from "./features_space.js";
import { GAP } from "./slices_geometry.js";
import { drawSolidPanel, listenToTurns, makeSolidPanel, START, sizeSolidPanel } from "./solid.js";

const WAIT = 120; // milliseconds after a move, since cutting takes longer than the planes do
const BESIDE = 700; // CSS pixels of a page from which on it stands beside the planes
const SHARE = 0.3; // of such a page's width
const LARGEST = 360; // CSS pixels
const SKIN = [230, 230, 230]; // where the body borders on air

export function makeSolid(view, row) {
  const figure = make(row, "figure", { className: "ssl3d-solid" });
  const solid = { ...makeSolidPanel(figure, "the scan"), turn: START, timer: 0, cut: null };
  make(figure, "figcaption", { textContent: "cut open at the cross; drag to turn" });
  listenToTurns(solid, solid.canvas, () => drawSolid(view));
  return solid;
}

// Returns the width that is left for the planes.
export function arrangeSolid({ solid }, pageWidth) {
  const beside = pageWidth >= BESIDE;
  const edge = Math.floor(Math.min(LARGEST, beside ? SHARE * pageWidth : pageWidth));
  sizeSolidPanel(solid, edge, edge);
  return beside ? pageWidth - edge - GAP : pageWidth;
}

export function drawSolidSoon(view) {
  clearTimeout(view.solid.timer);
  view.solid.timer = setTimeout(() => drawSolid(view), view.solid.cut === null ? 0 : WAIT);
}

function drawSolid({ solid, scan, model, palette, root }) {
  if (!solid.width) return; // it is not laid out yet
  const voxel = model.get("voxel");
  if (solid.cut !== `${voxel}`) {
    const shown = shownVoxels({ shape: scan.shape, voxels: scan.body }, false, voxel);
    for (let at = 0; scan.labels && at < shown.length; at++) if (scan.labels[at]) shown[at] = 1;
    solid.surface = surfaceOf(shown, scan.shape);
    solid.cut = `${voxel}`;
  }
  const [first, rgb] = [model.get("channel") * scan.size, [0, 0, 0]];
  drawSolidPanel(solid, solid.turn, solid.surface, scan, (x, y, z) => {
    const at = x * scan.stride[0] + y * scan.stride[1] + z;
    const label = scan.labels ? scan.labels[at] : 0;
    if (!label && isOnSkin(scan.body, scan.shape, [x, y, z])) return SKIN;
    const colour = palette[(label << 8) | scan.bytes[first + at]];
    for (let n = 0; n < 3; n++) rgb[n] = (colour >> (8 * n)) & 255;
    return rgb;
  });
  root.dataset.cut = solid.cut; // tests read it
}

// Beyond the scan's own border the body goes on.
export function isOnSkin(body, shape, voxel) {
  for (let axis = 0; axis < 3; axis++) {
    for (const step of [-1, 1]) {
      const [x, y, z] = voxel.map((place, other) => place + (other === axis ? step : 0));
      if (Math.min(x, y, z) < 0 || x >= shape[0] || y >= shape[1] || z >= shape[2]) continue;
      if (!body[(x * shape[1] + y) * shape[2] + z]) return true;
    }
  }
  return false;
}

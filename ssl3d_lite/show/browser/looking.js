// These functions say where the eye is that looks at a scan, and where it sees a point. It sees
// without perspective.

import { dot, minus } from "./vectors.js";

// At (0, 0) the eye is in front of the patient; the angles turn it to the patient's right, and up.
export function look([azimuth, elevation]) {
  const [a, e] = [(azimuth * Math.PI) / 180, (elevation * Math.PI) / 180];
  return {
    across: [-Math.cos(a), Math.sin(a), 0],
    up: [-Math.sin(e) * Math.sin(a), -Math.sin(e) * Math.cos(a), Math.cos(e)],
    near: [Math.sin(a) * Math.cos(e), Math.cos(a) * Math.cos(e), Math.sin(e)],
  };
}

// Beyond straight up and straight down the patient would stand on the head.
export const tilted = ([azimuth, elevation], right, up) => [
  (azimuth + right) % 360,
  Math.max(-90, Math.min(90, elevation + up)),
];

export function project(view, point) {
  const p = minus(point, view.centre);
  return [view.x + view.scale * dot(p, view.across), view.y - view.scale * dot(p, view.up)];
}

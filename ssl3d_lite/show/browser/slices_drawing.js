// These functions draw on the canvas of one plane: voxels, boxes of pieces, the cross, letters.

import { badgesOf, borderAt, columnsLeft, cut, EDGES, placeOn } from "./slices_geometry.js";
import { paint } from "./slices_values.js";

const FONT = "system-ui, sans-serif";

export function drawVoxels(panel, scan, voxel, channel, palette, wipe) {
  const { context, plane, width, height } = panel;
  paint(panel.pixels, scan, plane, voxel, channel, palette, columnsLeft(panel, scan, wipe));
  panel.voxels.getContext("2d").putImageData(panel.image, 0, 0);
  context.imageSmoothingEnabled = false; // a voxel is a square
  context.drawImage(panel.voxels, 0, 0, width, height);
}

// One path holds all boxes, since it is drawn at every redraw and changes only with the canvas.
export function faintBoxes(panel, scan) {
  const { across, up } = panel.plane;
  const [path, to] = [new Path2D(), placeOn(panel, scan)];
  for (const { corners, part } of scan.boxes) {
    if (part) continue; // the parts of a question are filled where they lie
    for (const [a, b] of EDGES) {
      path.moveTo(...to([corners[a][across], corners[a][up]]));
      path.lineTo(...to([corners[b][across], corners[b][up]]));
    }
  }
  return path;
}

// The nearest box comes last, so that others do not cover it; the chosen one lies on top of all.
export function drawBoxes(panel, scan, voxel, chosen) {
  const { context, plane } = panel;
  const to = placeOn(panel, scan);
  context.lineWidth = 1;
  context.strokeStyle = "rgba(255, 255, 255, 0.3)";
  context.stroke(panel.faint);
  const away = (box) =>
    box.number === chosen ? -1 : Math.abs(box.centre[plane.axis] - voxel[plane.axis]);
  const shown = scan.boxes
    .map((box) => ({ box, points: cut(box, plane, voxel[plane.axis]).map(to) }))
    .filter(({ points }) => points.length > 2)
    .sort((a, b) => away(b.box) - away(a.box));
  for (const { box, points } of shown) drawBox(context, box, points, box.number === chosen);
  numberBoxes(context, shown.reverse());
}

function drawBox(context, box, points, isChosen) {
  outline(context, points);
  if (isChosen) {
    context.fillStyle = `${box.colour}40`;
    context.fill();
    context.lineWidth = 5;
    context.strokeStyle = "#fff";
    context.stroke();
  }
  if (box.part) {
    context.fillStyle = `${box.colour}73`;
    context.fill();
  }
  const asked = box.part === "asked";
  context.lineWidth = isChosen || asked ? 3 : 1.5;
  context.strokeStyle = box.colour;
  context.setLineDash(asked ? [5, 4] : []);
  context.stroke();
  context.setLineDash([]);
}

function outline(context, points) {
  context.beginPath();
  points.forEach(([x, y], index) => {
    if (index) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.closePath();
}

function numberBoxes(context, nearestFirst) {
  for (const { text, x, y, part } of badgesOf(nearestFirst)) {
    write(context, text, x, y, "#fff", part ? 16 : 11);
  }
}

export function drawCross(panel, scan, voxel) {
  const { context, plane, width, height } = panel;
  const place = placeOn(panel, scan)([voxel[plane.across], voxel[plane.up]]);
  const [x, y] = place.map((value) => Math.floor(value) + 0.5); // lines amid pixels are sharp
  const gap = 7; // the cross leaves the voxel itself free
  const path = new Path2D();
  const line = (from, to) => {
    path.moveTo(...from);
    path.lineTo(...to);
  };
  line([0, y], [x - gap, y]);
  line([x + gap, y], [width, y]);
  line([x, 0], [x, y - gap]);
  line([x, y + gap], [x, height]);
  const strokes = [
    ["rgba(0, 0, 0, 0.45)", 3], // the dark edge shows the cross on white too
    ["rgba(255, 255, 255, 0.85)", 1],
  ];
  for (const [style, lineWidth] of strokes) {
    context.strokeStyle = style;
    context.lineWidth = lineWidth;
    context.stroke(path);
  }
}

// The border has a grip, which says that it can be dragged.
export function drawBorder(panel, scan, wipe) {
  const { context, width, height } = panel;
  const x = Math.min(width - 1, Math.max(1, borderAt(panel, scan, wipe)));
  const [path, y] = [new Path2D(), 0.8 * height];
  path.moveTo(x, 0);
  path.lineTo(x, height);
  const strokes = [
    ["rgba(0, 0, 0, 0.6)", 5],
    ["#fff", 2.5],
  ];
  for (const [style, lineWidth] of strokes) {
    context.strokeStyle = style;
    context.lineWidth = lineWidth;
    context.stroke(path);
  }
  context.beginPath();
  context.arc(x, y, 11, 0, 2 * Math.PI);
  context.fillStyle = "#fff";
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.stroke();
  write(context, "◂ ▸", x, y, "#000", 11, "#fff");
}

export function drawLetters({ context, plane, width, height }) {
  const colour = "#ffe9a8";
  write(context, plane.left, 9, height / 2, colour, 12);
  write(context, plane.right, width - 9, height / 2, colour, 12);
  write(context, plane.top, width / 2, 10, colour, 12);
  write(context, plane.bottom, width / 2, height - 10, colour, 12);
}

// Text has a dark edge, so that it can be read on any grey.
function write(context, text, x, y, colour, size = 11, edge = "rgba(0, 0, 0, 0.75)") {
  context.font = `600 ${size}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = edge;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

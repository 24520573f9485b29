// Plots of features, a dot a cell: the first two principal components of a column. Dots are places
// in scans: pointing at one asks for its voxel.

import { sizeCanvas } from "./canvases.js";
import { make } from "./elements.js";
import { middleOf } from "./features_matches.js";

const DOTS = 900; // of a patient
const STEP = 7919; // a prime: cells are taken as if at random, the same ones each time
const EDGE = 12; // CSS pixels around the dots
const REST = "#8884"; // cells without a label lie below the others
const NEAR = 14; // a dot is pointed at from so many CSS pixels

// Returns the cells that are drawn, of all patients: {patient, cell, voxel}.
export function dotsOf(patients, stride) {
  return patients.flatMap(({ grid, shape }, patient) => {
    const count = grid[0] * grid[1] * grid[2];
    return Array.from({ length: Math.min(DOTS, count) }, (_, n) => {
      const cell = count % STEP ? (n * STEP) % count : n;
      return { patient, cell, voxel: middleOf(cell, grid, stride, shape).map(Math.floor) };
    });
  });
}

// Returns the range of a component over all dots.
function rangeOf({ cells, components }, dots, component) {
  if (component >= components) return [0, 1];
  const values = dots.map(({ patient, cell }) => cells[patient][cell * components + component]);
  return [Math.min(...values), Math.max(Math.min(...values) + 1, Math.max(...values))];
}

// Returns a function from a cell to its place in the plot, shares from the lower left.
export function placesIn(column, dots) {
  const ranges = [0, 1].map((component) => rangeOf(column, dots, component));
  return ({ patient, cell }) =>
    ranges.map(([low, high], component) =>
      component < column.components
        ? (column.cells[patient][cell * column.components + component] - low) / (high - low)
        : 0.5,
    );
}

// Colours by what a dot is: its place in the scan, its patient, its label.
const PAINTS = {
  place: ({ place }, { patient, cell }) => {
    const at = cell * place.components;
    const bytes = place.cells[patient].subarray(at, at + 3);
    return `rgb(${bytes.join(" ")})`;
  },
  patient: ({ colours }, { patient }) => colours[patient],
  label: ({ classes, patients }, { patient, voxel: [x, y, z] }) => {
    const { labels, shape } = patients[patient];
    const label = labels?.[(x * shape[1] + y) * shape[2] + z];
    return label ? classes[label - 1].colour : REST;
  },
};

export function makePlots(view, root, ask, choose) {
  const section = make(root, "div", { className: "ssl3d-plots" });
  const bar = make(section, "div", { className: "ssl3d-controls" });
  make(bar, "span", { textContent: "Dots are places in scans: point at one. Coloured by" });
  const names = Object.keys(PAINTS).filter((name) => name !== "label" || view.classes.length);
  const paint = make(bar, "select", {}, { "aria-label": "dots are coloured by" });
  for (const name of names) make(paint, "option", { textContent: name, value: name });
  paint.value = names.at(-1);
  const row = make(section, "div", { className: "ssl3d-plots-row" });
  const dots = dotsOf(view.patients, view.stride);
  const plots = view.columns.map((column) => makePlot(row, column, dots));
  make(section, "p", {
    className: "ssl3d-note",
    textContent:
      "Two components of many: dots that lie together here may lie far apart in the others. Rings are " +
      "found by all of them.",
  });
  const redraw = () => {
    for (const plot of plots) drawDots(plot, dots, (dot) => PAINTS[paint.value](view.paint, dot));
    drawPlots(plots, view);
  };
  paint.addEventListener("change", redraw);
  for (const plot of plots) listenToPlot(plot, dots, ask, choose);
  return { plots, redraw, show: () => drawPlots(plots, view) };
}

function makePlot(row, column, dots) {
  const figure = make(row, "figure");
  const canvas = make(figure, "canvas", {}, { role: "img", "aria-label": `dots, ${column.name}` });
  make(figure, "figcaption", { textContent: `${column.name}, components 1 and 2` });
  const layer = document.createElement("canvas");
  return { canvas, layer, context: canvas.getContext("2d"), toShare: placesIn(column, dots) };
}

export function sizePlots({ plots, redraw }, edge) {
  for (const plot of plots) {
    sizeCanvas(plot, edge, edge);
    const { width } = plot.canvas;
    [plot.layer.width, plot.layer.height] = [width, width];
    Object.assign(plot, { edge, dense: width / edge });
  }
  redraw();
}

function placeIn({ edge, toShare }, dot) {
  const [x, y] = toShare(dot);
  const room = edge - 2 * EDGE;
  return [EDGE + x * room, edge - EDGE - y * room];
}

// Dots change with the window and with their colours alone, so they have a layer of their own.
function drawDots(plot, dots, colour) {
  if (!plot.edge) return;
  const context = plot.layer.getContext("2d");
  context.setTransform(plot.dense, 0, 0, plot.dense, 0, 0);
  context.clearRect(0, 0, plot.edge, plot.edge);
  context.globalAlpha = 0.75;
  plot.places = dots.map((dot) => placeIn(plot, dot));
  const coloured = dots.map((dot, index) => [colour(dot), ...plot.places[index]]);
  coloured.sort(([a], [b]) => (b === REST) - (a === REST));
  for (const [shade, x, y] of coloured) {
    context.fillStyle = shade;
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
}

// The voxel that is asked for is ringed in every plot.
function drawPlots(plots, { asked }) {
  for (const plot of plots) {
    const { context, layer, edge } = plot;
    if (!edge) continue;
    context.clearRect(0, 0, edge, edge);
    context.drawImage(layer, 0, 0, edge, edge);
    const [x, y] = placeIn(plot, asked);
    for (const [width, colour] of [
      [4, "rgba(0, 0, 0, 0.7)"],
      [2, "#fff"],
    ]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(x, y, 7, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

function listenToPlot(plot, dots, ask, choose) {
  const pointedAt = ({ offsetX, offsetY }) => {
    let [nearest, least] = [null, NEAR];
    plot.places?.forEach(([x, y], index) => {
      const away = Math.hypot(x - offsetX, y - offsetY);
      if (away < least) [nearest, least] = [dots[index], away];
    });
    return nearest;
  };
  plot.canvas.addEventListener("pointermove", (event) => ask(pointedAt(event)));
  plot.canvas.addEventListener("pointerleave", () => ask(null));
  plot.canvas.addEventListener("click", (event) => {
    const dot = pointedAt(event);
    if (dot) choose(dot);
  });
}

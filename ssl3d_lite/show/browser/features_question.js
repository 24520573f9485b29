// What the kernel sent to the view of features, what is asked of it, and what each column answers.
// Subjects are the patients, and after them the first one again, seen through a moved crop. Nothing
// here draws.

import { unsigned } from "./bytes.js";
import {
  cellOf,
  distance,
  distanceToVoxels,
  gridOf,
  heatRange,
  labelAt,
  measure,
  middleOf,
  voxelsByLabel,
} from "./features_matches.js";
import { PLANES } from "./slices_geometry.js";

const HEATED = 0.04; // share of a picture's cells that are coloured
export const PLAIN = "#ffffff"; // where nothing tells what is right

// ---- what the kernel sent ----------------------------------------------------------------------

function readPatients(model) {
  const [scans, labels] = [unsigned(model.get("_scans")), unsigned(model.get("_labels"))];
  const stride = model.get("_stride");
  let [at, labelled] = [0, 0];
  return model.get("_patients").map((about) => {
    const size = about.shape.reduce((product, edge) => product * edge, 1);
    const voxels = scans.subarray(at, at + size);
    at += size;
    let own = null;
    if (about.labelled) {
      own = labels.subarray(labelled, labelled + size);
      labelled += size;
    }
    const grid = gridOf(about.shape, stride);
    const byLabel = own && voxelsByLabel({ labels: own, shape: about.shape });
    const known = { voxels, air: voxels.includes(0), labels: own, byLabel };
    return { ...about, ...known, corner: [0, 0, 0], size: about.shape, grid };
  });
}

function readColumns(model, boxes) {
  const bytes = unsigned(model.get("_cells"));
  let at = 0;
  return model.get("_columns").map((column) => ({
    ...column,
    cells: boxes.map(({ grid }) => {
      const count = grid[0] * grid[1] * grid[2] * column.components;
      at += count;
      return bytes.subarray(at - count, at);
    }),
  }));
}

export function readFeatures(model) {
  const stride = model.get("_stride");
  const patients = readPatients(model);
  const frames = model
    .get("_frames")
    .map((frame) => ({ ...frame, grid: gridOf(frame.size, stride) }));
  const columns = readColumns(model, [...patients, ...frames]);
  const answers = columns.map(() => []); // of each column, for each subject
  const classes = model.get("_classes");
  const [label, place] = model.get("_near"); // a right ring is so near, as feature_rings.py says
  const near = { label, place };
  return { model, stride, patients, frames, columns, classes, near, answers, hovered: null };
}

// ---- subjects ----------------------------------------------------------------------------------

export const letterOf = (subject) => "ABCDE"[subject];

export const planeOf = ({ model }) => PLANES.find(({ name }) => name === model.get("plane"));

const isCrop = ({ patients }, subject) => subject === patients.length;

export const patientOf = (view, subject) => view.patients[isCrop(view, subject) ? 0 : subject];

// What is known of a subject: all of a patient, or the crop where it is now.
export const boxOf = (view, subject) =>
  isCrop(view, subject) ? view.frames[view.model.get("frame")] : view.patients[subject];

export const cellsOf = (view, column, subject) =>
  column.cells[isCrop(view, subject) ? subject + view.model.get("frame") : subject];

// ---- asking ------------------------------------------------------------------------------------

export function tell({ model }, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
}

// What is asked for: a voxel of a patient, and the cell that holds it.
export function questionOf({ model, hovered, patients, stride }) {
  const [patient, voxel] = hovered
    ? [hovered.patient, hovered.voxel]
    : [model.get("patient"), model.get("voxel")];
  return { patient, voxel, cell: cellOf(voxel, patients[patient].grid, stride) };
}

// What a column finds in a subject: each cell's distance, and the place of the nearest. A click asks
// for what the pointer has asked before, so answers are kept.
export function answerOf(view, row, subject) {
  const { patient, voxel } = view.asked;
  const asked = `${patient} ${voxel} ${isCrop(view, subject) ? view.model.get("frame") : ""}`;
  view.answers[row][subject] ??= {};
  const answer = view.answers[row][subject];
  if (answer.asked !== asked) Object.assign(answer, found(view, row, subject, answer), { asked });
  return answer;
}

function found(view, row, subject, { distances }) {
  const { stride, asked } = view;
  const column = view.columns[row];
  const width = column.components;
  const query = column.cells[asked.patient].subarray(asked.cell * width, (asked.cell + 1) * width);
  const { grid, size, corner } = boxOf(view, subject);
  const count = grid[0] * grid[1] * grid[2];
  const room = distances?.length === count ? distances : new Uint32Array(count);
  const cell = measure(cellsOf(view, column, subject), query, room);
  const place = middleOf(cell, grid, stride, size).map((value, axis) => value + corner[axis]);
  return { distances: room, range: heatRange(room, HEATED, cell), place };
}

// Whether the voxel that is asked lies outside the crop that is asked for it: nothing is right there.
export function isCutOff(view, subject) {
  if (!isCrop(view, subject) || view.asked.patient !== 0) return false;
  const { corner, size } = boxOf(view, subject);
  return view.asked.voxel.some((v, axis) => v < corner[axis] || v >= corner[axis] + size[axis]);
}

// How far a position of the crop lies from the first, as text.
export function howFarMoved(view, frame) {
  const { frames, patients } = view;
  const far = distance(frames[0].corner, frames[frame].corner, patients[0].spacing);
  const arrow = frames[frame].corner[0] < frames[0].corner[0] ? "↙" : "↗"; // in every plane
  return far ? `moved ${arrow} ${lengthOf(view, far)}` : "not moved";
}

// Whether it is known where the right place in a subject is: in the scan that is asked.
export const isKnown = (view, subject) =>
  patientOf(view, subject) === view.patients[view.asked.patient];

// Where a subject is looked at: the voxel that is asked, or a column's best match.
export const placeOfInterest = (view, row, subject) =>
  isKnown(view, subject) ? view.asked.voxel : answerOf(view, row, subject).place;

// ---- how good an answer is ---------------------------------------------------------------------

// Says how good a match is, as far as it is known: of a crop of the same scan the right place is
// known, of another patient only where the label is.
export function judged(view, subject, place) {
  const { asked, classes } = view;
  if (isCrop(view, subject) && asked.patient === 0) return judgedInCrop(view, place);
  const patient = patientOf(view, subject);
  const label = labelAt(view.patients[asked.patient], asked.voxel);
  if (label === null || patient.labels === null) return { words: "", colour: PLAIN };
  if (label === 0) return { words: "no label there", colour: PLAIN };
  const { name } = classes[label - 1];
  const off = distanceToVoxels(place, patient.byLabel.get(label) ?? [], patient.spacing);
  if (off === Infinity) return { words: `it has no ${name}`, colour: PLAIN };
  const right = off < view.near.label;
  return verdict(view, right, name, `${lengthOf(view, off)} from ${name}`, lengthOf(view, off));
}

function judgedInCrop(view, place) {
  const { asked, near, patients } = view;
  const off = distance(place, asked.voxel, patients[0].spacing);
  return verdict(view, off <= near.place, "the same place", `${lengthOf(view, off)} off`);
}

// A tenth matters beside how near is near enough, and no more where a match is far off.
export function lengthOf({ model }, length) {
  const unit = model.get("_unit");
  return `${length < 10 ? Number(length.toFixed(1)) : length.toFixed(0)}${unit ? ` ${unit}` : ""}`;
}

// `brief` is what fits below a thumbnail.
function verdict({ model }, right, yes, no, brief = no) {
  const colour = model.get("_marks")[right ? 0 : 1];
  return { words: right ? `✓ ${yes}` : `✗ ${no}`, brief: right ? "✓" : `✗ ${brief}`, colour };
}

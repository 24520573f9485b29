// What the marks on the board mean, in a line or two above it: they say how near a ring has to be.

import { make } from "./elements.js";
import { labelAt } from "./features_matches.js";
import { lengthOf, letterOf } from "./features_question.js";

export function makeLegend({ model, classes, columns }, root) {
  const element = make(root, "div", { className: "ssl3d-legend" });
  const [right, wrong] = model.get("_marks");
  const told = make(item(element, "pointer"), "output", { className: "ssl3d-told" });
  const glow = item(element, "glow", "the brighter, the more like it");
  const rings = [right, wrong, "#fff"].map((colour) => item(element, "ring", "", colour));
  item(element, "crop", "crop: this part of A is all that a row sees");
  for (const { name, colour } of classes) item(element, "outline", `outline of ${name}`, colour);
  item(element, "colours", "features in colours: alike where a row sees no difference");
  const known = columns.some((column) => column.right.some((share) => share !== null));
  if (known)
    item(element, "bar", "how many rings are right if you point at every place of A in turn");
  return { told, glow, rings };
}

function item(legend, mark, text = "", colour = "") {
  const element = make(legend, "span", { className: "ssl3d-item" });
  const symbol = make(element, "i", { className: `ssl3d-mark-${mark}` });
  symbol.style.setProperty("--mark", colour);
  make(element, "span", { textContent: text });
  return element;
}

export function drawLegend(view) {
  const { legend, asked, patients, classes, coloured } = view;
  const label = labelAt(patients[asked.patient], asked.voxel);
  const name = label ? classes[label - 1].name : "";
  legend.told.textContent = coloured
    ? "One colour means one kind of feature."
    : whereTold(view, name);
  const near = nearTold(view, name);
  const texts = [
    near && `✓ best match, right: ${near}`,
    near && "✗ best match, wrong: further off",
    name ? "" : "best match: no label to judge it by",
  ];
  legend.rings.forEach((ring, number) => {
    ring.hidden = coloured || !texts[number];
    ring.lastChild.textContent = texts[number];
  });
  legend.glow.hidden = Boolean(coloured);
}

function whereTold({ asked, patients }, name) {
  const { patient, voxel } = asked;
  const where = `voxel (${voxel.join(", ")}) of ${patients[patient].name}`;
  return `you point at ${name || "no label"} in ${letterOf(patient)}: ${where}`;
}

// How near a ring has to be: in other patients as far as a label tells, in the crop of A always.
function nearTold(view, name) {
  const { asked, near } = view;
  const inLabel = name && `in ${name}, or less than ${lengthOf(view, near.label)} from it`;
  const inCrop = asked.patient === 0 && `in the crop up to ${lengthOf(view, near.place)} off`;
  return [inLabel, inCrop].filter(Boolean).join("; ");
}

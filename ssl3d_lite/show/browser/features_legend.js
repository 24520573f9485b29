// What the marks on the board mean, and how near a ring has to be, in a few lines above it. Nothing
// but the first line changes, and no line's height: else the board would slip from the pointer.

import { make } from "./elements.js";
import { labelAt } from "./features_matches.js";
import { lengthOf, letterOf, PLAIN } from "./features_question.js";

export function makeLegend(view, root) {
  const { model, classes, columns, near } = view;
  const element = make(root, "div", { className: "ssl3d-legend" });
  const [right, wrong] = model.get("_marks");
  const told = make(item(element, "pointer"), "output", { className: "ssl3d-told" });
  item(element, "glow", "the brighter, the more like it");
  const inLabel = `in the same label, or less than ${lengthOf(view, near.label)} from it`;
  const inCrop = `in the crop up to ${lengthOf(view, near.place)} off`;
  const known = columns.some((column) => column.right.some((share) => share !== null));
  item(
    element,
    "ring",
    `✓ best match, right: ${classes.length ? `${inLabel}; ` : ""}${inCrop}`,
    right,
  );
  item(element, "ring", "✗ best match, wrong: further off", wrong);
  item(element, "ring", "best match, and no label tells", PLAIN);
  item(element, "crop", "crop: this part of A is all that a row sees");
  for (const { name, colour } of classes) item(element, "outline", `outline of ${name}`, colour);
  item(element, "colours", "colours: alike where a row sees no difference");
  if (known)
    item(
      element,
      "bar",
      `rings that are right, of all ${classes.length ? "labelled " : ""}places of A`,
    );
  return { told };
}

function item(legend, mark, text = "", colour = "") {
  const element = make(legend, "span", { className: "ssl3d-item" });
  const symbol = make(element, "i", { className: `ssl3d-mark-${mark}` });
  symbol.style.setProperty("--mark", colour);
  if (text) make(element, "span", { textContent: text });
  return element;
}

export function drawLegend({ legend, asked, patients, classes, coloured }) {
  const { patient, voxel } = asked;
  const label = labelAt(patients[patient], voxel);
  const what = label ? `${classes[label - 1].name} in ` : "";
  const where = `voxel (${voxel.join(", ")}) of ${patients[patient].name}`;
  legend.told.textContent = coloured
    ? "one colour means one kind of feature, in all patients of a row"
    : `you point at ${what}${letterOf(patient)}: ${where}`;
}

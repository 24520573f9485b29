// What the marks on the board mean, in a line above it; how near a ring has to be, and all else, is
// folded below that line. Only what is pointed at changes, and its height does not: else the board
// would slip from the pointer.

import { make } from "./elements.js";
import { labelAt } from "./features_matches.js";
import { lengthOf, letterOf, PLAIN } from "./features_question.js";

export function makeLegend(view, root) {
  const { model, classes, columns, near } = view;
  const element = make(root, "div", { className: "ssl3d-legend" });
  const [right, wrong] = model.get("_marks");
  const told = make(item(element, "pointer"), "output", { className: "ssl3d-told" });
  item(element, "glow", "the brighter, the more like it");
  const inLabel = classes.length ? "in the same part, or " : "";
  const inCrop = `within ${lengthOf(view, near.place)} in the crop`;
  item(element, "ring", `✓ best match, right: ${inLabel}${inCrop}`, right);
  item(element, "ring", "✗ wrong", wrong);
  for (const { name, colour } of classes) item(element, "outline", name, colour);
  const more = make(element, "details");
  make(more, "summary", { textContent: "what else is shown" });
  if (classes.length) {
    const apart = lengthOf(view, near.label);
    item(more, "ring", `right too: less than ${apart} from the same part`, right);
  }
  item(more, "ring", "best match, and no label tells", PLAIN);
  item(more, "dashed", "a dashed ring lies in another slice", right);
  item(more, "dotted", "where the crop lay before it was moved");
  item(
    more,
    "slice",
    "each other patient: the slice of the best match; a click there asks from it",
  );
  const counted = `rings that are right, of all ${classes.length ? "labelled " : ""}places of A`;
  if (columns.some(({ right: shares }) => shares.some((share) => share !== null))) {
    item(more, "bar", counted);
  }
  item(
    more,
    "crop",
    "crop: all of A that a row sees. Place alone cannot know that it was moved; near its border an " +
      "encoder sees less around a place, and is right less often",
  );
  item(more, "colours", "colours: alike where a row sees no difference");
  item(more, "slice", "L R A P S I: left, right, front, back, top, bottom");
  return { element, told };
}

function item(legend, mark, text = "", colour = "") {
  const element = make(legend, "span", { className: "ssl3d-item" });
  const symbol = make(element, "i", { className: `ssl3d-mark-${mark}` });
  symbol.style.setProperty("--mark", colour);
  if (text) make(element, "span", { textContent: text });
  return element;
}

export function drawLegend({ legend, asked, patients, classes, coloured }) {
  legend.element.classList.toggle("ssl3d-coloured", Boolean(coloured)); // no marks are shown then
  const { patient, voxel } = asked;
  const label = labelAt(patients[patient], voxel);
  const what = label ? `${classes[label - 1].name} in ` : "";
  const unknown = label === 0 ? ", outside the outlines: no label tells what is right" : "";
  const where = `voxel (${voxel.join(", ")}) of ${patients[patient].name}${unknown}`;
  legend.told.textContent = coloured
    ? "one colour means one kind of feature, in all patients of a row"
    : `you point at ${what}${letterOf(patient)}: ${where}`;
}

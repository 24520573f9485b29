// The patients that are most like the one that is asked: by each encoder, and by intensities alone.

import { unsigned } from "./bytes.js";
import { make } from "./elements.js";
import { shortened } from "./features_board.js";

const HEIGHT = 76; // of a thumbnail, in CSS pixels

function readThumbs(model) {
  const bytes = unsigned(model.get("_thumbs"));
  const others = model.get("_others");
  const short = shortened(others.map(({ name }) => name));
  let at = 0;
  return others.map(({ name, size: [width, height], extent }, number) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let n = 0; n < width * height; n++) image.data.fill(bytes[at + n], 4 * n, 4 * n + 3);
    for (let n = 0; n < width * height; n++) image.data[4 * n + 3] = 255;
    context.putImageData(image, 0, 0);
    at += width * height;
    return { name, short: short[number], canvas, width: (HEIGHT * extent[0]) / extent[1] };
  });
}

export function makeNearestPatients(view, root) {
  const rows = view.model.get("_neighbours");
  const section = make(root, "section", { className: "ssl3d-nearest", hidden: !rows.length });
  make(section, "h4", { textContent: "The patients most like the one you ask, as a whole" });
  const strips = rows.map(({ name, nearest }) => {
    const strip = make(section, "div", { className: "ssl3d-strip" });
    make(strip, "div", { className: "ssl3d-name", textContent: name });
    return { nearest, row: make(strip, "div", { className: "ssl3d-thumbs" }) };
  });
  make(section, "p", {
    className: "ssl3d-note",
    textContent:
      "Blue border: the last row finds this patient too. It compares grey values, whatever they show, " +
      "so no anatomy is needed to find that patient.",
  });
  return { strips, thumbs: readThumbs(view.model), shown: -1 };
}

// The last row is the control: whom it finds too is framed in the others, and nobody in itself.
export function drawNearestPatients({ nearest, asked: { patient } }) {
  if (nearest.shown === patient) return;
  nearest.shown = patient;
  const known = nearest.strips.at(-1)?.nearest[patient];
  for (const strip of nearest.strips) {
    strip.row.replaceChildren();
    for (const other of [patient, ...strip.nearest[patient]]) {
      const { name, short, canvas, width } = nearest.thumbs[other];
      const framed = known !== strip.nearest[patient] && known.includes(other);
      const figure = make(strip.row, "figure", { className: framed ? "ssl3d-framed" : "" });
      const picture = make(figure, "canvas", {}, { role: "img", "aria-label": name });
      [picture.width, picture.height] = [canvas.width, canvas.height];
      picture.style.width = `${width}px`;
      picture.style.height = `${HEIGHT}px`;
      picture.getContext("2d").drawImage(canvas, 0, 0);
      make(figure, "figcaption", { textContent: other === patient ? "asked" : short, title: name });
    }
  }
}

// What the theme does not do: wide parts by keyboard, numbers on one line, and live views in place of
// their pictures.

// ---- what can be moved sideways can be moved by keyboard too ------------------------------------

const WIDE = "pre, .table-wrapper, div.formula, .cell_output > .output";

function reachable() {
  for (const each of document.querySelectorAll(WIDE)) {
    if (each.scrollWidth > each.clientWidth) {
      each.tabIndex = 0;
    } else {
      each.removeAttribute("tabindex");
    }
  }
}

addEventListener("load", reachable);
addEventListener("resize", reachable);
for (const fold of document.querySelectorAll("details")) {
  fold.addEventListener("toggle", reachable);
}

// ---- numbers stay on one line, and wide tables get smaller letters -------------------------------

const NUMBER = /^[+\-−]?\d.{0,23}$/; // as "+0.033 (+0.025 to +0.040)": no sentence that begins so
for (const cell of document.querySelectorAll("td")) {
  cell.classList.toggle("number", NUMBER.test(cell.textContent.trim()));
}
for (const each of document.querySelectorAll(".table-wrapper")) {
  each.classList.toggle("wide", each.scrollWidth > each.clientWidth);
}

// ---- a picture of a view makes room for the view itself -----------------------------------------

// Without this script the link opens the view in a window of its own.
function makeMovable(link) {
  const picture = link.closest(".output")?.previousElementSibling?.querySelector("img");
  const open = (event) => {
    event.preventDefault();
    const frame = document.createElement("iframe");
    Object.assign(frame, { className: "moving", src: link.href, title: link.title });
    const still = document.createElement("button");
    Object.assign(still, { type: "button", className: "live", textContent: "Back to the picture" });
    still.addEventListener("click", () => {
      frame.remove();
      still.remove();
      shown(true);
      link.focus();
    });
    link.closest("p").append(frame, still);
    shown(false);
    frame.focus();
  };
  const shown = (is) => {
    link.hidden = !is;
    if (picture) picture.hidden = !is;
  };
  link.addEventListener("click", open);
  picture?.classList.add("movable");
  picture?.addEventListener("click", open);
}

for (const link of document.querySelectorAll("a.live")) makeMovable(link);

const BORDERS = 2; // CSS pixels of the frame's own
addEventListener("message", ({ source, data }) => {
  for (const frame of document.querySelectorAll("iframe.moving")) {
    if (frame.contentWindow !== source || !(data.height > 0)) continue;
    frame.style.height = `${data.height + BORDERS}px`;
  }
});

// What can be moved sideways can be moved by keyboard too.

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

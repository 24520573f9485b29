// Starts a deck, and gives what is too tall for its slide smaller letters, or else a bar to move it.

const { Reveal } = globalThis; // the script before this one

const SMALLER = [1, 0.92, 0.85, 0.78, 0.72, 0.67, 0.62]; // of the letters; below the last nobody could read them

function fit(slide) {
  const box = slide?.querySelector(".fit");
  if (!box) return;
  for (const share of SMALLER) {
    box.style.fontSize = `${share}em`;
    if (box.scrollHeight <= box.clientHeight + 1) break;
  }
  if (box.scrollHeight > box.clientHeight + 1)
    box.tabIndex = 0; // keys move it
  else box.removeAttribute("tabindex");
}

Reveal.on("ready", ({ currentSlide }) => fit(currentSlide));
Reveal.on("slidechanged", ({ currentSlide }) => fit(currentSlide));
for (const fold of document.querySelectorAll("details")) {
  fold.addEventListener("toggle", () => fit(fold.closest("section")));
}
Reveal.initialize({
  width: 1280,
  height: 720,
  margin: 0.02,
  center: false,
  hash: true,
  slideNumber: "c/t",
  transition: "none",
  navigationMode: "linear",
});

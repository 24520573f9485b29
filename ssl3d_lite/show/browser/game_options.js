// Options of a question as radio buttons: mouse, finger, and arrow keys choose among them.

import { make } from "./elements.js";

let groups = 0; // a name of its own for each group on the page

// Adds radio buttons to their parent. `dress` puts something into each label. Gives the choice, and
// `mark`, which shows whose answer was which and lets nobody choose any more.
export function makeOptions(parent, legend, labels, chosen, dress = () => {}, className = "") {
  const name = `ssl3d-game-${groups++}`;
  const set = make(parent, "fieldset", { className: `options ${className}` });
  make(set, "legend", { textContent: legend });
  const options = { set, choice: null, buttons: [], choose: null };
  options.choose = (option) => {
    options.choice = option;
    options.buttons[option].input.checked = true;
    chosen(option);
  };
  for (const [option, text] of labels.entries()) {
    const label = make(set, "label", { className: "option" });
    const input = make(label, "input", { type: "radio", name, value: option });
    input.setAttribute("aria-label", text);
    input.addEventListener("change", () => options.choose(option));
    dress(label, option);
    options.buttons.push({ label, input });
  }
  options.mark = (right, person, network) => {
    for (const [option, { label, input }] of options.buttons.entries()) {
      input.disabled = true;
      const whose = [
        ...(option === right ? ["right answer"] : []),
        ...(option === person ? ["you"] : []),
        ...(option === network ? ["network"] : []),
      ];
      if (!whose.length) continue;
      label.classList.add(option === right ? "right" : "wrong");
      const [mark, told] = [option === right ? "✓" : "✗", whose.slice(-2).join(", ")];
      make(label, "span", { className: "whose", textContent: `${mark} ${told}` });
    }
  };
  return options;
}

// A quiz whose options can be chosen. Without this file its answers are folded: see book/quiz.py.

const quizzes = [...document.querySelectorAll(".quiz")];
const firstTries = new Map(); // question → whether its first answer was right

function element(tag, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
}

/** Put a radio button, or a box to tick, before each option. */
function choices(quiz, number, right) {
  const type = right.length > 1 ? "checkbox" : "radio";
  return [...quiz.querySelectorAll("ol > li")].map((item, place) => {
    const input = element("input", { type, name: `quiz-${number}` });
    const words = element("span", {}, ...item.childNodes);
    const why = element("div", { className: "why" });
    item.append(element("label", {}, input, words), why);
    return { item, input, why, letter: "ABCDEFGH"[place] };
  });
}

/** Say of each option that is chosen why it is right or wrong; true if the answer is right. */
function explain(options, reasons, right) {
  for (const { item, input, why, letter } of options) {
    const verdict = right.includes(letter) ? "right" : "wrong";
    item.className = input.checked ? verdict : "";
    why.replaceChildren(...(input.checked ? reasons.get(letter).cloneNode(true).childNodes : []));
  }
  return options.every(({ input, letter }) => input.checked === right.includes(letter));
}

function verdictOf(isRight, chosen, right) {
  if (isRight) return "Right.";
  const wrong = chosen.filter((letter) => !right.includes(letter));
  if (wrong.length) return `Not yet: ${wrong.join(" and ")} is wrong. Read why, and try again.`;
  return "Not yet: what you chose is right, but it is not all. Try again.";
}

function enliven(quiz, index) {
  const { right } = quiz.dataset;
  const reasons = new Map(
    [...quiz.querySelectorAll("details li")].map((item, place) => ["ABCDEFGH"[place], item]),
  );
  const options = choices(quiz, index, right);
  const list = quiz.querySelector("ol");
  const group = element("fieldset");
  list.replaceWith(group);
  const question = element("div", { id: `quiz-${index}-question` });
  while (quiz.firstChild !== group) question.append(quiz.firstChild);
  quiz.prepend(question);
  group.setAttribute("aria-labelledby", question.id);
  const said = element("p", { className: "verdict" });
  said.setAttribute("role", "status");
  const button = element("button", { type: "button", textContent: "Check" });
  group.append(list, button, said);
  button.addEventListener("click", () => {
    const chosen = options.filter(({ input }) => input.checked).map(({ letter }) => letter);
    if (!chosen.length) {
      said.textContent = "Choose an option first.";
      return;
    }
    const isRight = explain(options, reasons, right);
    said.textContent = verdictOf(isRight, chosen, right);
    if (!firstTries.has(quiz)) firstTries.set(quiz, isRight);
    tell();
  });
}

const score = element("p", { className: "score" });

function tell() {
  const right = [...firstTries.values()].filter(Boolean).length;
  score.textContent = `Answered: ${firstTries.size} of ${quizzes.length}. Right at the first try: ${right}.`;
}

quizzes.forEach(enliven);
if (quizzes.length) {
  quizzes.at(-1).after(score);
  tell();
}

// Play against the network: a person and a network answer the same questions. The network runs here,
// in the browser: its answers are computed while the page is looked at, and so is what it looked at.

import { make } from "./elements.js";
import { askBlock, askNext } from "./game_gaps.js";
import { askOrder } from "./game_jigsaw.js";
import { readNetwork } from "./game_network.js";
import { hottest, occlusion } from "./game_occlusion.js";
import { makeViewer } from "./game_planes.js";
import { measuredLine, resultLine, rounded, sumUp } from "./game_score.js";
import { best, makeSolver, viewsOf } from "./game_solvers.js";
import { askPlace, askTurn } from "./game_turns.js";
import { verdict } from "./verdicts.js";

const ASK = { rotation: askTurn, rpl: askPlace, masked: askBlock, cpc: askNext, jigsaw: askOrder };
const HOW = {
  rotation: "Choose a turn. The head is turned back by it: stand it upright.",
  rpl: "Two patches of one head, made equally bright. Move through them, then choose a place.",
  masked: "Choose one, and it is put into the gap. Move through the head to see whether it fits.",
  cpc: "Patches were read from the back of the head forwards. Choose the one that comes further on.",
  jigsaw:
    "Touch a piece, then its place; or drag it. Put the few pieces that you are sure of. The network " +
    "chooses among a fixed list of orders, so you answer with the order of that list nearest to yours.",
};

function render({ model, el }) {
  const root = make(
    el,
    "div",
    { className: "ssl3d-game" },
    { "data-lm-suppress-shortcuts": "true" },
  );
  root.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab acts
  const game = { root, rounds: model.get("_rounds"), id: model.get("_id"), alive: true };
  game.solvers = game.rounds.map(() => null); // each is made when it is needed
  game.list = game.rounds.flatMap((round, number) =>
    round.questions.map((question) => ({ round, number, question })),
  );
  game.about = model.get("_about");
  start(game);
  root.dataset.milliseconds = Math.round(performance.now()); // since the page began to open
  solveAll(game);
  return () => {
    game.alive = false;
  };
}

// ---- the network's answers ---------------------------------------------------------------------

function solverOf(game, number) {
  const round = game.rounds[number];
  game.solvers[number] ??= makeSolver(round, readNetwork(round.network));
  return game.solvers[number];
}

function scoresOf(game, { number, question }) {
  if (!question.solved) {
    const solver = solverOf(game, number);
    const read = viewsOf(question).map((view) => solver.read(question, view));
    question.solved = solver.score(question, read);
  }
  return question.solved;
}

// All questions are answered in the background, and set beside what torch has said to them.
async function solveAll(game) {
  let difference = 0;
  for (const [done, each] of game.list.entries()) {
    await new Promise((next) => setTimeout(next));
    if (!game.alive) return;
    const scores = scoresOf(game, each);
    for (const [n, score] of scores.entries()) {
      difference = Math.max(difference, Math.abs(score - each.question.scores[n]));
    }
    game.root.dataset.solved = done + 1;
  }
  game.root.dataset.difference = difference;
  game.check.textContent =
    `The networks run in this page. Their ${game.list.length} answers differ from PyTorch's by ` +
    `${difference.toExponential(0)} at most.`;
}

// ---- the frame: score, question, what is below -------------------------------------------------

function start(game) {
  const { root } = game;
  game.entries = [];
  game.at = 0;
  root.replaceChildren();
  game.board = makeBoard(root);
  game.card = make(root, "section", { className: "card" }, { "aria-label": "question" });
  game.foot = make(root, "footer");
  make(game.foot, "p", { textContent: game.about });
  const before = game.check?.textContent ?? "The networks run in this page, and are at work.";
  game.check = make(game.foot, "p", { textContent: before });
  drawScore(game);
  drawQuestion(game);
}

const PLAYERS = [
  ["you", "you"],
  ["network", "network"],
  ["chance", "chance"],
];

function makeBoard(root) {
  const board = make(root, "header", {}, { role: "status", "aria-label": "score" });
  const progress = make(board, "p", { className: "progress" });
  const bars = PLAYERS.map(([name, text]) => {
    const row = make(board, "div", { className: `player ${name}` });
    make(row, "span", { textContent: text });
    const rail = make(row, "div", { className: "rail" }, { "aria-hidden": "true" });
    return { name, bar: make(rail, "div"), count: make(row, "b") };
  });
  return { progress, bars };
}

function drawScore({ board, entries, list, at }) {
  const score = sumUp(entries);
  board.progress.textContent = `Question ${Math.min(at + 1, list.length)} of ${list.length}`;
  for (const { name, bar, count } of board.bars) {
    bar.style.width = `${score.asked ? (100 * score[name]) / score.asked : 0}%`;
    count.textContent = score.asked ? `${rounded(score[name])} of ${score.asked}` : "0";
  }
}

// ---- a question --------------------------------------------------------------------------------

function drawQuestion(game) {
  const { card, list, at } = game;
  const { round, number, question } = list[at];
  const isFirst = at === 0 || list[at - 1].number !== number;
  card.replaceChildren();
  make(card, "p", {
    className: "round",
    textContent: `Round ${number + 1} of ${game.rounds.length}`,
  });
  const title = make(card, "h2", { textContent: round.title, tabIndex: -1 });
  if (isFirst && round.before) make(card, "p", { textContent: round.before });
  make(card, "p", { className: "asked", textContent: round.question });
  make(card, "p", { className: "help", textContent: HOW[round.kind] });
  const form = make(card, "form");
  const buttons = { answer: null };
  const asked = ASK[round.kind](form, list[at], () => {
    buttons.answer.disabled = asked.answer() === null;
  });
  const row = make(form, "div", { className: "actions" });
  buttons.answer = make(row, "button", {
    textContent: "That is my answer",
    className: "main",
    disabled: true,
  });
  const unsure = make(row, "button", { type: "button", textContent: "I don't know: guess for me" });
  const done = (option, wasGuess) => {
    row.remove();
    reveal(game, asked, option, wasGuess);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (asked.answer() !== null) done(asked.answer(), false);
  });
  unsure.addEventListener("click", () => done(Math.floor(Math.random() * question.options), true));
  if (at) title.focus();
}

// ---- the right answer, and who had it ----------------------------------------------------------

function reveal(game, asked, person, wasGuess) {
  const { card, list, at } = game;
  const { round, number, question } = list[at];
  const network = best(scoresOf(game, list[at]));
  game.entries.push({
    round: number,
    person: person === question.correct,
    network: network === question.correct,
    chance: 1 / question.options,
  });
  asked.reveal(person, network);
  drawScore(game);
  const part = make(card, "section", { className: "verdict" });
  const heading = make(part, "h3", { textContent: "The answer", tabIndex: -1 });
  const rows = [
    ["Right answer", asked.told(question.correct), ""],
    [wasGuess ? "You (a guess)" : "You", asked.told(person), verdict(person === question.correct)],
    ["Network", asked.told(network), verdict(network === question.correct)],
    ["Chance", `right 1 time in ${question.options}`, ""],
  ];
  const table = make(part, "table");
  for (const [who, what, mark] of rows) {
    const row = make(table, "tr");
    make(row, "th", { textContent: who, scope: "row" });
    make(row, "td", { textContent: what });
    make(row, "td", { textContent: mark, className: "truth" });
  }
  make(part, "p", {
    className: "help",
    textContent: `${measuredLine(round.measured)} ${round.trained}`,
  });
  const isLast = list[at + 1]?.number !== number;
  if (isLast && round.after) make(part, "p", { className: "after", textContent: round.after });
  const next = make(part, "button", { type: "button", className: "main" });
  next.textContent = at + 1 < list.length ? "Next question" : "See the result";
  next.addEventListener("click", () => {
    game.at += 1;
    if (game.at < list.length) drawQuestion(game);
    else drawEnd(game);
    drawScore(game);
  });
  drawLooking(game, part, asked);
  heading.focus({ preventScroll: true });
  part.scrollIntoView({ block: "nearest" });
}

const SCOPE =
  "Part after part of what the network was given was made grey, and it was asked again. Orange is " +
  "where the lead of its answer over the next best one fell most. This says what the answer depends " +
  "on. It does not say how the network comes to it, nor that it knows any anatomy.";

function drawLooking(game, parent, asked) {
  const { round, number, question } = game.list[game.at];
  const details = make(parent, "details", { className: "looking" });
  make(details, "summary", { textContent: "What it looked at" });
  make(details, "p", { className: "help", textContent: SCOPE });
  const told = make(details, "p", { className: "now" }, { "aria-live": "polite" });
  const shown = make(details, "div");
  const draw = (found) => {
    shown.replaceChildren();
    for (const [name, volume] of asked.heats(found)) {
      make(shown, "h4", { textContent: name });
      makeViewer(shown, `what mattered: ${name}`, { ...volume, at: hottest(volume) });
    }
  };
  let begun = false;
  details.addEventListener("toggle", async () => {
    if (begun) return;
    begun = true;
    const isWanted = () => details.isConnected && game.alive;
    const found = await occlusion(round, question, game.solvers[number], isWanted, (share) => {
      told.textContent = `Hiding part after part: ${Math.round(100 * share)} %`;
    });
    if (!found) return;
    told.textContent = `Parts hidden, one at a time: ${found.tried}. Times the answer changed: ${found.flips}.`;
    draw(found);
    details.dataset.done = found.tried;
  });
}

// ---- the end -----------------------------------------------------------------------------------

function drawEnd(game) {
  const { card, entries, rounds } = game;
  card.replaceChildren();
  const title = make(card, "h2", { textContent: "The result", tabIndex: -1 });
  const wide = make(
    card,
    "div",
    { className: "wide", tabIndex: 0 },
    { role: "region", "aria-label": "result" },
  );
  const table = make(wide, "table");
  const head = make(make(table, "thead"), "tr");
  for (const text of ["round", "you", "network", "chance", "questions"]) {
    make(head, "th", { textContent: text, scope: "col" });
  }
  const body = make(table, "tbody");
  const add = (name, { you, network, chance, asked }) => {
    const row = make(body, "tr");
    make(row, "th", { textContent: name, scope: "row" });
    for (const value of [you, network, rounded(chance), asked])
      make(row, "td", { textContent: value });
  };
  for (const [number, round] of rounds.entries()) {
    add(round.title, sumUp(entries.filter((entry) => entry.round === number)));
  }
  add("all", sumUp(entries));
  make(card, "p", { textContent: "For your lecturer, as one line of text:" });
  const line = resultLine(entries, rounds, game.id);
  const label = { "aria-label": "result as text" };
  const text = make(
    card,
    "textarea",
    { value: line, readOnly: true, rows: 4, className: "line" },
    label,
  );
  const row = make(card, "div", { className: "actions" });
  const copy = make(row, "button", { type: "button", textContent: "Copy", className: "main" });
  const copied = make(row, "output");
  copy.addEventListener("click", async () => {
    text.select(); // where a page may not write to the clipboard, the text is marked at least
    try {
      await navigator.clipboard.writeText(line);
      copied.textContent = "copied";
    } catch {
      copied.textContent = document.execCommand("copy") ? "copied" : "press Ctrl-C";
    }
  });
  make(row, "button", { type: "button", textContent: "Play again" }).addEventListener("click", () =>
    start(game),
  );
  title.focus();
}

export default { render };

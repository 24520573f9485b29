import assert from "node:assert/strict";
import { test } from "node:test";
import {
  colourOn,
  edgeColour,
  isNamed,
  markOf,
  nameColour,
  nameOf,
  sideLetter,
} from "../../ssl3d_lite/show/browser/puzzle3d_marks.js";

const PIECE = { colour: "#123456", badge: "7" };
const [TRUTH, GUESS] = [{ marked: false }, { marked: true }];
const RIGHTS = [true, false, null].map((right) => ({ right }));

test("in the guess each piece is right, wrong, or not asked about", () => {
  const scene = { pieces: RIGHTS, panels: [TRUTH, GUESS] };
  assert.deepEqual(
    [0, 1, 2].map((n) => markOf(scene, GUESS, n)),
    [true, false, null],
  );
  assert.deepEqual(
    [0, 1, 2].map((n) => markOf(scene, TRUTH, n)),
    [null, null, null],
  );
});

test("in a puzzle without a guess nothing is marked", () => {
  assert.equal(markOf({ pieces: RIGHTS, panels: [TRUTH] }, TRUTH, 2), undefined);
});

test("edges are green if right, orange if wrong, grey beside a guess, else the piece's own", () => {
  assert.deepEqual(
    [true, false, null, undefined].map((mark) => edgeColour(PIECE, mark)),
    ["#009E73", "#D55E00", "#777777", "#123456"],
  );
});

test("names are as their edges, but darker where these are grey", () => {
  assert.deepEqual(
    [true, false, null, undefined].map((mark) => nameColour(PIECE, mark)),
    ["#009E73", "#D55E00", "#333333", "#123456"],
  );
});

test("text is black on pale colours and white on others", () => {
  assert.equal(colourOn("#E69F00"), "#000");
  assert.equal(colourOn("#F0E442"), "#000");
  assert.equal(colourOn("#009E73"), "#fff");
});

test("a mark stands before the number", () => {
  assert.deepEqual(
    [true, false, null, undefined].map((mark) => nameOf(PIECE, mark)),
    ["✓ 7", "✗ 7", "7", "7"],
  );
});

test("a single piece has a name only if it is marked", () => {
  const scene = { pieces: [PIECE], overlap: false };
  assert.deepEqual(
    [true, false, null, undefined].map((mark) => isNamed(scene, PIECE, mark, 0)),
    [true, true, false, false],
  );
});

test("names of pieces that overlap are hidden until these are apart", () => {
  const scene = { pieces: [PIECE, PIECE], overlap: true, panels: [TRUTH, GUESS] };
  assert.equal(isNamed(scene, PIECE, true, 0.39), false);
  assert.equal(isNamed(scene, PIECE, true, 0.4), true);
  assert.equal(isNamed({ ...scene, overlap: false }, PIECE, undefined, 0), true);
});

test("what is asked about, and the guess beside it, always have their names", () => {
  const scene = { pieces: [PIECE, PIECE], overlap: true, panels: [GUESS] };
  assert.equal(isNamed(scene, { ...PIECE, ghost: true }, undefined, 0), true);
  assert.equal(isNamed(scene, PIECE, false, 0), true);
  assert.equal(isNamed(scene, PIECE, undefined, 0), false);
});

test("letters say where the body's sides came to lie, and nothing of a side that is askew", () => {
  const home = [
    [0, -1, 0, 5],
    [1, 0, 0, 0],
    [0, 0, 1, 0],
  ]; // a quarter turn: the piece's first axis runs forward in the body, its second to the left
  const letters = [0, 1, 2].map((axis) =>
    [true, false].map((far) => sideLetter(home, { axis, far })),
  );
  assert.deepEqual(letters, [
    ["A", "P"],
    ["L", "R"],
    ["S", "I"],
  ]);
  const askew = home.map((row) => row.slice());
  askew[0][2] = 0.5;
  assert.equal(sideLetter(askew, { axis: 2, far: true }), "");
});

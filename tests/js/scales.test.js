import assert from "node:assert/strict";
import { test } from "node:test";
import { lossRange, scoreRange, short, ticksOf } from "../../ssl3d_lite/show/browser/scales.js";

test("ticks are round numbers within the range, about four", () => {
  assert.deepEqual(ticksOf(0, 100), [0, 50, 100]);
  assert.deepEqual(ticksOf(0, 4), [0, 1, 2, 3, 4]);
  assert.deepEqual(ticksOf(-1, 1), [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(ticksOf(0, 0.3).map(short), ["0", "0.1", "0.2", "0.3"]);
  assert.deepEqual(ticksOf(3, 17), [5, 10, 15]);
});

test("there are two to six ticks, whatever the range", () => {
  for (let high = 0.001; high < 1e6; high *= 1.37) {
    const ticks = ticksOf(0, high);
    assert.ok(ticks.length >= 2 && ticks.length <= 6, `${high}: ${ticks}`);
    assert.ok(ticks.at(-1) <= high * (1 + 1e-9));
  }
});

test("losses go from 0 to a little above the highest", () => {
  assert.deepEqual(lossRange([2, 4, 1]), [0, 4.2]);
  assert.deepEqual(lossRange([-2, 4]), [-2, 4.2]);
  assert.deepEqual(lossRange([]), [0, 1]);
  assert.deepEqual(lossRange([0, 0]), [0, 1], "a flat curve");
});

test("scores have room above, but end at 1", () => {
  assert.deepEqual(scoreRange([0.5], 0.25), [0, 0.65]);
  assert.deepEqual(scoreRange([0.9], 0.25), [0, 1]);
  assert.deepEqual(scoreRange([-0.5, 0.2], 0), [-0.5, 0.26]);
  assert.deepEqual(scoreRange([-7], 0), [-1, 0.13]);
  assert.deepEqual(scoreRange([], 0.5), [0, 0.65]);
});

test("numbers are told in three digits", () => {
  assert.deepEqual([0.123456, 1234.5, 2, 0.5].map(short), ["0.123", "1230", "2", "0.5"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestOrder } from "../../ssl3d_lite/show/browser/game_jigsaw.js";
import {
  averaged,
  halved,
  linear,
  readNetwork,
  resized,
} from "../../ssl3d_lite/show/browser/game_network.js";
import { heatAt, hottest, occlusion } from "../../ssl3d_lite/show/browser/game_occlusion.js";
import {
  measuredLine,
  resultLine,
  rounded,
  sumUp,
} from "../../ssl3d_lite/show/browser/game_score.js";
import { best, makeSolver } from "../../ssl3d_lite/show/browser/game_solvers.js";
import { brightened, turnedBack } from "../../ssl3d_lite/show/browser/game_turns.js";

const bytes = (numbers) => {
  const words = Uint16Array.from(numbers);
  return new DataView(words.buffer);
};

test("weights in half precision are read", () => {
  const weights = bytes([0x3c00, 0xc000, 0x3555, 0x0001, 0x0000, 0x7bff]);
  const { tensors } = readNetwork({
    weights,
    tensors: [
      ["a", [2, 2]],
      ["b", [2]],
    ],
  });
  assert.deepEqual([...tensors.get("a").values.slice(0, 2)], [1, -2]);
  assert.equal(tensors.get("a").values[2], 0.333251953125);
  assert.equal(tensors.get("a").values[3], 2 ** -24);
  assert.deepEqual([...tensors.get("b").values], [0, 65504]);
});

test("pooling takes the largest of eight, and leaves the last of an odd edge out", () => {
  const values = Float32Array.from({ length: 3 * 2 * 2 }, (_, n) => n);
  const { space, values: found } = halved({ channels: 1, space: [3, 2, 2], values });
  assert.deepEqual([space, [...found]], [[1, 1, 1], [7]]);
});

test("interpolation is linear, and the border stays", () => {
  const values = Float32Array.from([0, 4]);
  const found = resized({ channels: 1, space: [1, 1, 2], values }, [1, 1, 4]);
  assert.deepEqual([...found.values], [0, 1, 3, 4]);
});

test("a mean and a linear layer", () => {
  const levels = [{ channels: 2, values: Float32Array.from([1, 3, 5, 7]) }];
  assert.deepEqual(averaged(levels), [2, 6]);
  const tensors = new Map([
    ["l.weight", { shape: [1, 2], values: [2, -1] }],
    ["l.bias", { shape: [1], values: [0.5] }],
  ]);
  assert.deepEqual(linear({ tensors }, "l", [2, 6]), [-1.5]);
});

test("four quarters are none, and one takes the corner along", () => {
  const greys = Uint8Array.from({ length: 27 }, (_, n) => n);
  const cube = { size: [3, 3, 3], greys };
  for (const [a, b] of [
    [1, 2],
    [2, 0],
    [0, 1],
  ]) {
    const one = turnedBack(cube, [a, b, 1]);
    assert.notDeepEqual(one.greys, greys);
    assert.deepEqual(turnedBack(one, [a, b, 3]).greys, greys);
  }
  assert.deepEqual(turnedBack(cube, [1, 2, 0]).greys, greys);
  // torch.rot90 has turned[i, j] = before[j, 2 - i], so before[0, 0] is turned[2, 0]
  assert.equal(turnedBack(cube, [1, 2, 1]).greys[0], 6);
});

test("the eye gets all greys, but for the outermost", () => {
  const greys = Uint8Array.from([...Array(99).fill(10), 20, 255]);
  const found = brightened({ size: [101, 1, 1], greys }).greys;
  assert.deepEqual([found[0], found[99], found[100]], [0, 255, 255]);
});

test("an order is read off a few pieces", () => {
  const orders = [
    [0, 1, 2, 3],
    [1, 0, 3, 2],
    [3, 2, 1, 0],
  ];
  assert.equal(
    nearestOrder(
      orders,
      new Map([
        [0, 3],
        [1, 2],
      ]),
    ),
    2,
  );
  assert.equal(
    nearestOrder(
      orders,
      new Map([
        [0, 1],
        [1, 0],
        [2, 2],
      ]),
    ),
    1,
  );
});

const ENTRIES = [
  { round: 0, person: true, network: false, chance: 0.5 },
  { round: 0, person: true, network: true, chance: 0.5 },
  { round: 1, person: false, network: true, chance: 0.125 },
];

test("the result is a line for the lecturer", () => {
  assert.deepEqual(sumUp(ENTRIES), { asked: 3, you: 2, network: 2, chance: 1.125 });
  assert.equal(
    resultLine(ENTRIES, [{ title: "A" }, { title: "B" }], "ab12"),
    "Play against the network: you 2/3, network 2/3, chance 1.1/3 | " +
      "A: you 2/2, network 1/2, chance 1/2 | B: you 0/1, network 1/1, chance 0.1/1 | game ab12",
  );
  assert.equal(rounded(1 / 26), "0.04");
  assert.equal(rounded(3 / 26), "0.1");
  assert.equal(rounded(2), "2");
});

test("a network that has not learnt is told so", () => {
  const measured = { right: 12, asked: 96, scans: 8, chance: 0.1, low: 0.07, high: 0.21 };
  const line = measuredLine({ ...measured, learnt: false });
  assert.match(
    line,
    /96 such questions about 8 volumes .* right in 13 % \(95 % interval 7 % to 21 %\)/,
  );
  assert.match(line, /Guessing: 10 %\. So it has not learnt this puzzle/);
  assert.doesNotMatch(measuredLine({ ...measured, learnt: true }), /not learnt/);
});

test("what is hidden matters where the answer was read off it, and nowhere else", async () => {
  const greys = new Uint8Array(6 ** 3);
  greys[(4 * 6 + 4) * 6 + 4] = 255;
  greys[0] = 9;
  const question = { size: [6, 6, 6], views: new DataView(greys.buffer), low: 0, step: 1 };
  const solver = { read: (_, view) => view[(4 * 6 + 4) * 6 + 4], score: (_, [lit]) => [lit, 100] };
  const found = await occlusion(
    { kind: "rotation" },
    question,
    solver,
    () => true,
    () => {},
  );
  assert.deepEqual([found.tried, found.flips], [2, 1]); // parts of one grey are left out
  assert.equal(heatAt(found, 0, [4, 4, 4]), 1);
  assert.equal(heatAt(found, 0, [0, 0, 0]), 0);
});

test("a viewer begins where it is most orange", () => {
  const size = [8, 8, 8];
  const heat = ([x, y, z]) => (x >= 4 && y < 4 && z < 4 ? 1 : 0.5);
  const [x, y, z] = hottest({ size, heat });
  assert.ok(x >= 4 && y < 4 && z < 4);
  assert.equal(hottest({ size, heat: () => 0 }), undefined);
});

test("the best option is the network's answer", () => {
  assert.equal(best([-3, 2, 0]), 1);
  for (const kind of ["rotation", "rpl", "masked", "cpc", "jigsaw"]) {
    assert.deepEqual(Object.keys(makeSolver({ kind }, {})), ["read", "score"]);
  }
});

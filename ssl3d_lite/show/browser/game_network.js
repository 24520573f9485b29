// A U-Net's encoder and the heads of proxy tasks, in plain JavaScript: what ssl3d_lite/models does in
// torch, with the same names of weights. Features are { channels, space, values }, z fastest.

import { unsigned } from "./bytes.js";

const SLOPE = 0.01; // of LeakyReLU
const EPSILON = 1e-5; // of norms

// ---- weights -----------------------------------------------------------------------------------

// Half precision: a sign, five bits of exponent, ten of fraction.
function fromHalf(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Gives the weights by their names in torch, each with its shape.
export function readNetwork(state) {
  const bytes = unsigned(state.weights);
  const weights = new Float32Array(bytes.length / 2);
  for (let n = 0; n < weights.length; n++) {
    weights[n] = fromHalf(bytes[2 * n] | (bytes[2 * n + 1] << 8));
  }
  const tensors = new Map();
  let start = 0;
  for (const [name, shape] of state.tensors) {
    const length = shape.reduce((product, edge) => product * edge, 1);
    tensors.set(name, { shape, values: weights.subarray(start, start + length) });
    start += length;
  }
  return { ...state, tensors };
}

export const sizeOf = (space) => space[0] * space[1] * space[2];

const featuresOf = (channels, space) => ({
  channels,
  space,
  values: new Float32Array(channels * sizeOf(space)),
});

// ---- convolutions ------------------------------------------------------------------------------

// A rim of one voxel of 0 around each channel.
function padded({ channels, space, values }) {
  const [x, y, z] = space;
  const wide = space.map((edge) => edge + 2);
  const result = featuresOf(channels, wide);
  for (let c = 0, from = 0; c < channels; c++) {
    for (let i = 0; i < x; i++) {
      for (let j = 0; j < y; j++, from += z) {
        const to = ((c * wide[0] + i + 1) * wide[1] + j + 1) * wide[2] + 1;
        result.values.set(values.subarray(from, from + z), to);
      }
    }
  }
  return result;
}

// A kernel of edge 3 goes over the padded volume as over one long row, a plane of nine taps at a
// time. What it gives on the rim is nonsense, and left out.
function convolve3(input, { shape, values: weight }) {
  const [outputs, inputs] = shape;
  const { space, values } = padded(input);
  const [plane, row, size] = [space[1] * space[2], space[2], sizeOf(space)];
  const [first, last] = [plane + row + 1, size - plane - row - 1];
  const [sum, result] = [new Float32Array(size), featuresOf(outputs, input.space)];
  const own = sizeOf(input.space);
  for (let o = 0; o < outputs; o++) {
    sum.fill(0);
    for (let i = 0; i < inputs; i++) {
      for (let dx = 0; dx < 3; dx++) {
        const [tap, shift] = [((o * inputs + i) * 3 + dx) * 9, i * size + (dx - 1) * plane];
        addPlane(sum, values, weight.subarray(tap, tap + 9), first, last, shift, row);
      }
    }
    withoutRim(sum, space, result.values.subarray(o * own, (o + 1) * own));
  }
  return result;
}

// Nine taps at once: each voxel of the sum is read and written once for all of them.
function addPlane(sum, values, [a, b, c, d, e, f, g, h, i], first, last, shift, row) {
  for (let n = first, at = first + shift; n < last; n++, at++) {
    const [up, down] = [at - row, at + row];
    sum[n] +=
      a * values[up - 1] +
      b * values[up] +
      c * values[up + 1] +
      d * values[at - 1] +
      e * values[at] +
      f * values[at + 1] +
      g * values[down - 1] +
      h * values[down] +
      i * values[down + 1];
  }
}

function withoutRim(wide, [x, y, z], values) {
  for (let i = 1, to = 0; i < x - 1; i++) {
    for (let j = 1; j < y - 1; j++, to += z - 2) {
      const from = (i * y + j) * z + 1;
      values.set(wide.subarray(from, from + z - 2), to);
    }
  }
}

// The same kernel at every second voxel.
function convolve3by2(input, { shape, values: weight }) {
  const [outputs, inputs] = shape;
  const { space, values } = padded(input);
  const [plane, row, size] = [space[1] * space[2], space[2], sizeOf(space)];
  const result = featuresOf(
    outputs,
    input.space.map((edge) => Math.ceil(edge / 2)),
  );
  const [x, y, z] = result.space;
  for (let o = 0, to = 0; o < outputs; o++) {
    for (let a = 0; a < x; a++) {
      for (let b = 0; b < y; b++) {
        for (let c = 0; c < z; c++, to++) {
          let sum = 0;
          for (let i = 0; i < inputs; i++) {
            for (let k = 0; k < 9; k++) {
              const tap = ((o * inputs + i) * 9 + k) * 3;
              const [dx, dy] = [Math.floor(k / 3), k % 3];
              const at = i * size + (2 * a + dx) * plane + (2 * b + dy) * row + 2 * c;
              sum +=
                weight[tap] * values[at] +
                weight[tap + 1] * values[at + 1] +
                weight[tap + 2] * values[at + 2];
            }
          }
          result.values[to] = sum;
        }
      }
    }
  }
  return result;
}

function convolve1(input, { shape, values: weight }, bias) {
  const [outputs, inputs] = shape;
  const [size, result] = [sizeOf(input.space), featuresOf(outputs, input.space)];
  for (let o = 0; o < outputs; o++) {
    const own = result.values.subarray(o * size, (o + 1) * size).fill(bias ? bias.values[o] : 0);
    for (let i = 0; i < inputs; i++) {
      const [w, from] = [weight[o * inputs + i], i * size];
      for (let n = 0; n < size; n++) own[n] += w * input.values[from + n];
    }
  }
  return result;
}

function convolve(input, weight, stride) {
  if (weight.shape[2] === 1) return convolve1(input, weight);
  return stride === 2 ? convolve3by2(input, weight) : convolve3(input, weight);
}

// ---- levels ------------------------------------------------------------------------------------

// Batch norm has its means from training; the others take them from the scan itself, over groups of
// channels. In place.
function normalise({ tensors, groups }, name, features, depth) {
  const [weight, bias] = [tensors.get(`${name}.weight`), tensors.get(`${name}.bias`)];
  if (!weight) return; // there is no norm
  const { channels, values } = features;
  const size = values.length / channels;
  const [mean, variance] = [
    tensors.get(`${name}.running_mean`)?.values,
    tensors.get(`${name}.running_var`)?.values,
  ];
  const together = mean ? 1 : channels / groups[depth];
  for (let first = 0; first < channels; first += together) {
    const end = first + together;
    const [m, v] = mean
      ? [mean[first], variance[first]]
      : moments(values.subarray(first * size, end * size));
    for (let c = first; c < end; c++) {
      const scale = weight.values[c] / Math.sqrt(v + EPSILON);
      const shift = bias.values[c] - m * scale;
      for (let n = c * size; n < (c + 1) * size; n++) values[n] = values[n] * scale + shift;
    }
  }
}

function moments(values) {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return [mean, squares / values.length];
}

function leaky({ values }) {
  for (let n = 0; n < values.length; n++) if (values[n] < 0) values[n] *= SLOPE;
}

function block(network, depth, input) {
  const name = `encoder.levels.${depth}`;
  const weight = (part) => network.tensors.get(`${name}.${part}.weight`);
  const stride = depth ? 1 : network.stride;
  const middle = convolve(input, weight("conv1"), stride);
  normalise(network, `${name}.norm1`, middle, depth);
  leaky(middle);
  const result = convolve(middle, weight("conv2"), 1);
  normalise(network, `${name}.norm2`, result, depth);
  if (weight("shortcut")) {
    const { values } = convolve(input, weight("shortcut"), stride);
    for (let n = 0; n < values.length; n++) result.values[n] += values[n];
  }
  leaky(result);
  return result;
}

// The largest of each eight voxels; the last of an odd edge is left out.
export function halved({ channels, space, values }) {
  const result = featuresOf(
    channels,
    space.map((edge) => Math.floor(edge / 2)),
  );
  const [x, y, z] = result.space;
  const [plane, row] = [space[1] * space[2], space[2]];
  for (let c = 0, to = 0; c < channels; c++) {
    for (let i = 0; i < x; i++) {
      for (let j = 0; j < y; j++) {
        for (let k = 0; k < z; k++, to++) {
          const at = (c * space[0] + 2 * i) * plane + 2 * j * row + 2 * k;
          let largest = -Infinity;
          for (const corner of [at, at + row, at + plane, at + plane + row]) {
            largest = Math.max(largest, values[corner], values[corner + 1]);
          }
          result.values[to] = largest;
        }
      }
    }
  }
  return result;
}

// All levels' features of one view, the finest first.
export function encode(network, space, values) {
  const levels = [];
  let x = { channels: 1, space, values };
  for (let depth = 0; depth < network.levels; depth++) {
    const isLast = depth === network.levels - 1;
    if (depth && !(isLast && network.stride === 2)) x = halved(x);
    x = block(network, depth, x);
    levels.push(x);
  }
  return levels;
}

// ---- heads -------------------------------------------------------------------------------------

export function averaged(levels) {
  const { channels, values } = levels.at(-1);
  const size = values.length / channels;
  return Array.from(
    { length: channels },
    (_, c) => moments(values.subarray(c * size, (c + 1) * size))[0],
  );
}

export function linear({ tensors }, name, input) {
  const { shape, values } = tensors.get(`${name}.weight`);
  const bias = tensors.get(`${name}.bias`).values;
  return Array.from({ length: shape[0] }, (_, o) => {
    let sum = bias[o];
    for (let i = 0; i < input.length; i++) sum += values[o * input.length + i] * input[i];
    return sum;
  });
}

export const relu = (numbers) => numbers.map((n) => Math.max(0, n));

// Two linear layers with a ReLU in between.
export const head = (network, name, input) =>
  linear(network, `${name}.2`, relu(linear(network, `${name}.0`, input)));

// ---- a decoder of few weights ------------------------------------------------------------------

// Linear interpolation along one axis after another, as torch has it with align_corners=False.
export function resized(features, space) {
  return space.reduce((before, edge, axis) => resizedAlong(before, axis, edge), features);
}

function resizedAlong({ channels, space, values }, axis, edge) {
  if (space[axis] === edge) return { channels, space, values };
  const to = space.map((length, n) => (n === axis ? edge : length));
  const result = featuresOf(channels, to);
  const behind = space.slice(axis + 1).reduce((product, length) => product * length, 1);
  const before = channels * space.slice(0, axis).reduce((product, length) => product * length, 1);
  const scale = space[axis] / edge;
  for (let p = 0; p < edge; p++) {
    const at = Math.max(0, (p + 0.5) * scale - 0.5);
    const low = Math.floor(at);
    const high = Math.min(low + 1, space[axis] - 1);
    const share = at - low;
    for (let b = 0; b < before; b++) {
      const [from, above] = [(b * space[axis] + low) * behind, (b * space[axis] + high) * behind];
      const there = (b * edge + p) * behind;
      for (let n = 0; n < behind; n++) {
        result.values[there + n] = (1 - share) * values[from + n] + share * values[above + n];
      }
    }
  }
  return result;
}

// The last voxel of an odd edge, which pooling has dropped, is as its neighbour.
function extended(features, space) {
  return space.reduce((before, edge, axis) => extendedAlong(before, axis, edge), features);
}

function extendedAlong({ channels, space, values }, axis, edge) {
  if (space[axis] === edge) return { channels, space, values };
  const result = featuresOf(
    channels,
    space.map((length, n) => (n === axis ? edge : length)),
  );
  const behind = space.slice(axis + 1).reduce((product, length) => product * length, 1);
  const before = values.length / (behind * space[axis]);
  for (let b = 0; b < before; b++) {
    for (let p = 0; p < edge; p++) {
      const from = (b * space[axis] + Math.min(p, space[axis] - 1)) * behind;
      result.values.set(values.subarray(from, from + behind), (b * edge + p) * behind);
    }
  }
  return result;
}

const isNearly = (space, other) => space.every((edge, axis) => [0, 1].includes(other[axis] - edge));

// The scan rebuilt from all levels: one value a voxel.
export function decode(network, levels, space) {
  const part = (name) => network.tensors.get(`task.decoder.${name}`);
  const thinned = levels.map((level, n) =>
    convolve1(level, part(`thin.${n}.weight`), part(`thin.${n}.bias`)),
  );
  let y = thinned.pop();
  for (const level of thinned.reverse()) {
    const same = y.space.every((edge, axis) => edge === level.space[axis]);
    const twice = y.space.map((edge) => 2 * edge);
    const { values } = same ? y : extended(resized(y, twice), level.space);
    for (let n = 0; n < values.length; n++) level.values[n] += values[n];
    y = level;
  }
  y = isNearly(y.space, space) ? extended(y, space) : resized(y, space);
  for (let n = 0; n < y.values.length; n++) if (y.values[n] < 0) y.values[n] = 0;
  return convolve1(y, part("last.weight"), part("last.bias"));
}

// A vector is a list of three numbers.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

export const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

// It is the volume of the box that three edges span, negative if they are mirrored.
export const determinant = (a, b, c) => dot(a, cross(b, c));

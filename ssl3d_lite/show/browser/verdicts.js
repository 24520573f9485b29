// What is right and what is wrong looks the same in every view; a mark says it too.

export const RIGHT = "#009E73";
export const WRONG = "#D55E00";

export const verdict = (right) => (right ? "✓ right" : "✗ wrong");

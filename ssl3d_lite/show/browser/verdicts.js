// What is right and what is wrong looks the same in every view; a mark says it too.

export const RIGHT_COLOUR = "#009E73";
export const WRONG_COLOUR = "#D55E00";

export const verdict = (right) => (right ? "✓ right" : "✗ wrong");

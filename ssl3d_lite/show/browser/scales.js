// A curve needs scales: the range it is drawn in, round numbers beside it, numbers in few digits.

// The range begins at 0, or below if a loss is negative. A flat curve gets one all the same.
export function lossRange(losses) {
  const top = losses.length ? Math.max(...losses) * 1.05 : 1;
  const bottom = losses.length ? Math.min(0, ...losses) : 0;
  return [bottom, top > bottom ? top : bottom + 1];
}

// The range leaves room above scores and chance, but ends at 1: no score is better.
export function scoreRange(scores, chance) {
  const best = Math.max(0.1, chance, ...scores);
  const worst = Math.max(-1, Math.min(0, ...scores));
  return [worst, Math.min(1, 1.3 * best)];
}

// Returns about four round numbers from low to high.
export function ticksOf(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-9); n++) ticks.push(n * step);
  return ticks;
}

export const short = (value) => String(Number(value.toPrecision(3)));

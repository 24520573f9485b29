// The score of the game: what you, the network and chance have on the very same questions.

// Entries are { round, person, network, chance }: whether each was right, and how often chance is.
export function sumUp(entries) {
  const sum = (name) => entries.reduce((total, entry) => total + Number(entry[name]), 0);
  return {
    asked: entries.length,
    you: sum("person"),
    network: sum("network"),
    chance: sum("chance"),
  };
}

// 0.3, and 0.04: chance is never rounded to nothing
export const rounded = (value) => String(Number(value.toFixed(value < 0.1 ? 2 : 1)));

const shares = ({ asked, you, network, chance }) =>
  `you ${you}/${asked}, network ${network}/${asked}, chance ${rounded(chance)}/${asked}`;

// One line for the lecturer: whoever played the same game has the same last word.
export function resultLine(entries, rounds, game) {
  const parts = rounds.map(({ title }, number) => {
    const own = sumUp(entries.filter(({ round }) => round === number));
    return `${title}: ${shares(own)}`;
  });
  return [`Play against the network: ${shares(sumUp(entries))}`, ...parts, `game ${game}`].join(
    " | ",
  );
}

const percent = (share) => `${Math.round(100 * share)} %`;

// How good the network is beyond these few questions, and whether it has learnt the puzzle at all.
export function measuredLine({ right, asked, scans, chance, low, high, learnt }) {
  const line =
    `Asked ${asked} such questions about ${scans} volumes that it had never seen, the network was right ` +
    `in ${percent(right / asked)} (95 % interval ${percent(low)} to ${percent(high)}). ` +
    `Guessing: ${percent(chance)}.`;
  return learnt ? line : `${line} So it has not learnt this puzzle: you play against a guesser.`;
}

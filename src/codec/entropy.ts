/** How random bytes look: what encryption leaves, and what well compressed data comes near to. */

/** Bytes that one look needs: enough for sixteen of each value. */
export const LOOK = 4096;

export type Look = 'random' | 'plain' | 'zero';

/** Mean of chi-square for random bytes is 255 and its deviation 23: six deviations above it nothing random is refused. */
const MOST_RANDOM = 400;
const counts = new Uint32Array(256);

/** How LOOK bytes look. Chi-square of their values against all being equally frequent. */
export function lookOf(block: Uint8Array): Look {
  counts.fill(0);
  for (let i = 0; i < block.length; i++) counts[block[i]]++;
  if (counts[0] === block.length) return 'zero';
  const expected = block.length / 256;
  let sum = 0;
  for (let i = 0; i < 256; i++) sum += (counts[i] - expected) ** 2;
  return sum / expected <= MOST_RANDOM ? 'random' : 'plain';
}

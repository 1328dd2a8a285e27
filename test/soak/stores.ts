/**
 * Child of the soak: node test/soak/stores.ts FIRST COUNT. One line of JSON for each seed.
 * With "canary" in place of COUNT the truth is falsified first, and the line has to say that something is wrong.
 */

import { departures } from '../formats/stores.ts';
import { seeded } from '../make/content.ts';
import { randomStore } from './random-store.ts';

/** Departures told of one store; the first ones say what is wrong. */
const MOST = 5;

const first = Number(process.argv[2]);
const isCanary = process.argv[3] === 'canary';
const count = isCanary ? 1 : Number(process.argv[3]);
for (let seed = first; seed < first + count; seed++) {
  const made = randomStore(seed);
  if (typeof made === 'string') {
    console.log(JSON.stringify({ seed, refused: made }));
    continue;
  }
  if (isCanary) {
    const file = made.truth.files.find((one) => one.kind === 'file' && one.size > 0)!;
    file.content = seeded(0xbad, file.size);
  }
  let wrong: string[];
  try {
    wrong = await departures(made);
  } catch (error) {
    wrong = [`threw ${(error as Error).stack}`];
  }
  console.log(
    JSON.stringify({ seed, files: made.truth.files.length, wrong: wrong.slice(0, MOST), found: wrong.length }),
  );
}

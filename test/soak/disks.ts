/** Child of the soak: node test/soak/disks.ts FIRST COUNT. One line of JSON for each seed. */
import { readHealthy } from '../healthy.ts';

/** Departures told of one disk; the first ones say what is wrong. */
const MOST = 5;

const first = Number(process.argv[2]);
const count = Number(process.argv[3]);
for (let seed = first; seed < first + count; seed++) {
  const { what, wrong } = await readHealthy(seed);
  console.log(JSON.stringify({ seed, wrong: wrong.slice(0, MOST).map((text) => `${what}: ${text}`) }));
}

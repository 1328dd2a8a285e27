/** npm run soak [-- part…]: the long numbers, in parts that can be stopped and gone on with. */
import { canary, PARTS, type Part } from './parts.ts';
import { load, PAGE, progressOf, type State, save, writePage } from './record.ts';

const MINUTES = Number(process.env.SALVOR_SOAK_MINUTES ?? 10);
const MOST_FAILURES = 50;

/** Works on one part until its time is up or its target reached. Answers how many failures are known. */
async function work(state: State, part: Part): Promise<number> {
  const progress = progressOf(state, part);
  const began = performance.now();
  const end = began + MINUTES * 60_000;
  let longest = 0;
  // A batch is begun only where the longest one so far would still fit.
  while (progress.done < part.target && performance.now() + longest < end) {
    const from = performance.now();
    const batch = await part.run(progress.nextSeed, part.size);
    const took = performance.now() - from;
    longest = Math.max(longest, took);
    progress.nextSeed += part.size;
    progress.done += batch.done;
    progress.seconds += took / 1000;
    progress.refused += batch.refused ?? 0;
    progress.failures = [...progress.failures, ...batch.failures].slice(0, MOST_FAILURES);
    progress.when = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    state[part.id] = progress;
    save(state);
    writePage(state);
    console.log(`${part.id}: ${progress.done} of ${part.target} ${part.unit}, ${progress.failures.length} failures`);
    for (const failure of batch.failures) console.log(`  ${failure}`);
    if (batch.done === 0) break; // nothing ran: going on would only repeat that
  }
  return progress.failures.length;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !PARTS.some((part) => part.id === name));
  if (unknown !== undefined || !(MINUTES > 0)) {
    console.error(`Parts: ${PARTS.map((part) => part.id).join(', ')}. SALVOR_SOAK_MINUTES is a number above 0.`);
    return 2;
  }
  if (!(await canary())) {
    console.error('A store that was falsified on purpose went through: the comparison finds nothing.');
    return 1;
  }
  const state = load();
  let failures = 0;
  for (const part of PARTS) {
    if (names.length === 0 || names.includes(part.id)) failures += await work(state, part);
  }
  console.log(`${failures} failures. Written: ${PAGE}`);
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));

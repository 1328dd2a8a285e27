/** 64 TiB: how long until the first listing, beyond a start that does nothing. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { huge as hugeStore } from '../../test/make/stores.ts';
import { inTurns, peakMemory } from '../measure.ts';
import { beyond, faster, type Row } from '../row.ts';
import { ROOT, salvor, salvorOnSystemNode } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import type { Job } from './job.ts';

const ROUNDS = 9;
const LIMIT = 300;
const START = 'salvor --version';

export const huge: Job = {
  id: 'huge',
  gib: 2,
  memory: 200,
  async *run(place) {
    for (const version of [5, 6] as const) {
      yield* members(place, version);
      yield inProcess(version);
    }
  },
};

async function* members(place: Workplace, version: 5 | 6): AsyncIterable<Row> {
  const images = await place.images(hugeStore(version, { members: 32 }));
  const product = salvor(['ls', ...images], { output: place.path('listing') });
  const empty = { ...salvor(['--version']), name: START };
  const runs = await inTurns([empty, product], ROUNDS);
  const memory = await peakMemory(product);
  place.remove(...images);
  yield beyond(`first listing of 64 TiB of VMFS${version} on 32 devices`, runs, START, LIMIT, memory);
}

/** One device of 64 TiB would be a file larger than ext4 holds, so it lies in memory and the library reads it. */
function inProcess(version: 5 | 6): Row {
  const script = join(import.meta.dirname, 'huge-listing.ts');
  const times = Array.from({ length: ROUNDS }, () => {
    const done = spawnSync(join(ROOT, 'node_modules', '.bin', 'node'), [script, String(version)], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`the listing in memory failed: ${done.stderr}`);
    return Number(done.stdout);
  });
  const nothing = new Map([
    ['salvor', times],
    ['nothing', [0]],
  ]);
  return beyond(`first listing of 64 TiB of VMFS${version} on one device, in the library`, nothing, 'nothing', LIMIT);
}

/** What a start costs by itself, and what it costs from a Node that is too old for the product. */
export const start: Job = {
  id: 'start',
  gib: 0,
  memory: 200,
  async *run() {
    const system = salvorOnSystemNode(['--version']);
    if (system === undefined) {
      yield 'start from the system Node: skipped, because there is no Node in the PATH';
      return;
    }
    const product = salvor(['--version']);
    const runs = await inTurns([system, product], ROUNDS);
    yield faster('start and end', runs, 'system', undefined, await peakMemory(product));
  },
};

/** A directory of 16,000 files as JSON, beside the long listing of debugvmfs. */
import { many5, many6 } from '../../test/make/stores.ts';
import { inTurns, peakMemory } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { salvor, whyNot } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import type { Job } from './job.ts';

const FILES = 16_000;
const ROUNDS = 9;

export const ls: Job = {
  id: 'ls',
  gib: 1,
  memory: 200,
  async *run(place) {
    for (const version of [5, 6] as const) yield* lsOf(place, version);
  },
};

async function* lsOf(place: Workplace, version: 5 | 6): AsyncIterable<Row | string> {
  const images = await place.images(version === 5 ? many5(FILES) : many6(FILES));
  const peer = version === 5 ? 'debugvmfs' : 'debugvmfs6';
  const job = `ls --json of ${FILES.toLocaleString('en')} files on VMFS${version}`;
  const product = salvor(['ls', '--json', `${images[0]}::/many`], { output: place.path('salvor.json') });
  const reason = whyNot(peer);
  if (reason !== undefined) {
    yield `${job}: skipped, because ${reason}`;
    return;
  }
  const command = [peer, ...images, 'ls', '-l', '/many'];
  const runs = await inTurns([{ name: peer, command, output: place.path('peer.txt') }, product], ROUNDS);
  const memory = await peakMemory(product);
  place.remove(...images);
  yield faster(job, runs, peer, 1, memory);
}

/** Reading everything once with all finders, beside dd, which only reads, and PhotoRec, which looks for files. */
import { dense } from '../../test/make/stores.ts';
import { inTurns, peakMemory, timed } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { salvor, whyNot } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import type { Job } from './job.ts';

const SIZE = 8; // GiB
const ROUNDS = 5;

export const scan: Job = {
  id: 'scan',
  gib: SIZE + 2,
  memory: 300,
  async *run(place) {
    const [image] = await place.images(dense(5, SIZE));
    const kept = place.path('case');
    const remove = (): void => place.remove(kept);
    const args = (threads: number): string[] => ['scan', image, '--case', kept, '--threads', String(threads)];
    const dd = { name: 'dd', command: ['dd', `if=${image}`, 'of=/dev/null', 'bs=8M', 'status=none'], before: remove };
    const one = salvor(args(1), { before: remove });
    const two = { ...salvor(args(2), { before: remove }), name: 'two' };
    const runs = await inTurns([dd, one, two], ROUNDS);
    const memory = await peakMemory(two);
    const job = `scan ${SIZE} GiB in the page cache`;
    yield faster(`${job}, one thread`, runs, 'dd', 0.8, memory);
    yield faster(`${job}, two threads`, new Map([...runs, ['salvor', runs.get('two')!]]), 'dd', undefined, memory);
    yield* beside(place, image, runs.get('salvor')!, job);
    place.remove(image, kept);
  },
};

/** PhotoRec takes minutes, so it runs once. */
async function* beside(
  place: Workplace,
  image: string,
  mine: readonly number[],
  job: string,
): AsyncIterable<Row | string> {
  const reason = whyNot('photorec');
  if (reason !== undefined) {
    yield `${job}: not compared with PhotoRec, because ${reason}`;
    return;
  }
  const out = place.path('photorec');
  const command = ['photorec', '/d', out, '/cmd', image, 'partition_none,options,mode_ext2,search'];
  const peer = await timed({ name: 'photorec', command });
  place.remove(...Array.from({ length: 50 }, (_, i) => `${out}.${i + 1}`));
  yield faster(
    `${job}, one thread`,
    new Map([
      ['salvor', mine],
      ['photorec', [peer]],
    ]),
    'photorec',
    5,
  );
}

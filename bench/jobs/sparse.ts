/** Thin disks with few blocks: time has to follow what is allocated, not the size. */
import { seeded } from '../../test/make/content.ts';
import { huge, thin } from '../../test/make/stores.ts';
import type { Made } from '../../test/make/types.ts';
import { inTurns, median, peakMemory } from '../measure.ts';
import { beyond, type Row } from '../row.ts';
import { knows } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import { copyOut, cp, type Job } from './job.ts';

const ROUNDS = 5;
/** Beyond what cp at its bar of 0.8 takes for the same number of allocated bytes. */
const LIMIT = 500;
const SHARE = 0.8;

export const sparse: Job = {
  id: 'sparse',
  gib: 3,
  memory: 200,
  async *run(place) {
    if (!knows('recover')) {
      yield 'sparse: skipped, because this build has no recover';
      return;
    }
    for (const version of [5, 6] as const) {
      const job = `copy a thin 20 GiB flat out of VMFS${version}`;
      yield* sparseOf(place, job, thin(version), '/thin/thin-flat.vmdk', place.path('out'), place.path('cp.out'));
    }
    // ext4 ends at 16 TiB a file, tmpfs does not: the whole disk comes out, as large as it is.
    const memory = place.inMemory();
    for (const version of [5, 6] as const) {
      const job = `copy a thin 62 TiB flat out of VMFS${version}, to tmpfs`;
      if (memory === undefined) yield `${job}: skipped, because there is no /dev/shm`;
      else {
        const made = huge(version, { members: 32 });
        const path = '/monster/monster-flat.vmdk';
        yield* sparseOf(place, job, made, path, `${memory}/out`, `${memory}/cp.out`);
      }
    }
  },
};

async function* sparseOf(
  place: Workplace,
  job: string,
  made: Made,
  path: string,
  out: string,
  to: string,
): AsyncIterable<Row | string> {
  const images = await place.images(made);
  const file = made.truth.files.find((one) => one.path === path)!;
  const allocated = file.extents.filter((e) => e.kind === 'data').reduce((sum, e) => sum + e.length, 0);
  const plain = place.plain('plain', seeded(1, allocated));
  const product = copyOut(place, images, path, out);
  const runs = await inTurns([cp(place, 'cp', plain, to), product], ROUNDS);
  const memory = await peakMemory(product);
  place.remove(...images, plain, out, to);
  const peer = `cp of ${(allocated / 1024 ** 2).toFixed(0)} MiB at ${SHARE}×`;
  const scaled = runs.get('cp')!.map((ms) => ms / SHARE);
  yield beyond(job, new Map([...runs, [peer, scaled]]), peer, LIMIT, memory);
  const perGib = median(runs.get('salvor')!) / (allocated / 1024 ** 3);
  yield `${job}: ${perGib.toFixed(0)} ms for a GiB that is allocated`;
}

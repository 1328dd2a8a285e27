/** Disks from one format to another, beside qemu-img. */

import { spawnSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { seeded } from '../../test/make/content.ts';
import { inTurns, peakMemory } from '../measure.ts';
import { faster } from '../row.ts';
import { salvor, whyNot } from '../salvor.ts';
import { settle } from '../workplace.ts';
import { GIB, type Job } from './job.ts';

const DATA = 2; // GiB of data in a disk of twice that
const ROUNDS = 5;
/** From and to, as qemu-img calls them, the options that make the source, and the share of its time that is allowed. */
const PAIRS: readonly (readonly [string, string, number, ...string[]])[] = [
  ['raw', 'qcow2', 1.2],
  ['qcow2', 'raw', 1],
  ['vmdk', 'raw', 1],
  ['vdi', 'raw', 1],
];

export const convert: Job = {
  id: 'convert',
  gib: 12,
  async *run(place) {
    const reason = whyNot('qemu-img');
    if (reason !== undefined) {
      yield `convert: skipped, because ${reason}`;
      return;
    }
    const raw = place.plain('disk.raw', seeded(7, DATA * GIB));
    truncateSync(raw, 2 * DATA * GIB);
    for (const [from, to, share] of PAIRS) {
      const source = from === 'raw' ? raw : place.path(`disk.${from}`);
      if (from !== 'raw') spawnSync('qemu-img', ['convert', '-O', from, raw, source]);
      const outs = [place.path('qemu.out'), place.path('salvor.out')];
      const before = (): void => {
        place.remove(...outs);
        settle();
      };
      const peer = {
        name: 'qemu-img',
        command: ['qemu-img', 'convert', '-f', from, '-O', to, source, outs[0]],
        before,
      };
      const product = salvor(['convert', source, outs[1], '--to', to], { before });
      const runs = await inTurns([peer, product], ROUNDS);
      const memory = await peakMemory(product);
      const job = `convert ${from} to ${to}, ${DATA} GiB in a disk of ${2 * DATA} GiB`;
      const same = spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', to, raw, outs[1]]).status === 0;
      if (!same) yield `${job}: THE COPY IS WRONG`;
      yield faster(job, runs, 'qemu-img', Math.round(100 / share) / 100, memory);
      place.remove(...outs, ...(from === 'raw' ? [] : [source]));
    }
    place.remove(raw);
  },
};

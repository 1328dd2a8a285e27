/** Disks from one format to another, beside qemu-img. */

import { spawnSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { seeded } from '../../test/make/content.ts';
import type { Content } from '../../test/make/types.ts';
import { inTurns, peakMemory } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { salvor, whyNot } from '../salvor.ts';
import { settle, type Workplace } from '../workplace.ts';
import { GIB, type Job } from './job.ts';

const DATA = 2; // GiB of data in a disk of twice that
const DISK: number = 2 * DATA * GIB;
/** Bytes of data in the disks that are packed or unpacked: qemu-img takes long for them. */
const PACKED: number = GIB / 2;
const ROUNDS = 5;
const PACKED_ROUNDS = 3;

/** One way, with the words that both programs have for it. */
interface Way {
  readonly from: string;
  readonly to: string;
  /** Arguments that make qemu-img read, write and compare it. */
  readonly read: string;
  readonly write: readonly string[];
  readonly variant: string;
  /** The share of qemu-img's time that is allowed. */
  readonly share: number;
}

const PLAIN: readonly Way[] = [
  { from: 'raw', to: 'qcow2', read: 'raw', write: ['-O', 'qcow2'], variant: 'qcow2', share: 1.2 },
  ...['qcow2', 'vmdk', 'vdi'].map(
    (from): Way => ({ from, to: 'raw', read: from, write: ['-O', 'raw'], variant: 'raw', share: 1 }),
  ),
];
const PACK: readonly string[] = ['-c', '-O', 'qcow2'];
const STREAM: readonly string[] = ['-O', 'vmdk', '-o', 'subformat=streamOptimized'];
const PACKING: readonly Way[] = [
  { from: 'compressed qcow2', to: 'raw', read: 'qcow2', write: ['-O', 'raw'], variant: 'raw', share: 1 },
  { from: 'streamOptimized', to: 'raw', read: 'vmdk', write: ['-O', 'raw'], variant: 'raw', share: 1 },
  { from: 'raw', to: 'compressed qcow2', read: 'raw', write: PACK, variant: 'qcow2-zlib', share: 1 },
  { from: 'raw', to: 'streamOptimized', read: 'raw', write: STREAM, variant: 'stream', share: 1 },
];

export const convert: Job = {
  id: 'convert',
  gib: 12,
  memory: 250,
  async *run(place) {
    const reason = whyNot('qemu-img');
    if (reason !== undefined) {
      yield `convert: skipped, because ${reason}`;
      return;
    }
    const raw = place.plain('disk.raw', seeded(7, DATA * GIB));
    truncateSync(raw, DISK);
    for (const way of PLAIN) yield* beside(place, raw, way, `2 GiB in a disk of 4 GiB`, ROUNDS);
    place.remove(raw);
    const mixed = place.plain('mixed.raw', halfText(8, PACKED));
    truncateSync(mixed, DISK);
    for (const way of PACKING) yield* beside(place, mixed, way, '512 MiB in a disk of 4 GiB', PACKED_ROUNDS);
    place.remove(mixed);
  },
};

async function* beside(
  place: Workplace,
  raw: string,
  way: Way,
  what: string,
  rounds: number,
): AsyncIterable<Row | string> {
  const { from, to, read, write, variant, share } = way;
  const source = from === 'raw' ? raw : place.path('disk.source');
  if (from !== 'raw') {
    const made = from.startsWith('compressed') ? PACK : from === 'streamOptimized' ? STREAM : ['-O', from];
    spawnSync('qemu-img', ['convert', ...made, raw, source]);
  }
  const outs = [place.path('qemu.out'), place.path('salvor.out')];
  const before = (): void => {
    place.remove(...outs);
    settle();
  };
  const peer = { name: 'qemu-img', command: ['qemu-img', 'convert', '-f', read, ...write, source, outs[0]], before };
  const product = salvor(['convert', source, outs[1], '--to', variant], { before });
  const runs = await inTurns([peer, product], rounds);
  const memory = await peakMemory(product);
  const job = `convert ${from} to ${to}, ${what}`;
  const written = write[write.indexOf('-O') + 1];
  const same = spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', written, raw, outs[1]]).status === 0;
  if (!same) yield `${job}: THE COPY IS WRONG`;
  yield faster(job, runs, 'qemu-img', Math.round(100 / share) / 100, memory);
  place.remove(...outs, ...(from === 'raw' ? [] : [source]));
}

/** Bytes that pack to about half: every other stretch of each 64 KiB is of few different bytes. */
function halfText(seed: number, size: number): Content {
  const random = seeded(seed, size);
  return {
    size,
    read(offset, length) {
      const bytes = random.read(offset, length).slice();
      for (let i = 0; i < length; i++) if (((offset + i) & 0x8000) !== 0) bytes[i] = 0x61 + (bytes[i] & 7);
      return bytes;
    },
  };
}

/** Inside guests: long listings beside fls, small files brought out beside tsk_recover, carving beside dd and PhotoRec. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seeded } from '../../test/make/content.ts';
import { makeExt } from '../../test/make/ext.ts';
import { inTurns, peakMemory, timed } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { salvor, whyNot } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import type { Job } from './job.ts';

const MANY = 200_000;
const PER_FOLDER = 1000;
const SMALL = 20_000;
const ROUNDS = 3;
const CARVED_BYTES: number = 2 * 1024 ** 3;

export const guest: Job = {
  id: 'guest',
  gib: 8,
  memory: 400,
  async *run(place) {
    yield* listings(place);
    yield* small(place);
    yield* carving(place);
  },
};

/** `count` files of `size` bytes in folders of a thousand. */
function fill(dir: string, count: number, size: (i: number) => number): void {
  const block = seeded(1, 65_536).read(0, 65_536);
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `folder-${Math.floor(i / PER_FOLDER)}`);
    if (i % PER_FOLDER === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `some-file-${i}.txt`), block.subarray(i % 1000, (i % 1000) + size(i)));
  }
}

async function* listings(place: Workplace): AsyncIterable<Row | string> {
  const reason = whyNot('fls');
  if (reason !== undefined) return yield `listings of guests: skipped, because ${reason}`;
  const from = place.path('many');
  fill(from, MANY, () => 10);
  const image = place.path('ext4.img');
  makeExt(image, '2G', from, ['-t', 'ext4', '-N', String(MANY + 5000)]);
  yield* listing(place, 'ext4', image);
  place.remove(image);
  const absent = whyNot('ntfs-3g');
  const other = place.path('ntfs.img');
  const made = absent === undefined ? ntfs(place, other, from) : false;
  if (made) yield* listing(place, 'NTFS', other);
  else yield `listing of NTFS: skipped, because ${absent ?? 'it could not be mounted'}`;
  place.remove(from, other);
}

/** Whether an NTFS volume could be filled through ntfs-3g. */
function ntfs(place: Workplace, image: string, from: string): boolean {
  const point = place.path('ntfs');
  const run = (command: string, args: string[]): boolean => spawnSync(command, args).status === 0;
  if (!run('truncate', ['-s', '2G', image]) || !run('mkntfs', ['-q', '-F', '-f', image])) return false;
  mkdirSync(point);
  if (!run('ntfs-3g', [image, point])) return false;
  const copied = run('cp', ['-r', `${from}/.`, point]);
  return run('umount', [point]) && copied;
}

async function* listing(place: Workplace, name: string, image: string): AsyncIterable<Row> {
  const product = salvor(['find', image], { allowed: [0, 1], output: place.path('salvor.txt') });
  const peer = { name: 'fls', command: ['fls', '-r', '-p', image], output: place.path('fls.txt') };
  const runs = await inTurns([peer, product], ROUNDS);
  const memory = await peakMemory(product);
  yield faster(`list ${MANY.toLocaleString('en')} files on ${name}`, runs, 'fls', 1, memory);
}

async function* small(place: Workplace): AsyncIterable<Row | string> {
  const reason = whyNot('tsk_recover');
  if (reason !== undefined) return yield `small files of guests: skipped, because ${reason}`;
  const from = place.path('small');
  fill(from, SMALL, (i) => 1000 + (i % 60) * 1000);
  const image = place.path('small.img');
  makeExt(image, '2G', from, ['-t', 'ext4', '-N', String(SMALL + 5000)]);
  const [mine, theirs] = [place.path('mine'), place.path('theirs')];
  const product = salvor(['recover', image, '--out', mine], { allowed: [0, 1], before: () => place.remove(mine) });
  const before = (): void => {
    place.remove(theirs);
    mkdirSync(theirs);
  };
  const peer = { name: 'tsk_recover', command: ['tsk_recover', '-a', image, theirs], before };
  const runs = await inTurns([peer, product], ROUNDS);
  const memory = await peakMemory(product);
  place.remove(from, image, mine, theirs);
  yield faster(`bring ${SMALL.toLocaleString('en')} small files out of ext4`, runs, 'tsk_recover', 2, memory);
}

async function* carving(place: Workplace): AsyncIterable<Row | string> {
  const image = place.plain('noise.img', seeded(3, CARVED_BYTES));
  const product = salvor(['tree', `${image}/+carved`], { allowed: [0, 1, 3] });
  const dd = { name: 'dd', command: ['dd', `if=${image}`, 'of=/dev/null', 'bs=8M', 'status=none'] };
  const runs = await inTurns([dd, product], ROUNDS);
  const memory = await peakMemory(product);
  const job = `look for files in ${CARVED_BYTES / 1024 ** 3} GiB`;
  yield faster(job, runs, 'dd', 0.25, memory);
  const reason = whyNot('photorec');
  if (reason !== undefined) return yield `${job}: not compared with PhotoRec, because ${reason}`;
  const out = place.path('photorec');
  const command = ['photorec', '/d', out, '/cmd', image, 'partition_none,options,fileopt,everything,enable,search'];
  const peer = await timed({ name: 'photorec', command });
  place.remove(image, ...Array.from({ length: 50 }, (_, i) => `${out}.${i + 1}`));
  yield faster(job, new Map([...runs, ['photorec', [peer]]]), 'photorec', 1.5);
}

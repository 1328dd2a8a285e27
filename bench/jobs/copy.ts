/** A full flat disk out of a datastore, beside cp of the same bytes and beside cp from a FUSE mount. */
import { spawnSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { dense } from '../../test/make/stores.ts';
import { inTurns, peakMemory } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { whyNot } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import { copyOut, cp, type Job } from './job.ts';

const SIZE = 2; // GiB
const ROUNDS = 5;
const FLAT = '/dense/dense-flat.vmdk';

export const copy: Job = {
  id: 'copy',
  gib: 9,
  memory: 200,
  async *run(place) {
    for (const version of [5, 6] as const) yield* copyOf(place, version);
  },
};

async function* copyOf(place: Workplace, version: 5 | 6): AsyncIterable<Row | string> {
  const made = dense(version, SIZE);
  const images = await place.images(made);
  const content = made.truth.files.find((file) => file.path === FLAT)!.content!;
  const plain = place.plain(`plain${version}`, content);
  const out = place.path(`out${version}`);
  const peer = version === 5 ? 'vmfs-fuse' : 'vmfs6-fuse';
  const job = `copy a full ${SIZE} GiB flat out of VMFS${version}`;
  const product = copyOut(place, images, FLAT, out);
  const to = place.path('cp.out');
  const contenders = [cp(place, 'cp', plain, to), product];
  const reason = whyNot(peer, 'fusermount');
  const mount = reason === undefined ? place.mount(peer, images) : undefined;
  if (mount === undefined) yield `${job}: not compared with ${peer}, because ${reason}`;
  else contenders.push(cp(place, `cp from ${peer}`, `${mount}${FLAT}`, to));
  // What the disk itself takes, for comparison.
  contenders.push({
    ...cp(place, 'cp and sync', plain, to),
    command: ['sh', '-c', `cp '${plain}' '${to}' && sync '${to}'`],
  });
  const runs = await inTurns(contenders, ROUNDS);
  const memory = await peakMemory(product);
  const copied = statSync(out).isFile() ? out : globSync(`${out}/**/dense-flat.vmdk`)[0];
  if (copied === undefined || spawnSync('cmp', [plain, copied]).status !== 0) yield `${job}: THE COPY IS WRONG`;
  if (mount !== undefined) place.unmount(mount);
  place.remove(...images, plain, out, to);
  yield faster(job, runs, 'cp', 0.8, memory);
  yield faster(job, runs, 'cp and sync', undefined);
  if (mount !== undefined) yield faster(job, runs, `cp from ${peer}`, 2);
}

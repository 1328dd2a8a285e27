/** Everything that is wrong with an image, as a recount of all references shows it. Source: qcow2.md sections 4 and 10. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { type Directory, LOST_TABLE, word } from './directory.ts';
import {
  COMPRESSED,
  COPIED,
  compressedAt,
  offsetOf,
  RESERVED_HIGH,
  RESERVED_LOW,
  readWords,
  type Words,
} from './geometry.ts';
import type { Opened } from './image.ts';

/** Damages of one kind that are listed one by one. */
const LISTED = 100;

/** Walks all tables and yields what does not fit, each with its position. Reads no data. */
export async function* checkImage(opened: Opened, file: Source, cx: Cx, signal: AbortSignal): AsyncGenerator<Damage> {
  const { census, geometry } = opened.image;
  if (!census.complete) {
    const effect = 'references are not counted';
    yield cx.damage(0, 'qcow2.check-size', 'a file whose clusters can be counted in memory', hex(file.size), effect);
    return;
  }
  const counted = new Map<string, number>();
  const list = function* (one: Damage): Generator<Damage> {
    const n = (counted.get(one.code) ?? 0) + 1;
    counted.set(one.code, n);
    if (n <= LISTED) yield one;
  };
  const directories = [opened.directory, ...opened.states.map((state) => state.directory)];
  for (const [n, directory] of directories.entries()) {
    for (let slot = 0; slot < directory.tables.length; slot++) {
      const at = directory.tables[slot];
      if (at === 0 || at === LOST_TABLE) continue;
      signal.throwIfAborted();
      const words = await readWords(file, at, geometry.clusterSize);
      if (words === undefined) continue;
      for (const one of tableDamage(opened, directory, words, slot, n === 0, cx)) yield* list(one);
    }
  }
  for (const cluster of census.leaked()) {
    const effect = 'its bytes take space; do not free it before what led to it was looked for';
    const actual = `a reference count of ${census.refcounts[cluster]}`;
    yield* list(
      cx.damage(cluster * geometry.clusterSize, 'qcow2.leak', 'a cluster that something leads to', actual, effect),
    );
  }
  for (let cluster = 0; cluster < census.clusters; cluster++) {
    const [count, uses] = [census.refcounts[cluster], census.uses[cluster]];
    if (census.counted[cluster] !== 1 || uses === 0 || count === 0 || count === uses) continue;
    const effect =
      count > uses ? 'something that led to it may be lost' : 'a program that writes may overwrite what is in use';
    const at = cluster * geometry.clusterSize;
    yield* list(cx.damage(at, 'qcow2.references', `${count} references, as it is counted`, String(uses), effect));
  }
  for (const [code, n] of counted) {
    if (n > LISTED) yield cx.damage(0, code, 'nothing of the kind', `${n} in all`, `the first ${LISTED} are listed`);
  }
}

function* tableDamage(
  opened: Opened,
  directory: Directory,
  words: Words,
  slot: number,
  isLive: boolean,
  cx: Cx,
): Generator<Damage> {
  const { census, file, geometry, isExternal } = opened.image;
  const at = directory.tables[slot];
  const stride = geometry.extended ? 4 : 2;
  const counts = (offset: number): number | undefined => {
    const cluster = Math.floor(offset / geometry.clusterSize);
    return census.counted[cluster] === 1 ? census.refcounts[cluster] : undefined;
  };
  for (let i = 0; i < geometry.l2Entries; i++) {
    const high = words[i * stride];
    const low = words[i * stride + 1];
    if (high === 0 && low === 0) continue;
    const place = at + i * stride * 4;
    const guest = slot * geometry.l2Entries + i;
    const where = `bytes from ${hex(guest * geometry.clusterSize)} of the disk on`;
    const actual = `0x${word(high, low)}`;
    const isCompressed = (high & COMPRESSED) !== 0;
    const target = isCompressed ? compressedAt(high, low, geometry.clusterBits).at : offsetOf(high, low);
    const unaligned = !isCompressed && target % geometry.clusterSize !== 0;
    const reserved = !isCompressed && ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0);
    if (unaligned || reserved || (isCompressed && (high & COPIED) !== 0)) {
      yield cx.damage(
        place,
        'qcow2.l2-entry',
        'an entry without reserved bits',
        actual,
        `${where} are inferred or missing`,
      );
      continue;
    }
    if (isExternal || target === 0) continue;
    if (target >= file.size) {
      yield cx.damage(place, 'qcow2.outside', `an offset below ${hex(file.size)}`, hex(target), `${where} are missing`);
      continue;
    }
    const doubt = isCompressed ? undefined : census.doubt(target, guest);
    if (doubt !== undefined) {
      const expected =
        doubt === 'qcow2.refcount' ? 'a reference count of at least 1' : 'a cluster that nothing else uses';
      yield cx.damage(place, doubt, expected, hex(target), `${where} are inferred`);
      continue;
    }
    const count = counts(target);
    if (!isLive || isCompressed || count === undefined || count === 0) continue;
    if ((count === 1) !== ((high & COPIED) !== 0)) {
      const expected =
        count === 1 ? 'the flag of a cluster that is used once' : `no such flag with ${count} references`;
      yield cx.damage(place, 'qcow2.copied', expected, actual, 'reading does not depend on it; writing does');
    }
  }
}

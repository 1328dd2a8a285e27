/** The store of an old kind of snapshot: chunks of the origin as they were before they were written over. */
import { MapSource } from '../../../core/map-source.ts';
import { type Certainty, DATA, INFERRED, type RunList, type Why, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, struct, u32, viewOf } from '../../../core/struct.ts';
import { SECTOR } from './structs.ts';

const storeHeader = struct('LVM2 snapshot store header', 16, {
  magic: u32(0, { oneOf: [0x70416e53] }),
  valid: u32(4, { oneOf: [1] }),
  version: u32(8, { oneOf: [1] }),
  chunkSectors: u32(12, { min: 1, max: 65_536 }),
});

const EXCEPTION = 16;
/** Chunks that one snapshot can have kept. */
const MAX_EXCEPTIONS = 16_000_000;

/** The origin as it was when the snapshot was made; undefined where the store says that it is not valid. */
export async function snapshot(
  origin: Source,
  store: Source,
  { certainty, why }: { readonly certainty: Certainty; readonly why: Why },
): Promise<Source | undefined> {
  const head = new Uint8Array(storeHeader.size);
  if (store.size < SECTOR || (await store.read(0, head)).length > 0) return undefined;
  const header = storeHeader.decode(head);
  if (storeHeader.violations(header).length > 0) return undefined;
  const chunk = header.chunkSectors * SECTOR;
  const kept = new Map<number, number>();
  let grade: Certainty = certainty;
  const perArea = Math.floor(chunk / EXCEPTION);
  const area = new Uint8Array(chunk);
  for (let at = chunk; at + chunk <= store.size && kept.size < MAX_EXCEPTIONS; at += (perArea + 1) * chunk) {
    // A table that cannot be read may name any chunk of the origin.
    if ((await store.read(at, area)).length > 0) grade = weaker(grade, INFERRED);
    const view = viewOf(area);
    let used = 0;
    for (; used < perArea; used++) {
      const [old, copy] = [readU64(view, used * EXCEPTION), readU64(view, used * EXCEPTION + 8)];
      if (copy === 0) break;
      if ((copy + 1) * chunk <= store.size) kept.set(old, copy);
      else grade = weaker(grade, INFERRED);
    }
    if (used < perArea) break;
  }
  const said = grade === certainty ? why : { ...why, code: 'lvm2.snapshot-store' };
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    while (at < end) {
      const number = Math.floor(at / chunk);
      const stop = Math.min(end, (number + 1) * chunk);
      const copy = kept.get(number);
      const [source, there] = copy === undefined ? [origin, at] : [store, copy * chunk + at - number * chunk];
      if (!out.add(DATA, grade, stop - at, source, there, said)) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(origin.size, { runs });
}

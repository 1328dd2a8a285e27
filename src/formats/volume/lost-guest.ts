/** Disks of guests whose partition table is lost: file systems where partitions usually start. Source: volumes.md section 3. */
import type { Cx, Format } from '../../core/format.ts';
import { slice } from '../../core/map-source.ts';
import { type Node, NotThis } from '../../core/node.ts';
import { INFERRED, type Why } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { GUEST_KINDS, guestAt } from '../filesystem/guest.ts';
import { RECOGNISED } from '../filesystem/recognised.ts';

const MIB = 1024 * 1024;
/** Where the first partition started when disks had cylinders. */
const OLD_START = 63 * 512;
/** How far behind the last thing that was found the next one is looked for; what lies behind that a scan finds. */
const QUICK_LOOK = 256 * MIB;
const MAX_STARTS = 64;

interface Start {
  readonly at: number;
  /** As the file system says itself; never past the end of the disk. */
  readonly length: number;
  readonly what: string;
}

export const lostGuest: Format = {
  id: 'lost-guest',
  layer: 'volume',
  title: 'disk without a partition table, with file systems of a guest',
  spec: 'volumes.md section 3',
  gaps: [
    'File systems are looked for at whole MiB and at sector 63; those elsewhere, or more than 256 MiB behind the last one, are found by a scan.',
  ],
  lastResort: true,
  async probe(source, cx) {
    return (await starts(source, cx)).length > 0 ? 4 : 0;
  },
  async open(source, cx) {
    const found = await starts(source, cx);
    if (found.length === 0) throw new NotThis('no file system where a partition usually starts');
    const nodes = found.map((start) => partition(source, start, cx));
    const listed = found.map(({ at, length, what }) => `${what} from byte ${at}, ${length} bytes`).join('; ');
    return {
      name: lostGuest.id,
      rawName: lostGuest.id,
      locator: cx.self,
      kind: 'volume',
      state: 'live',
      format: lostGuest.title,
      facts: { size: source.size },
      damage: [cx.damage(0, 'lost-guest.table', 'a partition table', 'none', `its partitions were: ${listed}`)],
      async child(rawName) {
        return nodes.find((node) => node.rawName === rawName);
      },
      async *children() {
        yield* nodes;
      },
    };
  },
};

function partition(disk: Source, { at, length, what }: Start, cx: Cx): Node {
  const name = `at${at}`;
  const why: Why = { what: `${what}, where it says it starts`, source: disk, at, code: 'lost-guest.table' };
  return {
    name,
    rawName: name,
    locator: `${cx.self}/${name}`,
    kind: 'partition',
    state: 'live',
    facts: { size: length, details: { type: what, start: at } },
    damage: [],
    bytes: async () => slice(disk, at, length, INFERRED, why),
  };
}

/** Where file systems start: told by a scan, or looked for, each behind the end of the one before. */
async function starts(source: Source, cx: Cx): Promise<Start[]> {
  const out: Start[] = [];
  const add = (at: number, facts: Readonly<Record<string, string | number>> | undefined): number => {
    const length = Math.min(Number(facts?.bytes ?? 0), source.size - at);
    if (length > 0) out.push({ at, length, what: String(facts?.what ?? '') });
    return at + length;
  };
  if (cx.found?.whole(source) === true) {
    const { found } = cx;
    const hits = GUEST_KINDS.flatMap((kind) => found.hits(source, kind)).sort((a, b) => a.at - b.at);
    let end = 0;
    // What starts inside another one is a copy of a superblock, or a disk in a disk.
    for (const { at, facts } of hits) if (at > 0 && at >= end && out.length < MAX_STARTS) end = add(at, facts);
    return out;
  }
  const behind = (at: number): Source => slice(source, at, source.size - at, INFERRED);
  let limit = QUICK_LOOK;
  for (let at = OLD_START; at < Math.min(limit, source.size) && out.length < MAX_STARTS; ) {
    const hit = await guestAt(behind(at), RECOGNISED);
    const end = hit === undefined ? at : add(at, hit.facts);
    if (end > at) limit = end + QUICK_LOOK;
    at = Math.max(Math.ceil(end / MIB), Math.floor(at / MIB) + 1) * MIB;
  }
  return out;
}

/** What all partition tables share: numbered stretches of a disk as nodes. */
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import { slice } from '../../core/map-source.ts';
import type { Node } from '../../core/node.ts';
import { type Certainty, INFERRED, type Why } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';

export interface Entry {
  /** Number as people know it: p1 is the first. */
  readonly number: number;
  /** Bytes from the start of the disk. */
  readonly start: number;
  readonly length: number;
  readonly type: string;
  readonly label?: string;
  /** By which systems know it: the GUID of a GPT's partition. */
  readonly unique?: string;
  readonly certainty: Certainty;
  /** Position of the entry itself. */
  readonly entryAt: number;
}

/** The node of a table; `entries` and `damage` may still grow while the table is being read. */
export function tableNode(
  format: Format,
  disk: Source,
  cx: Cx,
  entries: readonly Entry[],
  damage: readonly Damage[],
): Node {
  const one = (entry: Entry): Node => partitionNode(format, disk, cx, entry);
  return {
    name: format.id,
    rawName: format.id,
    locator: cx.self,
    kind: 'volume',
    state: 'live',
    format: format.title,
    facts: { size: disk.size },
    damage,
    async child(rawName) {
      const entry = entries.find((e) => rawName === `p${e.number}`);
      return entry === undefined ? undefined : one(entry);
    },
    async *children() {
      for (const entry of entries) yield one(entry);
    },
  };
}

function partitionNode(format: Format, disk: Source, cx: Cx, entry: Entry): Node {
  const name = `p${entry.number}`;
  const damage: Damage[] = [];
  const past = entry.start + entry.length - disk.size;
  if (past > 0) {
    const expected = `partition ${name} to end at ${hex(entry.start + entry.length)}`;
    const effect = `its last ${Math.min(past, entry.length)} bytes are missing; look for the rest of the image`;
    damage.push(cx.damage(entry.start, `${format.id}.past-end`, expected, `a disk of ${hex(disk.size)} bytes`, effect));
  }
  const why: Why = {
    what: `${format.title} entry ${entry.number}`,
    source: disk,
    at: entry.entryAt,
    ...(entry.certainty <= INFERRED && { code: `${format.id}.unchecked` }),
  };
  return {
    name,
    rawName: name,
    locator: `${cx.self}/${name}`,
    kind: 'partition',
    state: 'live',
    facts: {
      size: entry.length,
      details: {
        type: entry.type,
        start: entry.start,
        ...(entry.label !== undefined && { label: entry.label }),
        ...(entry.unique !== undefined && { unique: entry.unique }),
      },
    },
    damage,
    bytes: async () => slice(disk, entry.start, entry.length, entry.certainty, why),
  };
}

/** The table of internal snapshots. Source: qcow2.md section 5. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { MAX_LIST, MAX_SIZE, snapshotEntry, snapshotExtra } from './structs.ts';

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1At: number;
  readonly l1Entries: number;
  readonly created: number;
  readonly stateSize: number;
  /** Of the disk when it was taken; undefined where the table does not say. */
  readonly diskSize: number | undefined;
  /** Bytes from the start of the file. */
  readonly at: number;
}

export interface SnapshotTable {
  readonly list: readonly Snapshot[];
  readonly at: number;
  /** Bytes. */
  readonly length: number;
}

/** Reads `count` entries as far as they make sense. */
export async function readSnapshots(
  file: Source,
  at: number,
  count: number,
  cx: Cx,
  damage: Damage[],
): Promise<SnapshotTable> {
  if (count === 0) return { list: [], at, length: 0 };
  const room = at > 0 && at < file.size ? Math.min(MAX_LIST, file.size - at, count * 4096) : 0;
  const bytes = new Uint8Array(room);
  const gaps = room === 0 ? [] : await file.read(at, bytes);
  const whole = gaps.length === 0 ? bytes : bytes.subarray(0, Math.min(...gaps.map((gap) => gap.offset - at)));
  const { list, length } = parseSnapshots(whole, at, count, file.size);
  if (list.length < count) {
    const effect = 'the other snapshots are looked for by their L1 tables';
    damage.push(
      cx.damage(room > 0 ? at : 60, 'qcow2.snapshots', `${count} snapshots`, `${list.length} that make sense`, effect),
    );
  }
  return { list, at, length };
}

/** Entries one behind the other, up to the first that makes no sense. */
export function parseSnapshots(
  bytes: Uint8Array,
  at: number,
  count: number,
  end: number,
): { list: Snapshot[]; length: number } {
  const list: Snapshot[] = [];
  let position = 0;
  while (list.length < count && position + snapshotEntry.size <= bytes.length) {
    const entry = snapshotEntry.decode(bytes, position);
    const names = position + snapshotEntry.size + entry.extraLength;
    const stop = names + entry.idLength + entry.nameLength;
    const fits = entry.l1At > 0 && entry.l1At % 512 === 0 && entry.l1At < end && entry.l1Entries > 0;
    if (!fits || stop > bytes.length || snapshotEntry.violations(entry).length > 0) break;
    const hasExtra = entry.extraLength >= snapshotExtra.size;
    const extra = hasExtra ? snapshotExtra.decode(bytes, position + snapshotEntry.size) : undefined;
    const sized = extra !== undefined && extra.diskSize > 0 && extra.diskSize <= MAX_SIZE;
    list.push({
      id: latin1(bytes, names, entry.idLength),
      name: latin1(bytes, names + entry.idLength, entry.nameLength),
      l1At: entry.l1At,
      l1Entries: entry.l1Entries,
      created: entry.seconds,
      stateSize: extra !== undefined && extra.stateSize <= MAX_SIZE ? extra.stateSize : entry.stateSize,
      diskSize: sized ? extra.diskSize : undefined,
      at: at + position,
    });
    position = Math.ceil(stop / 8) * 8;
  }
  return { list, length: position };
}

/** Names of snapshots, each once: what two share is told apart by a number. */
export function uniqueNames(list: readonly Snapshot[]): string[] {
  const used = new Set<string>();
  return list.map(({ id, name, at }) => {
    const wanted = name || id || `at${hex(at)}`;
    let unique = wanted;
    for (let n = 2; used.has(unique); n++) unique = `${wanted};${n}`;
    used.add(unique);
    return unique;
  });
}

/** One pass over all records: who calls which directory its own. Names come back where indexes are lost by it. */
import { type Name, namesIn } from './file.ts';
import type { Entry } from './indexes.ts';
import { isInUse } from './record.ts';
import { RECORD_DIRECTORY, ROOT_RECORD } from './structs.ts';
import type { Volume } from './volume.ts';

/** Names that are kept. */
const MAX_NAMES = 8_000_000;

export interface Known {
  readonly number: number;
  readonly sequence: number;
  readonly isLive: boolean;
  readonly isDirectory: boolean;
  readonly names: readonly Name[];
  readonly at: number;
}

/** What a name's parent is. */
type Parent = 'root' | 'live' | 'deleted' | 'lost';

export class Census {
  readonly known = new Map<number, Known>();
  #children: Map<number, Known[]> | undefined;

  /** Reads all records of a volume once. */
  static async take(volume: Volume): Promise<Census> {
    const out = new Census();
    const more = new Map<number, { sequence: number; names: Name[] }>();
    let count = 0;
    for await (const block of volume.records.all(volume.cx.signal)) {
      for (const record of block) {
        const names = namesIn(record.attributes);
        if (names.length === 0 || count > MAX_NAMES) continue;
        count += names.length;
        if (record.base !== 0) {
          // A file of many names has some of them in other records than its first.
          if (isInUse(record)) more.set(record.base, { sequence: record.baseSequence, names });
          continue;
        }
        const { number, sequence, place } = record;
        const isDirectory = (record.flags & RECORD_DIRECTORY) !== 0;
        out.known.set(number, { number, sequence, isLive: isInUse(record), isDirectory, names, at: place });
      }
    }
    for (const [number, { sequence, names }] of more) {
      const one = out.known.get(number);
      if (one?.sequence === sequence) out.known.set(number, { ...one, names: [...one.names, ...names] });
    }
    return out;
  }

  /** Live files that name a directory as theirs. `sequence` is the directory's; absent where its record is lost. */
  childrenOf(number: number, sequence: number | undefined): Entry[] {
    const out: Entry[] = [];
    for (const one of this.#byParent().get(number) ?? []) {
      for (const name of one.names) {
        if (name.parent !== number || name.isDos || (sequence !== undefined && name.parentSequence !== sequence))
          continue;
        if (one.number !== ROOT_RECORD)
          out.push({ ...name, record: one.number, sequence: one.sequence, at: one.at, doubt: undefined });
      }
    }
    return out.sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  }

  /** The directory that a name stands in, and whether it is still what it was. */
  parentOf(name: Name): { readonly is: Parent; readonly directory?: Known } {
    if (name.parent === ROOT_RECORD) return { is: 'root' };
    const directory = this.known.get(name.parent);
    if (directory?.isDirectory !== true) return { is: 'lost' };
    // Freeing a record makes its sequence one more.
    const was = directory.isLive ? directory.sequence : directory.sequence - 1;
    if (was !== name.parentSequence) return { is: 'lost' };
    return { is: directory.isLive ? 'live' : 'deleted', directory };
  }

  #byParent(): Map<number, Known[]> {
    if (this.#children !== undefined) return this.#children;
    this.#children = new Map();
    for (const one of this.known.values()) {
      if (!one.isLive) continue;
      for (const parent of new Set(one.names.map((name) => name.parent))) {
        const list = this.#children.get(parent);
        if (list === undefined) this.#children.set(parent, [one]);
        else list.push(one);
      }
    }
    return this.#children;
  }
}

/** The name that people know a file by. */
export function bestName({ names }: Known): Name {
  return names.find((name) => !name.isDos) ?? names[0];
}

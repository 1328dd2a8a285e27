/** What stands in a directory: by its index, and where that is damaged by what files say of themselves. */
import { Batches } from '../../../core/batches.ts';
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES, MAX_ENTRIES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { bare, whyNotWalked } from '../posix.ts';
import { type File, isNamed } from './file.ts';
import { addNodes, type Place } from './files.ts';
import { type Entry, Index } from './indexes.ts';
import type { Doubt, FileRecord } from './record.ts';
import { isRecycled, originOf } from './recycled.ts';
import { ROOT_RECORD } from './structs.ts';
import type { Volume } from './volume.ts';

/** Entries that are made nodes at once. */
const BATCH = 256;

/** The children of a directory. `file` is absent where its record is lost; `only` is the one name that is wanted. */
export function childrenOf(
  volume: Volume,
  file: File | undefined,
  number: number,
  place: Place,
  damage: Damage[],
  failed: string | undefined,
  only?: string,
): Batches<Node> {
  return new Batches(batchesOf(volume, file, number, place, damage, failed, only));
}

async function* batchesOf(
  volume: Volume,
  file: File | undefined,
  number: number,
  place: Place,
  damage: Damage[],
  failed: string | undefined,
  only?: string,
): AsyncGenerator<readonly Node[]> {
  const state = { isDamaged: file === undefined };
  const report = (doubt: Doubt): void => {
    state.isDamaged = true;
    // A directory is listed more than once; what is wrong with it is said once.
    const note = volume.note(doubt, 'entries of this directory may be missing; files that name it as theirs are added');
    if (damage.length < MAX_DAMAGES && !damage.some((d) => d.at === note.at && d.code === note.code)) damage.push(note);
  };
  const refusal = whyNotWalked('ntfs.directory', number, place, volume.directories, `record ${number} again`);
  if (refusal !== undefined) return report({ at: file?.record.place ?? 0, ...refusal });
  const above = [...place.above, number];
  const lister = new Lister(volume, place, above, only);
  if (file !== undefined) {
    const code = failed ?? file.record.doubts[0]?.code;
    for await (const batch of new Index(volume, file, report, code).batches()) {
      yield await lister.nodes(batch);
    }
    if (lister.count > MAX_ENTRIES) {
      const expected = `at most ${MAX_ENTRIES} entries`;
      return report({ at: file.record.place, code: 'ntfs.directory.entries', expected, actual: 'more' });
    }
  }
  if (!state.isDamaged) return;
  const sequence = file?.record.sequence;
  const more = (await volume.census()).childrenOf(number, sequence).filter((one) => !lister.had(one));
  for (let i = 0; i < more.length; i += BATCH) yield await lister.nodes(more.slice(i, i + BATCH));
}

/** Makes nodes of the entries of one directory. */
class Lister {
  readonly #volume: Volume;
  readonly #place: Place;
  readonly #above: readonly number[];
  readonly #only: string | undefined;
  readonly #isBin: boolean;
  readonly #names = new Map<string, number>();
  count = 0;

  constructor(volume: Volume, place: Place, above: readonly number[], only: string | undefined) {
    this.#volume = volume;
    this.#place = place;
    this.#above = above;
    this.#only = only;
    this.#isBin = isRecycled(place.locator);
  }

  /** Whether an entry's name was met already. */
  had(entry: Entry): boolean {
    return this.#names.has(entry.name);
  }

  /** Nodes of all entries that are wanted, and of their streams. */
  async nodes(entries: readonly Entry[]): Promise<Node[]> {
    const isRoot = this.#above.length === 1 && this.#above[0] === ROOT_RECORD;
    const wanted: [Entry, string][] = [];
    for (const entry of entries) {
      if (entry.isDos || (isRoot && entry.name === '.') || ++this.count > MAX_ENTRIES) continue;
      const before = this.#names.get(entry.name) ?? 0;
      this.#names.set(entry.name, before + 1);
      const rawName = before === 0 ? entry.name : `${entry.name};${before + 1}`;
      // Whoever asks for one name does not need the records of all others.
      const isWanted = this.#only === undefined || rawName === this.#only || this.#only.startsWith(`${rawName}:`);
      if (isWanted) wanted.push([entry, rawName]);
    }
    const out: Node[] = [];
    if (wanted.length === 0) return out;
    const records = await this.#volume.records.many(wanted.map(([entry]) => entry.record));
    for (const [entry, rawName] of wanted) {
      const record = records.get(entry.record);
      const added = this.#isBin
        ? this.#addFromBin(entry, rawName, record, out)
        : this.#add(entry, rawName, record, undefined, out);
      // Nearly all are there at once, and a promise costs more than that.
      if (added !== undefined) await added;
    }
    return out;
  }

  async #addFromBin(entry: Entry, rawName: string, record: FileRecord | undefined, out: Node[]): Promise<void> {
    const origin = await originOf(this.#volume, this.#above.at(-1)!, entry);
    await this.#add(entry, rawName, record, origin, out);
  }

  #add(
    entry: Entry,
    rawName: string,
    record: FileRecord | undefined,
    origin: Awaited<ReturnType<typeof originOf>>,
    out: Node[],
  ): Promise<void> | undefined {
    const volume = this.#volume;
    const { state, locator: base } = this.#place;
    const locator = `${base}/${encodeName(rawName)}`;
    const own = { locator, rawName, above: this.#above };
    const place: Place =
      state === undefined && origin === undefined ? own : { ...own, ...(state && { state }), ...origin };
    const isOther = record !== undefined && record.sequence !== entry.sequence;
    if (record === undefined || isOther || record.base !== 0) {
      const effect = `${printable(entry.name)} is known by name only; its bytes are missing`;
      const actual = isOther ? 'one of another file' : 'one that is free, or none that can be read';
      const expected = `record ${entry.record} of generation ${entry.sequence}`;
      const code = isOther ? 'ntfs.entry.sequence' : 'ntfs.record.missing';
      out.push(bare(place, 'file', {}, [volume.cx.damage(Math.max(0, entry.at), code, expected, actual, effect)]));
      return undefined;
    }
    const doubts: Doubt[] = [];
    if (entry.doubt !== undefined) {
      const expected = 'a node of a directory whose checks agree';
      doubts.push({ at: entry.at, code: entry.doubt, expected, actual: 'one whose check fails' });
    }
    // Names of files with many attributes may stand in other records than the first.
    const found = volume.file(record);
    return found instanceof Promise
      ? found.then((file) => this.#addFile(file, entry, place, doubts, out))
      : this.#addFile(found, entry, place, doubts, out);
  }

  #addFile(file: File, entry: Entry, place: Place, doubts: Doubt[], out: Node[]): Promise<void> | undefined {
    const parent = this.#above.at(-1)!;
    if (!isNamed(file.attributes, entry.name, parent)) {
      const expected = `a file that calls itself ${printable(entry.name)}`;
      doubts.push({ at: entry.at, code: 'ntfs.entry.name', expected, actual: 'one with another name' });
    }
    return addNodes(this.#volume, file, place, doubts, [], out);
  }
}

/** What an inode that is gone was called: entries say the number of an inode only, which many files had in turn. */

import { printable } from '../../core/locator.ts';

/** A name, and the directory that it stood in. */
export interface Name {
  readonly name: string;
  readonly parent: number;
}

/** The name that fits best. */
export interface Called extends Name {
  /** The others that fit as well as it does, where there are some. */
  readonly others: readonly string[];
}

/** A name that an inode had at some time. */
export interface Candidate extends Name {
  /** When it stood there, in transactions; undefined of what was left over when an entry was removed. */
  readonly order: number | undefined;
}

/** When a file had its inode, in transactions. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** Names that are kept of one inode. */
const MAX_NAMES = 64;

export class Names {
  readonly #known = new Map<number, Candidate[]>();

  add(number: number, one: Candidate): void {
    const list = this.#known.get(number) ?? [];
    if (list.length === 0) this.#known.set(number, list);
    const same = list.findIndex(({ name, parent, order }) => {
      return name === one.name && parent === one.parent && order === one.order;
    });
    if (same < 0 && list.length < MAX_NAMES) list.push(one);
  }

  /** What a file was called that had an inode in `span`; undefined where nobody says. */
  of(number: number, span: Span | undefined): Called | undefined {
    const list = this.#known.get(number) ?? [];
    const timed = list.filter(({ order }) => order !== undefined).sort((a, b) => b.order! - a.order!);
    const isWithin = ({ order }: Candidate): boolean =>
      span !== undefined && order! >= span.first && order! <= span.last;
    const sure = timed.find(isWithin);
    if (sure !== undefined) return { ...sure, others: [] };
    // Entries of other times are of others that had the inode, or of this one where its copies are no more.
    const before = timed.find(({ order }) => span === undefined || order! < span.first);
    const left = list.filter(({ order }) => order === undefined);
    const best = left[0] ?? before ?? timed.at(-1);
    if (best === undefined) return undefined;
    const names = new Set(list.map(({ name }) => name));
    names.delete(best.name);
    return { name: best.name, parent: best.parent, others: [...names] };
  }
}

/** What to say of a name: whether it is known, and which others it may have been. */
export function called(name: Called | undefined): Readonly<Record<string, string | boolean>> {
  const others = name?.others ?? [];
  const known = { nameKnown: name !== undefined && others.length === 0 };
  return others.length === 0 ? known : { ...known, otherNames: others.map(printable).join(', ') };
}

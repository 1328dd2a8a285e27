/** How certain a file's bytes are, and which are missing, counted from its runs. */
import { CHUNK } from '../codec/tree-hash.ts';
import { FileSource } from '../core/evidence.ts';
import { MAX_GAPS } from '../core/limits.ts';
import { flatten } from '../core/resolve.ts';
import { CERTAINTY_NAMES, DATA, INFERRED, LOST, MISSING, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import type { CertaintyBytes, FileEntry } from './manifest.ts';

export class Summary {
  /** Bytes by certainty, weakest first. */
  readonly #bytes = [0, 0, 0, 0, 0];
  readonly #gaps: [number, number][] = [];
  readonly #reasons = new Map<string, number>();
  #at = 0;
  /** Bytes that lie somewhere, as opposed to zeros by definition and gaps. */
  data = 0;
  /** Bytes of gaps that may share a chunk with something else: what large files have to be filled with. */
  edges = 0;

  /** Counts runs that continue where the last ones ended. */
  add(list: RunList): void {
    for (let i = 0; i < list.n; i++) {
      const length = list.length[i];
      const isMissing = list.state(i) === MISSING;
      const certainty = isMissing ? LOST : list.certainty(i);
      this.#bytes[certainty] += length;
      if (list.state(i) === DATA) this.data += length;
      if (certainty <= INFERRED) {
        const code = list.why(i)?.code ?? (isMissing ? 'missing' : 'unspecified');
        this.#reasons.set(code, (this.#reasons.get(code) ?? 0) + length);
      }
      if (isMissing) {
        this.#gap(this.#at, length);
        this.edges += Math.min(length, 2 * CHUNK);
      }
      this.#at += length;
    }
  }

  get lost(): number {
    return this.#bytes[LOST];
  }

  /** What the manifest says of it. `intact`: nothing is known to be wrong with what describes the file. */
  entry(intact: boolean): Pick<FileEntry, 'certainty' | 'gaps' | 'reasons'> {
    const [missing, guessed, inferred, stated, verified] = this.#bytes;
    const bytes: CertaintyBytes = { verified, stated, inferred, guessed, missing };
    const weakest = this.#bytes.findIndex((count) => count > 0);
    const worst = weakest >= 0 ? CERTAINTY_NAMES[weakest] : intact ? 'stated' : 'inferred';
    const reasons = [...this.#reasons].map(([code, count]) => ({ code, bytes: count }));
    return { certainty: { worst, bytes }, gaps: this.#gaps, reasons };
  }

  #gap(offset: number, length: number): void {
    const last = this.#gaps[this.#gaps.length - 1];
    if (last !== undefined && (last[0] + last[1] === offset || this.#gaps.length >= MAX_GAPS)) {
      last[1] = offset + length - last[0];
    } else this.#gaps.push([offset, length]);
  }
}

const spare: RunList[] = [];

/** Walks all runs of a source once; `each` sees every list. `follow`: how they are followed, if not just so. */
export async function summarize(
  source: Source,
  each?: (list: RunList) => void,
  follow: typeof flatten = flatten,
): Promise<Summary> {
  const summary = new Summary();
  // One list serves one file after the other: thousands of small files would each leave theirs to be collected.
  const list = spare.pop() ?? new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    const reached = follow(source, at, source.size, list);
    at = typeof reached === 'number' ? reached : await reached;
    summary.add(list);
    each?.(list);
  }
  list.clear();
  spare.push(list);
  return summary;
}

/** For what has no bytes of its own: all that is known is whether something is wrong with it. */
export function nothingCounted(worst: string): Pick<FileEntry, 'certainty' | 'gaps' | 'reasons'> {
  const bytes = { verified: 0, stated: 0, inferred: 0, guessed: 0, missing: 0 };
  return { certainty: { worst, bytes }, gaps: [], reasons: [] };
}

/** The evidence that a disk's bytes lie in. */
export async function bottomsOf(disk: Source): Promise<FileSource[]> {
  const bottoms = new Set<FileSource>();
  await summarize(disk, (list) => {
    for (let i = 0; i < list.n; i++) {
      const source = list.state(i) === DATA ? list.sourceOf(i) : undefined;
      if (source instanceof FileSource) bottoms.add(source);
    }
  });
  return [...bottoms];
}

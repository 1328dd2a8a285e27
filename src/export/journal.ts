/**
 * DIR/.salvor/journal.ndjson: what a run did, so that the same command can go on after any end.
 *
 * What is believed of it. `cp` does not wait for the disk, and neither does a recovery: bytes are handed to the system
 * and noted here at once. After a kill the system still has them; after a loss of power it may not. So:
 *   - about every 10 s the output being written is synced in the background, then a `synced` line says how many of its
 *     chunks were in it; these are believed as they stand, and the state of the tree hash is taken from that line;
 *   - every other chunk, and every finished file, is believed only after it was read again and has the noted hash;
 *   - anything else is copied again.
 * Names are noted before they are made, so whatever lies under a noted name is this program's own. Lines are appended
 * in order; a last line without its end, torn by a kill, is cut off.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Taken } from '../codec/tree-hash.ts';
import { ExportError, reason } from './error.ts';
import type { EvidenceEntry, FileEntry } from './manifest.ts';

/** Bytes of the journal read at a time. */
const READ = 1024 * 1024;

export interface Header {
  readonly schema: 1;
  readonly command: readonly string[];
  readonly evidence: readonly EvidenceEntry[];
  /** Options that make a difference to what is written. */
  readonly options: Readonly<Record<string, unknown>>;
}

type Line =
  | ({ readonly t: 'run' } & Header)
  | { readonly t: 'dir'; readonly path: string }
  | { readonly t: 'file'; readonly path: string; readonly locator: string }
  /** Leaves in hex, or numbers of zero chunks, from chunk `at` on. */
  | { readonly t: 'leaves'; readonly path: string; readonly at: number; readonly leaves: readonly (string | number)[] }
  | { readonly t: 'synced'; readonly path: string; readonly chunks: number; readonly tops: readonly string[] }
  /** A stretch of evidence that could not be read. */
  | { readonly t: 'bad'; readonly path: string; readonly from: number; readonly end: number }
  | { readonly t: 'done'; readonly entry: FileEntry };

/** What earlier runs noted of one file. */
export interface PastFile {
  readonly locator: string;
  /** Chunks that are safe on the disk, and the tops of their tree. */
  synced?: { readonly chunks: number; readonly tops: readonly Uint8Array[] };
  /** Leaves noted after that, by chunk. */
  readonly leaves: Map<number, Uint8Array>;
  done?: FileEntry;
}

export interface Past {
  readonly header: Header | undefined;
  readonly directories: ReadonlySet<string>;
  readonly files: ReadonlyMap<string, PastFile>;
  readonly bad: readonly { readonly path: string; readonly from: number; readonly end: number }[];
  /** Bytes of whole lines. */
  readonly length: number;
}

export function journalPath(dir: string): string {
  return path.join(dir, '.salvor', 'journal.ndjson');
}

/** What is noted in a directory; undefined where there is no journal. Throws ExportError('journal') on nonsense. */
export function readJournal(dir: string): Past | undefined {
  const file = journalPath(dir);
  let fd: number;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw new ExportError('journal', `${file} cannot be read: ${reason(error)}. Give another directory with --out.`);
  }
  try {
    return collect(linesOf(fd), file);
  } finally {
    fs.closeSync(fd);
  }
}

/** Whole lines, and where each ends. */
function* linesOf(fd: number): Generator<{ text: string; end: number }> {
  let rest = Buffer.alloc(0);
  let end = 0;
  for (let at = 0; ; ) {
    const block = Buffer.alloc(READ);
    const got = fs.readSync(fd, block, 0, READ, at);
    if (got === 0) return;
    at += got;
    rest = Buffer.concat([rest, block.subarray(0, got)]);
    let start = 0;
    for (let stop = rest.indexOf(10); stop >= 0; stop = rest.indexOf(10, start)) {
      end += stop + 1 - start;
      yield { text: rest.toString('utf8', start, stop), end };
      start = stop + 1;
    }
    rest = rest.subarray(start);
  }
}

function collect(lines: Iterable<{ text: string; end: number }>, file: string): Past {
  let header: Header | undefined;
  let length = 0;
  const directories = new Set<string>();
  const files = new Map<string, PastFile>();
  const bad: { path: string; from: number; end: number }[] = [];
  for (const { text, end } of lines) {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      break; // what follows was torn by a loss of power; it is not believed, and cut off
    }
    length = end;
    if (line.t === 'run') header = line;
    else if (line.t === 'dir') directories.add(line.path);
    else if (line.t === 'bad') bad.push(line);
    else if (line.t === 'file') files.set(line.path, { locator: line.locator, leaves: new Map() });
    else if (line.t === 'done') {
      const known = files.get(line.entry.path);
      if (known !== undefined) known.done = line.entry;
    } else collectChunks(files.get(line.path), line);
  }
  if (length > 0 && header?.schema !== 1) {
    const next = 'Give another directory with --out, or the version of salvor that wrote it.';
    throw new ExportError('journal', `${file} does not start like a journal of schema 1. ${next}`);
  }
  return { header, directories, files, bad, length };
}

function collectChunks(file: PastFile | undefined, line: Line): void {
  if (file === undefined) return;
  if (line.t === 'synced') {
    file.synced = { chunks: line.chunks, tops: line.tops.map((top) => Buffer.from(top, 'hex')) };
    for (const chunk of file.leaves.keys()) if (chunk < line.chunks) file.leaves.delete(chunk);
  } else if (line.t === 'leaves') {
    let chunk = line.at;
    for (const leaf of line.leaves) {
      if (typeof leaf === 'string') file.leaves.set(chunk, Buffer.from(leaf, 'hex'));
      chunk += typeof leaf === 'string' ? 1 : leaf;
    }
  }
}

/** The journal of the run under way: appends, never changes. */
export class Journal {
  readonly #fd: number;

  /** Goes on behind what `past` holds, or starts anew. */
  constructor(dir: string, past: Past | undefined, header: Header) {
    const { O_CREAT, O_RDWR, O_NOFOLLOW } = fs.constants;
    this.#fd = fs.openSync(journalPath(dir), O_CREAT | O_RDWR | O_NOFOLLOW, 0o600);
    fs.ftruncateSync(this.#fd, past?.length ?? 0);
    this.#at = past?.length ?? 0;
    if (past?.header === undefined) this.add({ t: 'run', ...header });
  }

  #at: number;

  add(...lines: readonly Line[]): void {
    const bytes = Buffer.from(`${lines.map((line) => JSON.stringify(line)).join('\n')}\n`, 'utf8');
    for (let done = 0; done < bytes.length; ) {
      const wrote = fs.writeSync(this.#fd, bytes, done, bytes.length - done, this.#at);
      done += wrote;
      this.#at += wrote;
    }
  }

  leaves(file: string, at: number, leaves: readonly Taken[]): void {
    const written = leaves.map((leaf) => (typeof leaf === 'number' ? leaf : Buffer.from(leaf).toString('hex')));
    this.add({ t: 'leaves', path: file, at, leaves: written });
  }

  synced(file: string, chunks: number, tops: readonly Uint8Array[]): void {
    this.add({ t: 'synced', path: file, chunks, tops: tops.map((top) => Buffer.from(top).toString('hex')) });
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/**
 * GNU ddrescue's mapfile: which bytes of a device a copy of it holds. Text, one line per block of one status.
 *
 *   ?  not tried yet    *  failed, edges not tried    /  failed, inside not tried    -  bad sectors    +  had
 */

export type Status = '?' | '*' | '/' | '-' | '+';
/** What the copying program does, or did last: a status it works on, F or G for other modes of ddrescue, + finished. */
export type Activity = Status | 'F' | 'G';

/** Bytes of a mapfile that are read; ddrescue's own stay far below. */
export const MAX_MAPFILE_BYTES: number = 64 * 1024 * 1024;
/** Blocks of one mapfile. */
const MAX_BLOCKS = 2_000_000;
const LINE = /^\s*(0x[0-9a-f]{1,16}|\d{1,20})\s+(0x[0-9a-f]{1,16}|\d{1,20})\s+([?*/+-])\s*(#.*)?$/i;
const CURRENT = /^\s*(0x[0-9a-f]{1,16}|\d{1,20})\s+([?*/+FG-])(?:\s+(\d{1,9}))?\s*(#.*)?$/i;
const STARTED = /^# Start time:\s+(\S.*\S)\s*$/;

/** A text that is no mapfile. The message names the line, what was expected there and what is there. */
export class MapfileError extends Error {}

/** A stretch of one status, in bytes. */
export interface Block {
  readonly at: number;
  readonly end: number;
  readonly status: Status;
}

/** The status of every byte of [0, size). Neighbours of one status are always one block. */
export class StatusMap {
  /** Bytes. */
  readonly size: number;
  position = 0;
  activity: Activity = '?';
  pass = 1;
  /** When the copy was begun, as the mapfile's comment says. */
  started: string | undefined;
  readonly #starts: number[] = [];
  readonly #statuses: Status[] = [];

  /** `size` in bytes; nothing is tried yet. */
  constructor(size: number) {
    this.size = size;
    if (size === 0) return;
    this.#starts.push(0);
    this.#statuses.push('?');
  }

  get count(): number {
    return this.#starts.length;
  }

  block(i: number): Block {
    return { at: this.#starts[i], end: this.#starts[i + 1] ?? this.size, status: this.#statuses[i] };
  }

  *blocks(): Generator<Block> {
    for (let i = 0; i < this.count; i++) yield this.block(i);
  }

  /** Bytes of one status. */
  bytes(status: Status): number {
    let sum = 0;
    for (const block of this.blocks()) if (block.status === status) sum += block.end - block.at;
    return sum;
  }

  /** What is left of the first block of `status` that ends behind `from`. */
  next(from: number, status: Status): Block | undefined {
    if (from >= this.size) return undefined;
    for (let i = this.#index(from); i < this.count; i++) {
      if (this.#statuses[i] === status) return { ...this.block(i), at: Math.max(from, this.#starts[i]) };
    }
    return undefined;
  }

  /** What is left of the last block of `status` that starts before `before`. */
  previous(before: number, status: Status): Block | undefined {
    if (before <= 0 || this.size === 0) return undefined;
    for (let i = this.#index(Math.min(before, this.size) - 1); i >= 0; i--) {
      const block = this.block(i);
      if (block.status === status) return { ...block, end: Math.min(before, block.end) };
    }
    return undefined;
  }

  /** Gives [from, end) one status. */
  set(from: number, end: number, status: Status): void {
    if (from >= end) return;
    if (from < 0 || end > this.size) throw new RangeError(`[${from}, ${end}) is outside of ${this.size} bytes`);
    let first = this.#index(from);
    const last = this.#index(end - 1);
    const { end: lastEnd, status: after } = this.block(last);
    const starts: number[] = [];
    const statuses: Status[] = [];
    const put = (at: number, what: Status): void => {
      const before = statuses.at(-1) ?? (first > 0 ? this.#statuses[first - 1] : undefined);
      if (before === what) return;
      starts.push(at);
      statuses.push(what);
    };
    if (this.#starts[first] < from) first++;
    put(from, status);
    let stop = last + 1;
    if (lastEnd > end) put(end, after);
    else if (stop < this.count && this.#statuses[stop] === status) stop++;
    if (starts.length === stop - first) {
      // A border that moves, as with every sector in a row: nothing behind it has to.
      for (const [i, start] of starts.entries()) this.#starts[first + i] = start;
      for (const [i, one] of statuses.entries()) this.#statuses[first + i] = one;
      return;
    }
    this.#starts.splice(first, stop - first, ...starts);
    this.#statuses.splice(first, stop - first, ...statuses);
  }

  /** The block that holds byte `at`. */
  #index(at: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#starts[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/**
 * Reads a mapfile, as ddrescue 1.6 and later write it. What its blocks do not cover counts as not tried.
 * `size`: bytes of the device, where they are known; a last block that is open-ended ("to the end, wherever that is")
 * is cut there. Throws MapfileError.
 */
export function parseMapfile(text: string, size?: number): StatusMap {
  let current: RegExpExecArray | undefined;
  let started: string | undefined;
  const blocks: Block[] = [];
  let number = 0;
  for (const line of text.split('\n')) {
    number++;
    if (/^\s*(#|$)/.test(line)) {
      started ??= STARTED.exec(line)?.[1];
      continue;
    }
    if (current === undefined) {
      current = CURRENT.exec(line) ?? wrong(number, 'a position, a status and a pass', line);
      continue;
    }
    const match = LINE.exec(line) ?? wrong(number, 'position, size and one of ? * / - +', line);
    const at = Number(match[1]);
    const end = at + Number(match[2]);
    const before = blocks.at(-1);
    if (at !== (before?.end ?? at))
      wrong(number, `a block that starts at ${before?.end}, where the one before ends`, line);
    if (end <= at) wrong(number, 'a block of one byte or more', line);
    if (blocks.push({ at, end, status: match[3] as Status }) > MAX_BLOCKS) {
      wrong(number, `no more than ${MAX_BLOCKS} blocks`, line);
    }
  }
  if (current === undefined) return wrong(number, 'a position, a status and a pass', '');
  const map = new StatusMap(sizeOf(blocks, size));
  for (const { at, end, status } of blocks) map.set(Math.min(at, map.size), Math.min(end, map.size), status);
  map.position = Number(current[1]);
  map.activity = current[2].toUpperCase() as Activity;
  map.pass = Number(current[3] ?? 1);
  map.started = started;
  return map;
}

/** The end of the last block, or of the device where that block is open-ended and only says "not tried". */
function sizeOf(blocks: readonly Block[], size: number | undefined): number {
  const last = blocks.at(-1);
  if (last === undefined) return size ?? 0;
  if (last.end <= Number.MAX_SAFE_INTEGER) return last.end;
  return Math.max(last.at, size ?? 0);
}

function wrong(line: number, expected: string, actual: string): never {
  const shown = actual.length > 60 ? `${actual.slice(0, 60)}…` : actual;
  throw new MapfileError(`line ${line}: expected ${expected}, found ${JSON.stringify(shown)}`);
}

/** The lines before the blocks. `comments` go without '#'. */
export function mapfileHead(comments: readonly string[], position: number, activity: Activity, pass: number): string {
  return [
    '# Mapfile. Created by Salvor',
    ...comments.map((comment) => `# ${comment}`),
    '# current_pos  current_status  current_pass',
    `${hexed(position)}     ${activity}               ${pass}`,
    '#      pos        size  status',
    '',
  ].join('\n');
}

/** One line. */
export function mapfileBlock({ at, end, status }: Block): string {
  return `${hexed(at)}  ${hexed(end - at)}  ${status}\n`;
}

/** A whole mapfile. */
export function formatMapfile(map: StatusMap, comments: readonly string[]): string {
  const parts = [mapfileHead(comments, map.position, map.activity, map.pass)];
  for (const block of map.blocks()) parts.push(mapfileBlock(block));
  return parts.join('');
}

function hexed(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(8, '0')}`;
}

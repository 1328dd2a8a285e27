/** The coded data of a JPEG: decoded where it is sequential, so that foreign bytes in it are noticed where they begin. */
import type { Content } from '../../core/carver.ts';

export interface Component {
  readonly id: number;
  readonly across: number;
  readonly down: number;
  /** Of a progressive picture: which values of its blocks are not zero so far, 64 a block; they say how finer parts are coded. */
  set?: Uint8Array;
}

/** Blocks of a component whose values are kept; finer parts of larger ones are not decoded. */
const MAX_BLOCKS = 1_000_000;

/** Codes by their length: the first of each length, and where its symbols begin. */
export interface Table {
  /** Per length: codes below this one (as 16 bits, left-aligned) have it. */
  readonly limit: Int32Array;
  readonly first: Int32Array;
  readonly start: Int32Array;
  readonly symbols: Uint8Array;
}

/** A table from the number of codes of each length; undefined where there can be none. */
export function tableOf(counts: Uint8Array, symbols: Uint8Array): Table | undefined {
  const limit = new Int32Array(17);
  const first = new Int32Array(17);
  const start = new Int32Array(17);
  let code = 0;
  let at = 0;
  for (let length = 1; length <= 16; length++) {
    first[length] = code;
    start[length] = at;
    code += counts[length - 1];
    at += counts[length - 1];
    if (code > 2 ** length) return undefined;
    limit[length] = code * 2 ** (16 - length);
    code *= 2;
  }
  return { limit, first, start, symbols: symbols.slice() };
}

/** What the header of a picture says. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly isBaseline: boolean;
  readonly isProgressive: boolean;
  readonly components: readonly Component[];
}

interface End {
  readonly at: number;
  /** Everything up to it was as it should be. */
  readonly isSound: boolean;
}

const PIECE = 64 * 1024;
/** Bytes of coded data that are judged together: they look random, and never hold a run of zeros. */
const LOOK = 512;
const LEAST_HIGH = 96;
/** Looks at what does not seem coded before what is decoded is given up: 64 KiB. */
const PATIENCE = 128;

/** Finds the end of one scan. */
export class Scan {
  readonly #file: Content;
  readonly #from: number;
  readonly #frame: Frame;
  readonly #header: Uint8Array;
  readonly #tables: ReadonlyMap<number, Table>;
  readonly #restart: number;

  constructor(
    file: Content,
    from: number,
    frame: Frame,
    header: Uint8Array,
    tables: ReadonlyMap<number, Table>,
    restart: number,
  ) {
    this.#file = file;
    this.#from = from;
    this.#frame = frame;
    this.#header = header;
    this.#tables = tables;
    this.#restart = restart;
  }

  async end(): Promise<End> {
    const marked = await this.#marked();
    if (!this.#frame.isBaseline && !this.#frame.isProgressive) return marked;
    // What decodes to the last unit of the picture is sound whatever follows.
    const bytes = await this.#file.bytes(this.#from, marked.at - this.#from);
    const decode = this.#frame.isBaseline ? this.#decode : this.#progressive;
    const bad = bytes === undefined ? undefined : decode.call(this, bytes);
    return bad === undefined ? marked : { at: this.#from + bad, isSound: false };
  }

  /** The next marker that is none of a restart, with restarts in their turn, and data that looks as if it were coded. */
  async #marked(): Promise<End> {
    let turn = 0;
    // What is decoded need not look like anything: an empty picture is zeros.
    const patience = this.#frame.isBaseline || this.#frame.isProgressive ? PATIENCE : 0;
    let dull = 0;
    let at = this.#from;
    for (;;) {
      const length = Math.min(PIECE, this.#file.size - at);
      const block = length < 2 ? undefined : await this.#file.bytes(at, length);
      if (block === undefined) return { at, isSound: false };
      let i = 0;
      for (; i + 1 < block.length; i++) {
        // What was passed without a marker is judged: before, its end may have been in it.
        if ((at + i - this.#from) % LOOK === 0 && i >= LOOK) {
          dull = looksCoded(block, i - LOOK) ? 0 : dull + 1;
          if (dull > patience) return { at: at + i - LOOK, isSound: false };
        }
        if (block[i] !== 0xff) continue;
        const next = block[i + 1];
        if (next === 0) i++;
        else if (next >= 0xd0 && next <= 0xd7) {
          if (next !== 0xd0 + turn) return { at: at + i, isSound: false };
          turn = (turn + 1) & 7;
          i++;
        } else if (next !== 0xff) return { at: at + i, isSound: next >= 0xc0 };
      }
      at += i;
    }
  }

  /** Decodes the whole scan; the place where it stops making sense, or undefined where it does not. */
  #decode(bytes: Uint8Array): number | undefined {
    const { components, width, height } = this.#frame;
    const n = this.#header[0];
    const parts: { readonly units: number; readonly dc: Table; readonly ac: Table }[] = [];
    const most = {
      across: Math.max(...components.map((c) => c.across)),
      down: Math.max(...components.map((c) => c.down)),
    };
    for (let i = 0; i < n; i++) {
      const component = components.find(({ id }) => id === this.#header[1 + i * 2]);
      const which = this.#header[2 + i * 2];
      const [dc, ac] = [this.#tables.get(which >>> 4), this.#tables.get(16 + (which & 15))];
      if (component === undefined || dc === undefined || ac === undefined) return 0;
      parts.push({ units: n === 1 ? 1 : component.across * component.down, dc, ac });
    }
    if (height === 0 || parts.length !== components.length) return undefined;
    const side = (pixels: number, factor: number): number => Math.ceil(pixels / (8 * (n === 1 ? 1 : factor)));
    const total = side(width, most.across) * side(height, most.down);
    const bits = new Bits(bytes);
    for (let unit = 0; unit < total; unit++) {
      if (this.#restart > 0 && unit > 0 && unit % this.#restart === 0 && !bits.restart()) return bits.at;
      for (const { units, dc, ac } of parts) for (let i = 0; i < units; i++) if (!block(bits, dc, ac)) return bits.at;
    }
    // Nothing but padding may be left before the marker.
    return bits.left > 2 ? bits.at : undefined;
  }

  /** As `#decode`, for a part of a picture's values. */
  #progressive(bytes: Uint8Array): number | undefined {
    const { components, width, height } = this.#frame;
    const n = this.#header[0];
    const [first, last, refines] = [this.#header[1 + n * 2], this.#header[2 + n * 2], this.#header[3 + n * 2] >>> 4];
    if (height === 0) return undefined;
    if (n < 1 || last > 63 || last < first || (first > 0 && n > 1)) return 0;
    const most = {
      across: Math.max(...components.map((c) => c.across)),
      down: Math.max(...components.map((c) => c.down)),
    };
    const parts: { readonly units: number; readonly table: Table | undefined }[] = [];
    let total = Math.ceil(width / (8 * most.across)) * Math.ceil(height / (8 * most.down));
    for (let i = 0; i < n; i++) {
      const component = components.find(({ id }) => id === this.#header[1 + i * 2]);
      const which = this.#header[2 + i * 2];
      const table = this.#tables.get(first === 0 ? which >>> 4 : 16 + (which & 15));
      if (component === undefined || (table === undefined && refines === 0)) return 0;
      parts.push({ units: n === 1 ? 1 : component.across * component.down, table });
      // Alone, a component has only the blocks that its own pixels need.
      const blocks = (pixels: number, own: number, all: number): number =>
        Math.ceil(Math.ceil((pixels * own) / all) / 8);
      if (n === 1) total = blocks(width, component.across, most.across) * blocks(height, component.down, most.down);
    }
    const own = components.find(({ id }) => id === this.#header[1])!;
    if (first > 0 && total > MAX_BLOCKS) return undefined;
    if (first > 0) own.set ??= new Uint8Array(total * 64);
    const bits = new Bits(bytes);
    let run = 0;
    for (let unit = 0; unit < total; unit++) {
      if (this.#restart > 0 && unit > 0 && unit % this.#restart === 0) {
        if (!bits.restart()) return bits.at;
        run = 0;
      }
      for (const { units, table } of parts)
        for (let i = 0; i < units; i++) {
          const set = first > 0 ? own.set!.subarray(unit * 64, unit * 64 + 64) : NONE;
          if (first > 0 && refines > 0) run = finer(bits, table!, first, last, set, run);
          else if (first > 0) run = run > 0 ? run - 1 : band(bits, table!, first, last, set);
          else if (refines > 0) run = bits.skip(1) ? 0 : -1;
          else run = direct(bits, table!) ? 0 : -1;
          if (run < 0) return bits.at;
        }
    }
    return bits.left > 2 ? bits.at : undefined;
  }
}

function looksCoded(block: Uint8Array, from: number): boolean {
  let high = 0;
  for (let i = from; i < from + LOOK; i++) high += block[i] >>> 7;
  return high >= LEAST_HIGH || hasVariety(block, from);
}

/** Dull pictures repeat few codes, but never zeros or text. */
function hasVariety(block: Uint8Array, from: number): boolean {
  let zeros = 0;
  let text = 0;
  for (let i = from; i < from + LOOK; i++) {
    if (block[i] === 0) zeros++;
    else if (block[i] >= 0x20 && block[i] < 0x7f) text++;
  }
  return zeros < LOOK / 2 && text < LOOK * 0.9;
}

/** One block of 64 values. */
function block(bits: Bits, dc: Table, ac: Table): boolean {
  const size = bits.symbol(dc);
  if (size < 0 || size > 11 || !bits.skip(size)) return false;
  for (let k = 1; k < 64; ) {
    const symbol = bits.symbol(ac);
    if (symbol < 0) return false;
    const [run, length] = [symbol >>> 4, symbol & 15];
    if (length === 0) {
      if (run !== 15) return run === 0;
      k += 16;
    } else {
      if (length > 10 || !bits.skip(length)) return false;
      k += run + 1;
    }
    if (k > 64) return false;
  }
  return true;
}

/** The first value of one block. */
function direct(bits: Bits, table: Table): boolean {
  const size = bits.symbol(table);
  return size >= 0 && size <= 11 && bits.skip(size);
}

/** One block's values from `first` to `last`: how many further blocks have none, or -1 where they make no sense. */
function band(bits: Bits, table: Table, first: number, last: number, set: Uint8Array): number {
  for (let k = first; k <= last; ) {
    const symbol = bits.symbol(table);
    if (symbol < 0) return -1;
    const [run, length] = [symbol >>> 4, symbol & 15];
    if (length === 0 && run < 15) return 2 ** run - 1 + (run === 0 ? 0 : bits.value(run));
    k += run + 1;
    if (length > 10 || k > last + 1 || !bits.skip(length)) return -1;
    if (length > 0) set[k - 1] = 1;
  }
  return 0;
}

const NONE: Uint8Array = new Uint8Array(64);

/** As `band`, for one bit more of values of which `set` says which are not zero; `run` blocks were to come without new ones. */
function finer(bits: Bits, table: Table, first: number, last: number, set: Uint8Array, run: number): number {
  let k = first;
  let left = run;
  while (left === 0 && k <= last) {
    const symbol = bits.symbol(table);
    if (symbol < 0) return -1;
    let zeros = symbol >>> 4;
    const length = symbol & 15;
    if (length > 1) return -1;
    if (length === 0 && zeros < 15) {
      left = 2 ** zeros + (zeros === 0 ? 0 : bits.value(zeros));
      break;
    }
    if (!bits.skip(length)) return -1;
    // Values that were there already have one bit each, and do not count as zeros.
    for (; k <= last; k++) {
      if (set[k] !== 0) {
        if (!bits.skip(1)) return -1;
      } else if (zeros-- === 0) break;
    }
    if (length === 1) {
      if (k > last) return -1;
      set[k] = 1;
    }
    k++;
  }
  if (left === 0) return 0;
  for (; k <= last; k++) if (set[k] !== 0 && !bits.skip(1)) return -1;
  return left - 1;
}

/** Bits of coded data, without what was stuffed into it. */
class Bits {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Makes 16 bits ready, with ones behind the end, as encoders pad. */
  #fill(): void {
    while (this.#count <= 16) {
      const byte = this.#bytes[this.#at];
      const isMarker = byte === 0xff && this.#bytes[this.#at + 1] !== 0;
      if (byte === undefined || isMarker) {
        this.#held = ((this.#held << 8) | 0xff) >>> 0;
        this.#past++;
      } else {
        this.#held = ((this.#held << 8) | byte) >>> 0;
        this.#at += byte === 0xff ? 2 : 1;
      }
      this.#count += 8;
    }
  }

  /** Bytes that were made up. */
  #past = 0;

  /** Whether more bits were taken than there are. */
  get #isPast(): boolean {
    return this.#past * 8 > this.#count;
  }

  skip(n: number): boolean {
    if (n === 0) return true;
    this.#fill();
    this.#count -= n;
    return !this.#isPast;
  }

  /** The next `n` bits, at most 14, as a number. */
  value(n: number): number {
    this.#fill();
    this.#count -= n;
    return (this.#held >>> this.#count) & (2 ** n - 1);
  }

  /** The next symbol; -1 where no code stands there. */
  symbol(table: Table): number {
    this.#fill();
    const code = (this.#held >>> (this.#count - 16)) & 0xffff;
    for (let length = 1; length <= 16; length++) {
      if (code >= table.limit[length]) continue;
      this.#count -= length;
      if (this.#isPast) return -1;
      return table.symbols[table.start[length] + (code >>> (16 - length)) - table.first[length]] ?? -1;
    }
    return -1;
  }

  /** Goes on behind a restart marker; false where none stands there. */
  restart(): boolean {
    this.#held = this.#count = this.#past = 0;
    while (this.#at < this.#bytes.length && this.#bytes[this.#at] === 0xff && this.#bytes[this.#at + 1] === 0xff)
      this.#at++;
    // Padding bits may have left a byte that is not looked at yet.
    if (this.#bytes[this.#at] !== 0xff) return false;
    this.#at += 2;
    return true;
  }
}

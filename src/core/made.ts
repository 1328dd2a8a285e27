/** Bytes that are computed: inflated, decrypted, put together. A bottom of maps, like a file or memory. */
import { flatten } from './resolve.ts';
import { type Certainty, DATA, LOST, MISSING, RunList, VERIFIED, type Why, weaker } from './run.ts';
import type { Gap, Source } from './source.ts';
import { TableCache } from './tables.ts';

/** Bytes that something is made from. */
export interface Input {
  readonly source: Source;
  readonly at: number;
  readonly length: number;
}

/** A pure function from bytes to bytes. */
export interface Codec {
  /** What it does, for people: "deflate". */
  readonly name: string;
  /** What threads know it by, and what it is set to; absent where only this thread can make it. */
  readonly shared?: readonly number[];
  /**
   * Makes up to `size` bytes of all inputs, one behind the other. Answers fewer where the input does not give more:
   * what is not made is missing. Never throws for what the input holds.
   */
  make(input: Uint8Array, size: number): Uint8Array;
}

/** Read from without any wait in between, so that what is let go of can be given back at once. */
const results = new TableCache<Uint8Array>(giveBack);
/** A result is worth half as much as a table of its size: it leads to its own bytes only. */
const WEIGHT = 2;
/** Lists at rest: as many as inputs were ever followed at once. */
const lists: RunList[] = [];
let ids = 0;
/**
 * How much came out where that was less than was said, by what it is made of. Apart from the sources themselves, of which
 * maps forget the oldest and make them anew: a gap that was seen once must not be forgotten with one.
 */
const short = new WeakMap<Source, Map<string, number>>();
/** Such gaps of one source that are kept in mind. */
const MAX_SHORT = 1_000_000;

export class MadeSource implements Source {
  readonly size: number;
  readonly inputs: readonly Input[];
  readonly codec: Codec;
  readonly #id = ids++;
  /** What runs say: known once the inputs were followed. */
  #way: { certainty: Certainty; why: Why | undefined } | undefined;
  /** Bytes that came out; the whole size until something was made. */
  #had: number;

  /** `size` bytes that `codec` makes of `inputs`. */
  constructor(size: number, codec: Codec, inputs: readonly Input[]) {
    this.size = size;
    this.codec = codec;
    this.inputs = inputs;
    this.#had = this.#known()?.get(this.#key()) ?? size;
  }

  async read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    const known = results.get(this.#id);
    const made = known ?? (await this.#make());
    const there = made.subarray(offset, offset + into.length);
    into.set(there);
    into.fill(0, there.length);
    const lost = into.length - there.length;
    if (known === undefined) results.set(this.#id, made, made.length * WEIGHT);
    return lost === 0 ? [] : [{ offset: offset + there.length, length: lost, code: this.#code() }];
  }

  runs(from: number, end: number, out: RunList): number | Promise<number> {
    if (this.#way !== undefined) return this.#say(this.#way, from, end, out);
    return this.#follow().then((way) => this.#say(way, from, end, out));
  }

  #say(
    { certainty, why }: { certainty: Certainty; why: Why | undefined },
    from: number,
    end: number,
    out: RunList,
  ): number {
    const stop = Math.min(end, this.size);
    const had = certainty === LOST ? 0 : this.#had;
    let at = from;
    if (at < had) {
      const till = Math.min(stop, had);
      if (!out.add(DATA, certainty, till - at, this, at, why)) return at;
      at = till;
    }
    const lost = certainty === LOST ? why : { what: `the ${this.codec.name} of damaged bytes`, code: this.#code() };
    return at < stop && !out.add(MISSING, LOST, stop - at, undefined, 0, lost) ? at : Math.max(at, stop);
  }

  /** The weakest certainty of all inputs; LOST where one of them is missing. */
  async #follow(): Promise<{ certainty: Certainty; why: Why | undefined }> {
    let certainty: Certainty = VERIFIED;
    let why: Why | undefined;
    // A disk has thousands of such inputs, and most are asked once: a list for each was most of what was to be collected.
    const list = lists.pop() ?? new RunList(64);
    for (const { source, at, length } of this.inputs) {
      for (let reached = at; reached < at + length && certainty !== LOST; ) {
        list.clear();
        reached = await flatten(source, reached, at + length, list);
        for (let i = 0; i < list.n; i++) {
          if (list.certainty(i) < certainty) why = list.why(i) ?? { what: 'an input', code: 'made.input' };
          certainty = weaker(certainty, list.state(i) === MISSING ? LOST : list.certainty(i));
        }
      }
    }
    list.clear();
    lists.push(list);
    this.#way = { certainty, why };
    return this.#way;
  }

  async #make(): Promise<Uint8Array> {
    const { certainty } = this.#way ?? (await this.#follow());
    if (certainty === LOST) return new Uint8Array(0);
    const input = new Uint8Array(this.inputs.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    let gaps = 0;
    for (const one of this.inputs) {
      gaps += (await one.source.read(one.at, input.subarray(at, at + one.length))).length;
      at += one.length;
    }
    const made = gaps > 0 ? new Uint8Array(0) : this.codec.make(input, this.size);
    // The collector is slow to see what hangs on small objects; a codec may answer a part of its input.
    if (made.buffer !== input.buffer) input.buffer.transfer(0);
    this.#had = Math.min(made.length, this.size);
    if (this.#had < this.size) this.#remember();
    else this.#known()?.delete(this.#key());
    return made;
  }

  /** What is known of sources that lie where this one does. */
  #known(): Map<string, number> | undefined {
    const first = this.inputs[0]?.source;
    return first === undefined ? undefined : short.get(first);
  }

  #remember(): void {
    const first = this.inputs[0]?.source;
    if (first === undefined) return;
    const known = short.get(first) ?? new Map<string, number>();
    if (known.size < MAX_SHORT) short.set(first, known.set(this.#key(), this.#had));
  }

  /** The same for two sources that make the same of the same bytes. */
  #key(): string {
    const places = this.inputs.map(({ at, length }) => `${at}+${length}`);
    return [this.codec.name, ...(this.codec.shared ?? []), this.size, ...places].join(' ');
  }

  #code(): string {
    return this.#way?.certainty === LOST ? (this.#way.why?.code ?? 'made.input') : `made.${this.codec.name}`;
  }
}

/** Results in memory of up to this size may share it with others. */
const SHARED_ROOM = 64 * 1024;

/** Gives memory back at once: by itself, tens of megabytes of it wait for the collector. */
function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > SHARED_ROOM) buffer.transfer(0);
}

/** Lets go of all that was made: whoever goes over everything once asks for none of it again. */
export function forgetMade(): void {
  results.clear();
}

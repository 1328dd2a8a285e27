/** Files that were found by their content, in columns: a million of them take some tens of megabytes. */
import type { Carved } from '../core/carver.ts';

const FIRST = 1024;
/** What files say of themselves is kept once where many say the same, as long as they are so few. */
const MAX_SHARED = 4096;

type Said = Omit<Carved, 'length' | 'isWhole'>;

export interface Place {
  readonly at: number;
  /** Number of its carver in the list of all. */
  readonly carver: number;
  readonly found: Carved;
}

export class Places {
  #n = 0;
  #at = new Float64Array(FIRST);
  #length = new Float64Array(FIRST);
  #carver = new Uint8Array(FIRST);
  #whole = new Uint8Array(FIRST);
  readonly #said: Said[] = [];
  readonly #shared = new Map<string, Said>();

  add({ at, carver, found }: Place): void {
    if (this.#n === this.#at.length) this.#grow();
    const { length, isWhole, ...said } = found;
    this.#at[this.#n] = at;
    this.#length[this.#n] = length;
    this.#carver[this.#n] = carver;
    this.#whole[this.#n] = isWhole ? 1 : 0;
    this.#said.push(this.#share(said));
    this.#n++;
  }

  *[Symbol.iterator](): Generator<Place> {
    for (let i = 0; i < this.#n; i++) yield this.#get(i);
  }

  /** Those that begin at `at`; places are added in order. */
  *from(at: number): Generator<Place> {
    let [low, high] = [0, this.#n];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at[middle] < at) low = middle + 1;
      else high = middle;
    }
    for (; low < this.#n && this.#at[low] === at; low++) yield this.#get(low);
  }

  #get(i: number): Place {
    const found = { ...this.#said[i], length: this.#length[i], isWhole: this.#whole[i] === 1 };
    return { at: this.#at[i], carver: this.#carver[i], found };
  }

  #share(said: Said): Said {
    const key = JSON.stringify(said);
    const known = this.#shared.get(key);
    if (known === undefined && this.#shared.size < MAX_SHARED) this.#shared.set(key, said);
    return known ?? said;
  }

  #grow(): void {
    const size = this.#n * 2;
    const [at, length, carver, whole] = [this.#at, this.#length, this.#carver, this.#whole];
    this.#at = new Float64Array(size);
    this.#at.set(at);
    this.#length = new Float64Array(size);
    this.#length.set(length);
    this.#carver = new Uint8Array(size);
    this.#carver.set(carver);
    this.#whole = new Uint8Array(size);
    this.#whole.set(whole);
  }
}

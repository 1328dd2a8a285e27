/** Things in a row that come many at a time, so that a long listing does not cost a promise for each of them. */

/** An iterator that may have some at hand. */
export interface Listing<T> extends AsyncIterableIterator<T> {
  /** The next one where it is at hand; undefined where it has to be waited for, or where there are no more. */
  now?(): T | undefined;
}

/** The elements of batches, one after the other. For one caller at a time. */
export class Batches<T> implements Listing<T> {
  readonly #batches: AsyncIterator<readonly T[]>;
  #batch: readonly T[] = [];
  #at = 0;

  constructor(batches: AsyncIterator<readonly T[]>) {
    this.#batches = batches;
  }

  now(): T | undefined {
    return this.#at < this.#batch.length ? this.#batch[this.#at++] : undefined;
  }

  async next(): Promise<IteratorResult<T>> {
    while (this.#at >= this.#batch.length) {
      const more = await this.#batches.next();
      if (more.done === true) return { done: true, value: undefined };
      this.#batch = more.value;
      this.#at = 0;
    }
    return { done: false, value: this.#batch[this.#at++] };
  }

  async return(): Promise<IteratorResult<T>> {
    this.#batch = [];
    await this.#batches.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

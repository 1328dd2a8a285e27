/** Which file holds a block: runs of neighbouring blocks, so that whole disks cost a few numbers. */

/** Runs that are kept; behind them it is known that a block is held, and not by whom. */
const MAX_RUNS = 1 << 20;

export class Owners {
  #starts: number[] = [];
  #counts: number[] = [];
  #files: number[] = [];
  #sorted = true;

  /** Enters a block of the file whose descriptor has this address. */
  add(block: number, file: number): void {
    const last = this.#starts.length - 1;
    if (last >= 0 && this.#files[last] === file && this.#starts[last] + this.#counts[last] === block) {
      this.#counts[last]++;
      return;
    }
    if (last + 1 >= MAX_RUNS) return;
    this.#sorted = false;
    this.#starts.push(block);
    this.#counts.push(1);
    this.#files.push(file);
  }

  /** Address of the descriptor that holds the block, or undefined. */
  of(block: number): number | undefined {
    this.#sort();
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle] <= block) low = middle + 1;
      else high = middle;
    }
    const i = low - 1;
    return i >= 0 && block < this.#starts[i] + this.#counts[i] ? this.#files[i] : undefined;
  }

  #sort(): void {
    if (this.#sorted) return;
    const order = this.#starts.map((_, i) => i).sort((a, b) => this.#starts[a] - this.#starts[b]);
    const [starts, counts, files] = [this.#starts, this.#counts, this.#files];
    this.#starts = order.map((i) => starts[i]);
    this.#counts = order.map((i) => counts[i]);
    this.#files = order.map((i) => files[i]);
    this.#sorted = true;
  }
}

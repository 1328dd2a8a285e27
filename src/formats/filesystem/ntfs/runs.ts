/** Run lists: where the clusters of an attribute lie. */

/** What stands in place of a cluster where none is set aside, and where it is not known. */
export const SPARSE = -1;
export const LOST_RUN = -2;

/** Runs that are kept of one attribute. */
const MAX_RUNS: number = 2 ** 20;
const MAX_CLUSTERS = 2 ** 44;

/** Runs in order: run i starts at vcn[i], lies at lcn[i] (or SPARSE, LOST_RUN) and ends where the next one starts. */
export class Extents {
  readonly vcn: number[] = [];
  readonly lcn: number[] = [];
  /** Clusters described so far. */
  end = 0;

  get n(): number {
    return this.vcn.length;
  }

  /** Adds a run behind the last one. */
  add(length: number, lcn: number): void {
    if (length <= 0) return;
    this.vcn.push(this.end);
    this.lcn.push(lcn);
    this.end += length;
  }

  /** The end of run i. */
  endOf(i: number): number {
    return i + 1 < this.vcn.length ? this.vcn[i + 1] : this.end;
  }

  /** The run that holds a cluster of the attribute; -1 before the first one. */
  indexOf(vcn: number): number {
    let low = -1;
    let high = this.vcn.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.vcn[middle] <= vcn) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** Decodes a run list from `at` on; answers why it is not whole, or undefined. `visit` gets each run. */
export function decodeRuns(
  bytes: Uint8Array,
  at: number,
  end: number,
  visit: (length: number, lcn: number) => void,
): string | undefined {
  let lcn = 0;
  let i = at;
  for (let count = 0; i < end && bytes[i] !== 0; count++) {
    const lengthBytes = bytes[i] & 15;
    const offsetBytes = bytes[i] >>> 4;
    const next = i + 1 + lengthBytes + offsetBytes;
    if (lengthBytes === 0 || lengthBytes > 8 || offsetBytes > 8 || next > end) return 'ntfs.runs';
    if (count >= MAX_RUNS) return 'ntfs.runs.limit';
    const length = numberAt(bytes, i + 1, lengthBytes, false);
    if (!(length > 0 && length < MAX_CLUSTERS)) return 'ntfs.runs';
    if (offsetBytes > 0) lcn += numberAt(bytes, i + 1 + lengthBytes, offsetBytes, true);
    if (!(Math.abs(lcn) < MAX_CLUSTERS) || lcn < 0) return 'ntfs.runs';
    visit(length, offsetBytes === 0 ? SPARSE : lcn);
    i = next;
  }
  return i < end ? undefined : 'ntfs.runs';
}

function numberAt(bytes: Uint8Array, at: number, size: number, signed: boolean): number {
  let value = 0;
  for (let i = at + size - 1; i >= at; i--) value = value * 256 + bytes[i];
  return signed && bytes[at + size - 1] > 127 ? value - 2 ** (8 * size) : value;
}

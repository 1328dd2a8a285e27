/** What a file system has taken of its volume. */
export interface Stretch {
  /** Bytes from the start of the file system. */
  readonly from: number;
  readonly end: number;
  /** False where nothing says that it was written since it was taken. */
  readonly written: boolean;
}

/** Runs of set bits among the first `count`, lowest bit of each byte first, as [from, end). */
export function* bitRuns(bitmap: Uint8Array, count: number): Generator<[number, number]> {
  let from = -1;
  const most = Math.min(count, bitmap.length * 8);
  for (let i = 0; i < most; i++) {
    // Whole bytes of one kind are passed over at once.
    if ((i & 7) === 0 && bitmap[i >>> 3] === (from < 0 ? 0 : 0xff)) {
      i += 7;
      continue;
    }
    const set = (bitmap[i >>> 3] & (1 << (i & 7))) !== 0;
    if (set && from < 0) from = i;
    if (!set && from >= 0) {
      yield [from, i];
      from = -1;
    }
  }
  if (from >= 0) yield [from, most];
}

/** [from, end) cut where `spans` ([start, end, …], sorted) say that nothing was written since it was taken. */
export function* cut(from: number, end: number, spans: readonly number[]): Generator<Stretch> {
  let at = from;
  for (let i = 0; i < spans.length && at < end; i += 2) {
    const start = Math.max(at, spans[i]);
    const stop = Math.min(end, spans[i + 1]);
    if (start >= stop) continue;
    if (start > at) yield { from: at, end: start, written: true };
    yield { from: start, end: stop, written: false };
    at = stop;
  }
  if (at < end) yield { from: at, end, written: true };
}

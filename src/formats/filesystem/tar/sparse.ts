/** Files with holes in archives of GNU tar: which stretches of the file are stored, one after the other. */
import { BLOCK, type Header, numberOf, sparseFields } from './header.ts';

/** A stretch that is stored; what lies between stretches is zeros. */
export interface Hole {
  readonly at: number;
  readonly length: number;
}

interface Sparse {
  readonly holes: readonly Hole[];
  /** Bytes of the whole file. */
  readonly size: number;
  /** Where the stored bytes start. */
  readonly dataAt: number;
  /** Bytes of headers between the first one and the stored bytes that the member's size does not count. */
  readonly headers: number;
  readonly isUnknown?: true;
}

/** Stretches of one file. */
const MAX_STRETCHES = 1_000_000;
const PAIR = 24;
/** Where a block that goes on with the map says that there is one more. */
const MORE_AT = 504;
const IN_HEADER = 4;
const IN_BLOCK = 21;

/** What a member with holes says of them; undefined for all others. `at` is where its header stands. */
export async function holesOf(
  header: Header,
  said: ReadonlyMap<string, string>,
  block: (at: number) => Promise<Uint8Array | undefined>,
  at: number,
  stored: number,
): Promise<Sparse | undefined> {
  const isPax = [...said.keys()].some((key) => key.startsWith('GNU.sparse.'));
  const found =
    header.type === 'S' ? await inHeaders(block, at) : isPax ? await inData(said, block, at, stored) : undefined;
  if (header.type !== 'S' && !isPax) return undefined;
  const real = Number(said.get('GNU.sparse.realsize') ?? said.get('GNU.sparse.size') ?? stored);
  if (found === undefined) {
    const size = Number.isSafeInteger(real) ? real : stored;
    return { holes: [], size, dataAt: at + BLOCK, headers: 0, isUnknown: true };
  }
  const kept = found.dataAt - at - BLOCK - found.headers;
  return isSane(found, stored - kept) ? found : { ...found, holes: [], isUnknown: true };
}

/** The map of the older kind: pairs in the header, and in blocks behind it. */
async function inHeaders(
  block: (at: number) => Promise<Uint8Array | undefined>,
  at: number,
): Promise<Sparse | undefined> {
  const first = await block(at);
  if (first === undefined) return undefined;
  const { map, isExtended, realsize } = sparseFields.decode(first);
  const size = numberOf(realsize);
  const holes: Hole[] = [];
  let isSound = pairs(map, IN_HEADER, holes);
  let more = isExtended !== '';
  let next = at + BLOCK;
  while (more && isSound && holes.length < MAX_STRETCHES) {
    const one = await block(next);
    if (one === undefined) return undefined;
    isSound = pairs(one, IN_BLOCK, holes);
    more = one[MORE_AT] !== 0;
    next += BLOCK;
  }
  return size === undefined || !isSound || more ? undefined : { holes, size, dataAt: next, headers: next - at - BLOCK };
}

function pairs(raw: Uint8Array, count: number, out: Hole[]): boolean {
  for (let i = 0; i < count; i++) {
    if (raw[i * PAIR] === 0) return true;
    const at = numberOf(raw.subarray(i * PAIR, i * PAIR + 12));
    const length = numberOf(raw.subarray(i * PAIR + 12, i * PAIR + 24));
    if (at === undefined || length === undefined) return false;
    out.push({ at, length });
  }
  return true;
}

/** The map of version 1.0: decimal numbers, a line each, in front of the stored bytes. */
async function inData(
  said: ReadonlyMap<string, string>,
  block: (at: number) => Promise<Uint8Array | undefined>,
  at: number,
  stored: number,
): Promise<Sparse | undefined> {
  const size = Number(said.get('GNU.sparse.realsize'));
  if (said.get('GNU.sparse.major') !== '1' || !Number.isSafeInteger(size)) return undefined;
  const numbers: number[] = [];
  let rest = '';
  let next = at + BLOCK;
  while (numbers.length === 0 || numbers.length < 1 + 2 * numbers[0]) {
    const one = next < at + BLOCK + stored ? await block(next) : undefined;
    if (one === undefined || numbers[0] > MAX_STRETCHES) return undefined;
    next += BLOCK;
    const lines = (rest + Buffer.from(one).toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (numbers.length > 0 && numbers.length >= 1 + 2 * numbers[0]) break;
      if (!/^\d{1,16}$/.test(line)) return undefined;
      numbers.push(Number(line));
    }
  }
  const holes: Hole[] = [];
  for (let i = 1; i + 1 < numbers.length; i += 2) holes.push({ at: numbers[i], length: numbers[i + 1] });
  return { holes, size, dataAt: next, headers: 0 };
}

/** Stretches follow each other inside the file, and are as many bytes as are stored. */
function isSane({ holes, size }: Sparse, stored: number): boolean {
  let end = 0;
  let sum = 0;
  for (const { at, length } of holes) {
    if (at < end || at + length > size) return false;
    end = at + length;
    sum += length;
  }
  return sum === stored;
}

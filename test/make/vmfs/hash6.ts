/*
 * The 64-bit name hash of VMFS6 directories (vmfs.md 5.2): Bob Jenkins' mixer over 256 bytes. Numbers are kept as
 * two 32-bit halves, because a directory of 16,000 names needs two million steps.
 */
const KEY = 256;
const PAD = [0x17, 0xb0, 0x61, 0x8e, 0xc2, 0x75, 0x9a, 0x73];

const low = new Uint32Array(3);
const high = new Uint32Array(3);

function add(x: number, addLow: number, addHigh: number): void {
  const sum = low[x]! + addLow;
  low[x] = sum;
  high[x] = high[x]! + addHigh + (sum > 0xffffffff ? 1 : 0);
}

function subtract(x: number, y: number): void {
  const borrow = low[x]! < low[y]! ? 1 : 0;
  low[x] = low[x]! - low[y]!;
  high[x] = high[x]! - high[y]! - borrow;
}

/** x = (x - y - z) xor (z shifted by `by`: right where negative), all 64-bit. */
function step(x: number, y: number, z: number, by: number): void {
  subtract(x, y);
  subtract(x, z);
  const l = low[z]!;
  const h = high[z]!;
  let sl: number;
  let sh: number;
  if (by > 32) {
    sl = 0;
    sh = l << (by - 32);
  } else if (by > 0) {
    sl = l << by;
    sh = (h << by) | (l >>> (32 - by));
  } else if (by < -32) {
    sl = h >>> (-by - 32);
    sh = 0;
  } else {
    sl = (l >>> -by) | (h << (32 + by));
    sh = h >>> -by;
  }
  low[x] = low[x]! ^ sl;
  high[x] = high[x]! ^ sh;
}

const SHIFTS = [-43, 9, -8, -38, 23, -5, -35, 49, -11, -12, 18, -22];

function mixAll(): void {
  for (let i = 0; i < 12; i++) step(i % 3, (i + 1) % 3, (i + 2) % 3, SHIFTS[i]!);
}

/** The hash of a name as [low, high]. */
export function nameHash(name: Uint8Array): [number, number] {
  const key = new Uint8Array(KEY);
  key.set(name);
  for (let i = Math.floor((name.length + 8) / 8) * 8; i < 127; i += 8) key.set(PAD, i);
  const words = new DataView(key.buffer);
  low.set([42, 42, 0x7f4a7c13]);
  high.set([0, 0, 0x9e3779b9]);
  let quad = 0;
  const feed = (x: number) => {
    add(x, words.getUint32(quad * 8, true), words.getUint32(quad * 8 + 4, true));
    quad++;
  };
  for (let round = 0; round < 10; round++) {
    feed(0);
    feed(1);
    feed(2);
    mixAll();
  }
  add(2, 32, 0);
  feed(0);
  feed(1);
  mixAll();
  return [low[2]!, high[2]!];
}

/** A hash modulo a table size below 2**16. */
export function hashMod(hash: readonly [number, number], modulus: number): number {
  const upper = (hash[1] % modulus) * (0x1_0000_0000 % modulus);
  return (upper + hash[0]) % modulus;
}

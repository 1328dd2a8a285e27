/** The size of clusters of an image whose header is lost, from the shape of its tables. Source: qcow2.md section 11.1. */
import { deflateCluster, zstdCluster } from '../../../codec/cluster.ts';
import { INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import {
  COMPRESSED,
  COPIED,
  compressedAt,
  type Geometry,
  geometryOf,
  offsetOf,
  RESERVED_HIGH,
  RESERVED_LOW,
} from './geometry.ts';
import { MAX_CLUSTER_BITS, MIN_CLUSTER_BITS } from './structs.ts';

const SECTOR = 512;
const PIECE = 1024 * 1024;
/** Clusters with subclusters are no smaller. */
const MIN_EXTENDED_BITS = 14;
/** A larger cluster counts where it explains nearly as many entries as the smaller ones. */
const NEARLY = 0.9;
/** Compressed clusters that are tried. */
const TRIED = 4;
const ZSTD_MAGIC = 0x28b52ffd;

/** What the sectors of a file look like. */
interface Sectors {
  /** 0: no table, 1: zeros, else 2 + the number of words. */
  readonly plain: Uint8Array;
  readonly extended: Uint8Array;
  /** Zero bits that all offsets of the sector end with. */
  readonly plainBits: Uint8Array;
  readonly extendedBits: Uint8Array;
  readonly compressed: { readonly high: number; readonly low: number; readonly index: number }[];
}

const MAX_COMPRESSED = 64;

/** The geometry that the tables in the first `length` bytes agree on; undefined where there are too few of them. */
export async function detectGeometry(file: Source, length: number, code: string): Promise<Geometry | undefined> {
  const sectors = await sectorsOf(file, Math.min(length, file.size));
  const compressed = await trueCompressed(file, sectors);
  if (compressed !== undefined) {
    // Entries of 16 bytes leave every other word to bitmaps, which compressed clusters do not have.
    const isExtended =
      compressed.clusterBits >= MIN_EXTENDED_BITS && sectors.compressed.every(({ index }) => index % 2 === 0);
    return geometryOf(
      compressed.clusterBits,
      isExtended && sectors.compressed.length > 1,
      compressed.zstd,
      INFERRED,
      code,
    );
  }
  const plain = best(sectors.plain, sectors.plainBits, MIN_CLUSTER_BITS);
  const extended = best(sectors.extended, sectors.extendedBits, MIN_EXTENDED_BITS);
  // Tables of 8-byte entries only look like 16-byte ones where every other entry is missing.
  const isExtended = extended.words > plain.words;
  const { clusterBits, words } = isExtended ? extended : plain;
  return words === 0 ? undefined : geometryOf(clusterBits, isExtended, false, INFERRED, code);
}

async function sectorsOf(file: Source, length: number): Promise<Sectors> {
  const n = Math.floor(length / SECTOR);
  const out: Sectors = {
    plain: new Uint8Array(n),
    extended: new Uint8Array(n),
    plainBits: new Uint8Array(n).fill(63),
    extendedBits: new Uint8Array(n).fill(63),
    compressed: [],
  };
  const buffer = new Uint8Array(PIECE);
  for (let at = 0; at < n * SECTOR; at += PIECE) {
    const into = buffer.subarray(0, Math.min(PIECE, n * SECTOR - at));
    if ((await file.read(at, into)).length > 0) continue;
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    for (let from = 0; from < into.length; from += SECTOR) {
      sector(view, from, file.size, out, (at + from) / SECTOR);
    }
  }
  return out;
}

function sector(view: DataView, from: number, end: number, out: Sectors, index: number): void {
  let plain = 0;
  let extended = 0;
  let isPlain = true;
  let isExtended = true;
  let plainBits = 63;
  let extendedBits = 63;
  for (let i = 0; i < 64 && (isPlain || isExtended); i++) {
    const high = view.getUint32(from + i * 8);
    const low = view.getUint32(from + i * 8 + 4);
    if (high === 0 && low === 0) continue;
    const bits = alignment(high, low, end);
    const isBitmap = i % 2 === 1;
    if (bits === 0) isPlain = false;
    else {
      plain++;
      plainBits = Math.min(plainBits, bits);
    }
    if (isBitmap ? (high & low) !== 0 : bits === 0 || (low & 1) !== 0) isExtended = false;
    else if (!isBitmap) {
      extended++;
      extendedBits = Math.min(extendedBits, bits);
    }
    const isCompressed = isPlain && (high & COMPRESSED) !== 0 && i < 8;
    if (isCompressed && out.compressed.length < MAX_COMPRESSED) out.compressed.push({ high, low, index: i });
  }
  if (isPlain) out.plain[index] = plain + extended === 0 ? 1 : 2 + plain;
  if (isExtended) out.extended[index] = plain + extended === 0 ? 1 : 2 + extended;
  out.plainBits[index] = plainBits;
  out.extendedBits[index] = extendedBits;
}

/** Zero bits that the offset in a word ends with, 63 where it says nothing of that; 0 where it is no entry. */
function alignment(high: number, low: number, end: number): number {
  if ((high & COMPRESSED) !== 0) {
    if ((high & COPIED) !== 0) return 0;
    // With clusters of any size the offset has at least the bits it has with the largest ones.
    return compressedAt(high, low, MAX_CLUSTER_BITS).at < end ? 63 : 0;
  }
  if ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0) return 0;
  const offset = offsetOf(high, low);
  if (offset >= end || (offset === 0 && high !== 0)) return 0;
  if (offset === 0) return 63;
  let bits = MIN_CLUSTER_BITS;
  while (bits < MAX_CLUSTER_BITS && offset % 2 ** (bits + 1) === 0) bits++;
  return bits;
}

/** The largest clusters with which the most entries stand in tables of their own. */
function best(kinds: Uint8Array, aligned: Uint8Array, least: number): { clusterBits: number; words: number } {
  // Data has sectors with one word that could be an offset, and many of them: they count where there is nothing else.
  const found = bestOf(kinds, aligned, least, 2);
  return found.words > 0 ? found : bestOf(kinds, aligned, least, 1);
}

function bestOf(
  kinds: Uint8Array,
  aligned: Uint8Array,
  least: number,
  fewest: number,
): { clusterBits: number; words: number } {
  const scores: number[] = [];
  for (let bits = least; bits <= MAX_CLUSTER_BITS; bits++) {
    const per = 2 ** bits / SECTOR;
    let score = 0;
    for (let first = per; first < kinds.length; first += per) {
      let words = 0;
      for (let i = first; i < Math.min(first + per, kinds.length); i++) {
        const kind = kinds[i];
        if (kind === 0 || (kind > 1 && aligned[i] < bits)) {
          words = -1;
          break;
        }
        // Entries without an offset prove nothing.
        if (kind - 2 >= fewest && aligned[i] < 63) words += kind - 2;
      }
      score += Math.max(0, words);
    }
    scores.push(score);
  }
  const most = Math.max(...scores);
  let i = scores.length - 1;
  while (i > 0 && scores[i] < most * NEARLY) i--;
  return { clusterBits: least + i, words: scores[i] };
}

/** Compressed clusters give just one cluster each: with any other size of it they give none. */
async function trueCompressed(
  file: Source,
  sectors: Sectors,
): Promise<{ clusterBits: number; zstd: boolean } | undefined> {
  const votes = new Map<number, number>();
  let zstd = false;
  for (const { high, low } of sectors.compressed.slice(0, TRIED * 4)) {
    for (let bits = MIN_CLUSTER_BITS; bits <= MAX_CLUSTER_BITS; bits++) {
      const { at, length } = compressedAt(high, low, bits);
      if (at < SECTOR || at >= file.size || length > 2 ** bits * 2) continue;
      const input = new Uint8Array(Math.min(length, file.size - at));
      if ((await file.read(at, input)).length > 0) continue;
      const isZstd = input.length > 4 && new DataView(input.buffer).getUint32(0) === ZSTD_MAGIC;
      const made = (isZstd ? zstdCluster : deflateCluster).make(input, 2 ** bits);
      if (made.length !== 2 ** bits) continue;
      zstd ||= isZstd;
      votes.set(bits, (votes.get(bits) ?? 0) + 1);
    }
    const [first] = [...votes].sort((a, b) => b[1] - a[1]);
    if (first !== undefined && first[1] >= Math.min(TRIED, sectors.compressed.length))
      return { clusterBits: first[0], zstd };
  }
  return undefined;
}

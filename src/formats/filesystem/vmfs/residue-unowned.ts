/**
 * Sub-blocks that no file holds: directories whose descriptor was cleared still name their files there, and small texts
 * of machines still are what they were. Source: vmfs.md sections 5.1, 5.2 and 8.1.
 */
import type { Gap } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { addressText, fdNumbers, SUB_BLOCK } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import type { FileClaims } from './residue-claims.ts';
import {
  CHANGES,
  type Guess,
  goesOn,
  guessRest,
  guessText,
  HEAD_BYTES,
  isChanges,
  isSettings,
  LINE_BYTES,
  SETTINGS,
} from './residue-content.ts';
import type { Trace } from './residue-dirents.ts';
import { looseEntries } from './residue-loose.ts';
import { placeIn } from './residue-place.ts';
import { ownersOf } from './residue-pointers.ts';
import type { ResourceFile } from './resource.ts';
import { DIRECTORY_VERSIONS, dirent, dirent6, TYPE_DIRECTORY } from './structs.ts';
import type { Volume } from './volume.ts';

/** Text, or the settings of a machine, in a sub-block that no file holds. */
export interface LooseText {
  /** From its position: 'sb-0x...'. */
  readonly name: string;
  readonly guess: Guess;
  readonly file: ResourceFile;
  readonly at: number;
  /** The same in the volume. */
  readonly place: number;
  /** Bytes that are text; of what is none, the room that it has. */
  readonly length: number;
  /** VMFS6: descriptor address of the directory that it is booked to; else 0. */
  readonly owner: number;
}

export interface Loose {
  readonly entries: Trace[];
  readonly texts: LooseText[];
  /** Descriptor address of the directory above one, as its ".." says. */
  readonly above: Map<number, number>;
}

const MAX_TEXTS = 4096;
const MAX_ENTRIES_FOUND = 1 << 18;
const READ_BYTES = 1 << 20;
/** Sub-blocks that one log is followed through. */
const MAX_FOLLOWED = 16;
const EMPTY_LIST = /^\.encoding\s*=\s*"[\w-]+"\s*$/;
const SETTING = /^[\w.:]+\s*=\s*"/m;
const DOT_AT_6 = 0x3b8;
const DOTS_AT_6 = 0x4d8;

/** Looks through all sub-blocks that none of `claims` holds. */
export async function looseIn(volume: Volume, claims: readonly FileClaims[]): Promise<Loose> {
  const out: Loose = { entries: [], texts: [], above: new Map() };
  const file = volume.files.sbc;
  if (file === undefined || file.header.size === 0) return out;
  const { size, perCluster } = file.header;
  const log = new LastLog(out.texts);
  const perRead = Math.max(1, Math.floor(READ_BYTES / size));
  for await (const [cluster] of bitmaps(volume, file)) {
    const owners = volume.geometry.version === 6 ? await ownersOf(volume, file, cluster) : [];
    for (let first = 0; first < perCluster; first += perRead) {
      const from = file.offsetOf(cluster, first);
      if (from === undefined || from + size > file.source.size) break;
      const count = Math.min(perRead, perCluster - first, Math.floor((file.source.size - from) / size));
      const bytes = new Uint8Array(count * size);
      const gaps = await file.source.read(from, bytes);
      for (let i = 0; i < count; i++) {
        const [low, high] = subBlockAddress(volume, cluster, first + i);
        if (claims.some((one) => one.resource(low, high))) continue;
        const block = bytes.subarray(i * size, (i + 1) * size);
        const owner = owners[first + i] ?? 0;
        entriesOf(volume, block, owner, out);
        const at = from + i * size;
        if (log.goesOnIn(block, at, owner)) continue;
        const text = textIn(block, `sb-${addressText(low, high)}`, file, at, gaps);
        if (text === undefined || out.texts.length >= MAX_TEXTS) continue;
        out.texts.push({ ...text, owner, place: await placeIn(volume, file.source, text.at) });
        log.note(block);
      }
    }
  }
  return out;
}

/** A log that fills its sub-block goes on in the next one: these are given out one behind the other. */
class LastLog {
  readonly #texts: LooseText[];
  #end = '';

  constructor(texts: LooseText[]) {
    this.#texts = texts;
  }

  /** The text that was found last lies in `block`, or ends there. */
  note(block: Uint8Array): void {
    this.#end = latin1(block, Math.max(0, block.length - LINE_BYTES), Math.min(LINE_BYTES, block.length));
  }

  /** Whether the last text goes on in `block`, which lies at `at` of its file; then it is so much longer. */
  goesOnIn(block: Uint8Array, at: number, owner: number): boolean {
    const last = this.#texts.at(-1);
    if (last === undefined || last.guess.ending !== '.log' || last.owner !== owner) return false;
    if (last.at + last.length !== at || last.length >= MAX_FOLLOWED * block.length) return false;
    const more = goesOn(this.#end, latin1(block, 0, Math.min(block.length, HEAD_BYTES))) ? textLength(block, []) : 0;
    if (more === 0) return false;
    this.#texts[this.#texts.length - 1] = { ...last, length: last.length + more };
    this.note(block);
    return true;
  }
}

function subBlockAddress(volume: Volume, cluster: number, resource: number): readonly [number, number] {
  if (volume.geometry.version === 6) {
    return [(SUB_BLOCK | ((cluster & 0x3ffffff) << 6)) >>> 0, ((resource << 24) | Math.floor(cluster / 2 ** 26)) >>> 0];
  }
  return [(SUB_BLOCK | (((resource >>> 4) & 3) << 3) | (cluster << 6) | ((resource & 15) << 28)) >>> 0, 0];
}

/** Entries, and the directory they are of where the block is its first: "." names it, ".." what is above. */
function entriesOf(volume: Volume, block: Uint8Array, owner: number, out: Loose): void {
  if (out.entries.length >= MAX_ENTRIES_FOUND) return;
  const [own, parent] = volume.geometry.version === 6 ? dots6(block) : dots35(block);
  if (own !== 0 && parent !== 0 && own !== parent) out.above.set(own, parent);
  for (const entry of looseEntries(volume.geometry, block, 'unowned', own || owner, 0)) out.entries.push(entry);
}

const NO_DOTS: readonly [number, number] = [0, 0];

function dots35(block: Uint8Array): readonly [number, number] {
  if (viewOf(block).getUint32(0, true) !== TYPE_DIRECTORY || block.length < 2 * dirent.size) return NO_DOTS;
  const dot = dirent.decode(block, 0);
  const dots = dirent.decode(block, dirent.size);
  const sound = dot.name === '.' && dots.name === '..' && dots.type === TYPE_DIRECTORY;
  return sound && isAddress(dot.address) && isAddress(dots.address) ? [dot.address, dots.address] : NO_DOTS;
}

function dots6(block: Uint8Array): readonly [number, number] {
  if (!DIRECTORY_VERSIONS.includes(viewOf(block).getUint32(0, true))) return NO_DOTS;
  const dot = dirent6.decode(block, DOT_AT_6);
  const dots = dirent6.decode(block, DOTS_AT_6);
  const sound = dot.name === '.' && dot.self === DOT_AT_6 && dots.name === '..' && dots.self === DOTS_AT_6;
  return sound && isAddress(dot.address) && isAddress(dots.address) ? [dot.address, dots.address] : NO_DOTS;
}

function isAddress(address: number): boolean {
  return fdNumbers(address) !== undefined;
}

export type Found = Omit<LooseText, 'place' | 'owner'>;

/**
 * The text or the settings that a block begins with; `at` is where it lies in `file`. Text goes on behind what could not
 * be read of it, which `gaps` in the file say.
 */
export function textIn(
  block: Uint8Array,
  name: string,
  file: ResourceFile,
  at: number,
  gaps: readonly Gap[],
): Found | undefined {
  if (isSettings(block)) return { name, guess: SETTINGS, file, at, length: block.length };
  if (isChanges(block)) return { name, guess: CHANGES, file, at, length: block.length };
  const lost = gaps.map(({ length, offset }): Stretch => [offset - at, offset - at + length]);
  const first = endOfLost(lost, 0) ?? 0;
  // Most blocks are empty or no text: their first bytes say so.
  if (first + 1 >= block.length || !isText(block[first]) || !isText(block[first + 1])) return undefined;
  let length = textLength(block, lost);
  if (length <= first) return undefined;
  if (first > 0) {
    const rest = guessRest(latin1(block, first, Math.min(length - first, HEAD_BYTES)));
    return rest === undefined ? undefined : { name, guess: rest, file, at, length };
  }
  const line = block.indexOf(0x0a) + 1;
  // The list of a machine that never had a snapshot is one line: a second that sets nothing is none of it.
  if (line > 0 && line < length && EMPTY_LIST.test(latin1(block, 0, line))) {
    if (!SETTING.test(latin1(block, line, Math.min(length - line, HEAD_BYTES)))) length = line;
  }
  const guess = guessText(latin1(block, 0, Math.min(length, HEAD_BYTES)));
  return guess === undefined ? undefined : { name, guess, file, at, length };
}

/** Bytes of the text that a block begins with. */
export function textLength(block: Uint8Array, lost: readonly Stretch[]): number {
  const length = textEnd(block, lost);
  // What follows a text that ends in the middle of a sector is left over from something else.
  return length < block.length && block[length] !== 0 ? block.lastIndexOf(0x0a, length - 1) + 1 : length;
}

/** Where in a block something was not read, as [start, end). */
type Stretch = readonly [number, number];

/** Where what was not read ends that a place lies in; undefined where it was read. */
function endOfLost(lost: readonly Stretch[], at: number): number | undefined {
  return lost.find(([from, end]) => from <= at && at < end)?.[1];
}

/** Where text ends: at the first byte that is none, or two beyond ASCII that are no UTF-8. A single one may be of another encoding. */
function textEnd(block: Uint8Array, lost: readonly Stretch[]): number {
  for (let at = 0; at < block.length; ) {
    // What was not read is zeros here: only there it is asked for.
    const behind = isText(block[at]) ? undefined : endOfLost(lost, at);
    if (behind !== undefined && behind < block.length && isText(block[behind])) {
      at = behind;
      continue;
    }
    if (!isText(block[at])) return at;
    const more = block[at] < 0xc2 ? 0 : block[at] < 0xe0 ? 1 : block[at] < 0xf0 ? 2 : 3;
    let n = 0;
    while (n < more && (block[at + n + 1] & 0xc0) === 0x80) n++;
    if (n < more || (block[at] & 0xc0) === 0x80) {
      if (block[at + 1] >= 0x80) return at;
      n = 0;
    }
    at += n + 1;
  }
  return block.length;
}

/** Printable, a line's end, a tab, or a byte of UTF-8. */
function isText(byte: number): boolean {
  return byte >= 0x20 ? byte !== 0x7f : byte === 0x0a || byte === 0x0d || byte === 0x09;
}

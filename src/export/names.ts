/** Names for what is written: one component each, never twice in a directory, never longer than systems allow. */
import { blake3 } from '../codec/blake3.ts';
import { MAX_NAME_BYTES } from '../core/limits.ts';
import { fileName } from '../core/locator.ts';

/** What a file is called until it is complete, if writing it takes more than one call. */
export const PART = '.part';
/** Names that this program uses itself at the top of the directory. */
export const OWN_NAMES: readonly string[] = ['.salvor', 'manifest.json'];

/** The names of one output directory. Given in the same order, the same raw names get the same names. */
export class Names {
  /** Whether what has the name is a file, which may be NAME.part for a while. */
  readonly #used: Map<string, boolean>;
  #hasParts = false;

  constructor(taken: readonly string[] = []) {
    this.#used = new Map(taken.map((name) => [name, false]));
  }

  /** A free name for these raw bytes. A file's name is free only if its NAME.part is free too. */
  take(rawName: string, isFile: boolean): string {
    const wanted = cut(fileName(rawName));
    let name = wanted;
    for (let n = 2; this.#isTaken(name, isFile); n++) name = `${wanted};${n}`;
    this.#used.set(name, isFile);
    this.#hasParts ||= name.endsWith(PART);
    return name;
  }

  #isTaken(name: string, isFile: boolean): boolean {
    if (this.#used.has(name) || (isFile && this.#hasParts && this.#used.has(name + PART))) return true;
    return name.endsWith(PART) && this.#used.get(name.slice(0, -PART.length)) === true;
  }
}

/** A name that fits; one that is too long keeps its start and gets a piece of its hash. */
function cut(name: string): string {
  const bytes = Buffer.from(name, 'utf8');
  if (bytes.length <= MAX_NAME_BYTES) return name;
  const mark = `~${Buffer.from(blake3(bytes)).toString('hex', 0, 6)}`;
  let keep = MAX_NAME_BYTES - mark.length;
  while ((bytes[keep] & 0xc0) === 0x80) keep--; // never in the middle of a character
  return bytes.toString('utf8', 0, keep) + mark;
}

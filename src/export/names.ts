/** Names for what is written: one component each, never twice in a directory, never longer than systems allow. */
import { blake3 } from '../codec/blake3.ts';
import { MAX_NAME_BYTES } from '../core/limits.ts';
import { fileName } from '../core/locator.ts';

/** What a file is called until it is complete. */
export const PART = '.part';
/** Names that this program uses itself at the top of the directory. */
export const OWN_NAMES: readonly string[] = ['.salvor', 'manifest.json'];

/** The names of one output directory. Given in the same order, the same raw names get the same names. */
export class Names {
  readonly #used: Set<string>;

  constructor(taken: readonly string[] = []) {
    this.#used = new Set(taken);
  }

  /** A free name for these raw bytes. A file's name is free only if its NAME.part is free too. */
  take(rawName: string, isFile: boolean): string {
    const wanted = cut(fileName(rawName));
    let name = wanted;
    for (let n = 2; this.#used.has(name) || (isFile && this.#used.has(name + PART)); n++) name = `${wanted};${n}`;
    this.#used.add(name);
    if (isFile) this.#used.add(name + PART);
    return name;
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

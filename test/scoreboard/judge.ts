/** What a program brought back, held against what was in the store. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type Case, entryHolds, type Rebuilt } from './case.ts';
import { BlockIndex, type Known, knownFiles, marked, SECTOR } from './known.ts';
import { plans, type Size } from './store.ts';

/** A stretch of a recovered file, in bytes. */
export type Stretch = readonly [offset: number, length: number];

/** A file that a program wrote. */
export interface Recovered {
  /** Relative to what it wrote to. */
  readonly path: string;
  readonly file: string;
  /** What it says it could not have. */
  readonly gaps: readonly Stretch[];
  /** Bytes by grade, where it grades. */
  readonly good?: number;
  readonly doubtful?: number;
  /** Stretches that it grades good, where both grades occur. */
  readonly goodRanges?: () => readonly Stretch[];
}

export interface Share {
  right: number;
  recoverable: number;
}

export interface Score {
  machines: [whole: number, part: number, lost: number];
  files: [whole: number, part: number, lost: number];
  /** Bytes in sectors that are not all zeros. */
  total: number;
  recoverable: number;
  right: number;
  /** Wrong bytes that are graded stated or verified; of a program without grades all that are wrong. */
  lies: number;
  /** Wrong bytes that are graded inferred or guessed. */
  doubtfulWrong: number;
  /** Bytes that were changed in their own place, and given as the store holds them now. */
  altered: number;
  names: number;
  /** Files of which something survives, and texts that can be written again. */
  nameable: number;
  thick: Share;
  thin: Share;
  /** Files with lies, the first few. */
  liars: string[];
  recovered: number;
}

/** A file's bytes beyond this are not looked at. */
const MOST_BYTES = 512 * 0x100000;
const MOST_LIARS = 5;
const ZERO = Buffer.alloc(SECTOR);

export class Judge {
  readonly #case: Case;
  readonly #known: Known[];
  readonly #size: Size;
  #index: BlockIndex | undefined;

  constructor(one: Case, size: Size) {
    this.#case = one;
    this.#size = size;
    this.#known = knownFiles(one);
  }

  /** Scores a program's output; `assembled` are the machines it says it could put together. */
  score(list: Iterable<Recovered>, assembled?: ReadonlySet<string>): Score {
    for (const known of this.#known) {
      known.right.fill(0);
      known.whole = false;
      known.named = false;
    }
    const out = emptyScore();
    const texts = new Set<Rebuilt>();
    for (const one of list) {
      out.recovered++;
      this.#take(one, out, texts);
    }
    this.#sum(out, texts, assembled);
    return out;
  }

  #take(one: Recovered, out: Score, texts: Set<Rebuilt>): void {
    const bytes = readWhole(one.file);
    for (const text of this.#case.rebuilt) {
      if (isRewritten(one.path, text) && bytes.length < 0x10000 && bytes.includes(text.needs)) texts.add(text);
    }
    const match = this.#match(one, bytes);
    if (match === undefined) {
      if (this.#case.foreign || this.#case.rebuilt.some((text) => isRewritten(one.path, text))) return;
      this.#charge(one, wrongSectors(bytes, one.gaps), bytes.length, out);
      return;
    }
    const { known, delta } = match;
    const { wrong, whole, any } = this.#compare(one, bytes, known, delta, out);
    if (any && isNamed(one.path, known.path)) known.named = true;
    if (whole) known.whole = true;
    this.#charge(one, wrong, bytes.length, out);
  }

  /** The known file of that name which shares something, or else the one that shares most. */
  #match(one: Recovered, bytes: Buffer): { known: Known; delta: number } | undefined {
    const named = this.#known.filter((known) => isNamed(one.path, known.path));
    let best: Known | undefined;
    let most = 0;
    for (const known of named) {
      const same = sharedSectors(bytes, known);
      if (best !== undefined && same <= most) continue;
      best = known;
      most = same;
    }
    // Of what is presented as good every byte counts where it stands.
    if (best !== undefined && most > 0 && one.good !== 0) return { known: best, delta: 0 };
    this.#index ??= new BlockIndex(this.#known);
    const found = this.#index.best(bytes, sectorsOf(one.gaps, bytes.length));
    if (best === undefined || (most === 0 && found !== undefined)) return found;
    return found?.known === best ? found : { known: best, delta: 0 };
  }

  #compare(
    one: Recovered,
    bytes: Buffer,
    known: Known,
    delta: number,
    out: Score,
  ): { wrong: number[]; whole: boolean; any: boolean } {
    const wrong: number[] = [];
    const missing = sectorsOf(one.gaps, bytes.length);
    let any = known.bytes.length === 0;
    let exact = delta === 0 && bytes.length === known.bytes.length;
    for (let at = 0, i = 0; at < bytes.length; at += SECTOR, i++) {
      const end = Math.min(bytes.length, at + SECTOR);
      const place = at + delta;
      const inside = place >= 0 ? Math.max(0, Math.min(end - at, known.bytes.length - place)) : 0;
      if (missing[i] === 1) {
        exact &&= known.full[place / SECTOR] !== 1;
        continue;
      }
      const same = inside > 0 && bytes.compare(known.bytes, place, place + inside, at, at + inside) === 0;
      // What a program adds behind a file's end is no harm where it is zeros, or less than a sector of what lies there.
      if ((same && inside < end - at) || (inside === 0 && bytes.compare(ZERO, 0, end - at, at, end) === 0)) continue;
      if (same) {
        if (known.full[place / SECTOR] !== 1) continue;
        known.right[place / SECTOR] = 1;
        any = true;
        continue;
      }
      exact = false;
      const there = Math.min(inside, known.stored.length - place);
      const asStored =
        this.#case.altered && there > 0 && bytes.compare(known.stored, place, place + there, at, at + there) === 0;
      if (asStored) out.altered += end - at;
      else wrong.push(i);
    }
    return { wrong, whole: exact, any };
  }

  /** Counts wrong sectors by what the program said of them. */
  #charge(one: Recovered, wrong: readonly number[], size: number, out: Score): void {
    if (wrong.length === 0) return;
    const bytesOf = (i: number): number => Math.min(SECTOR, size - i * SECTOR);
    let lies = 0;
    let doubtful = 0;
    const good = one.good === undefined || one.doubtful === 0 ? undefined : one.good === 0 ? [] : one.goodRanges?.();
    const isGood = good === undefined ? undefined : sectorsOf(good, size);
    for (const i of wrong) {
      if (isGood === undefined || isGood[i] === 1) lies += bytesOf(i);
      else doubtful += bytesOf(i);
    }
    out.lies += lies;
    out.doubtfulWrong += doubtful;
    if (lies > 0 && out.liars.length < MOST_LIARS) out.liars.push(`${one.path}: ${lies} from sector ${wrong[0]}`);
  }

  #sum(out: Score, texts: ReadonlySet<Rebuilt>, assembled: ReadonlySet<string> | undefined): void {
    const thin = new Set(plans(this.#size).flatMap((plan) => (plan.provision === 'thin' ? [plan.name] : [])));
    for (const known of this.#known.filter((one) => one.wanted)) {
      const recoverable = marked(known, known.survives);
      // What survives only elsewhere, in a journal, counts as brought back but not as more than there is.
      const right = marked(known, known.right);
      out.total += marked(known, known.full);
      out.recoverable += recoverable;
      out.right += right;
      if (known.path.endsWith('-flat.vmdk')) {
        const share = thin.has(known.path.split('/')[1]) ? out.thin : out.thick;
        share.right += right;
        share.recoverable += recoverable;
      }
      out.files[known.whole ? 0 : right > 0 ? 1 : 2]++;
      if (recoverable === 0 || !this.#nameable(known.path)) continue;
      out.nameable++;
      if (known.named) out.names++;
    }
    out.nameable += this.#case.rebuilt.length;
    out.names += texts.size;
    this.#machines(out, texts, assembled);
  }

  #nameable(path: string): boolean {
    if (!this.#case.byEntry) return true;
    return entryHolds(this.#case, path) && entryHolds(this.#case, path.slice(0, path.lastIndexOf('/')));
  }

  #machines(out: Score, texts: ReadonlySet<Rebuilt>, assembled: ReadonlySet<string> | undefined): void {
    for (const { name } of plans(this.#size)) {
      const own = this.#known.filter((known) => known.wanted && known.path.startsWith(`/${name}/`));
      const disks = own.filter((known) => known.path.endsWith('-flat.vmdk') || known.path.endsWith('-delta.vmdk'));
      if (disks.length === 0) continue;
      const needed = own.filter((known) => /\.(vmdk|vmx)$/.test(known.path));
      const rewritten = this.#case.rebuilt.filter((text) => text.path.startsWith(`/${name}/`));
      const isReady =
        rewritten.every((text) => texts.has(text)) && (this.#case.chain === undefined || assembled?.has(name) === true);
      const whole = isReady && needed.every((known) => known.whole && known.named);
      const part = disks.some((known) => known.right.includes(1));
      out.machines[whole ? 0 : part ? 1 : 2]++;
    }
  }
}

export function emptyScore(): Score {
  const share = (): Share => ({ right: 0, recoverable: 0 });
  return {
    machines: [0, 0, 0],
    files: [0, 0, 0],
    total: 0,
    recoverable: 0,
    right: 0,
    lies: 0,
    doubtfulWrong: 0,
    altered: 0,
    names: 0,
    nameable: 0,
    thick: share(),
    thin: share(),
    liars: [],
    recovered: 0,
  };
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether a file is a text written anew: under its name, or marked as such beside the one that does not fit. */
function isRewritten(path: string, text: Rebuilt): boolean {
  return baseOf(path).replace('.regenerated', '') === baseOf(text.path);
}

/** Whether a recovered file stands under its own name in its own folder, wherever that folder is. */
function isNamed(path: string, known: string): boolean {
  return `/${path}`.endsWith(known);
}

function sectorsOf(list: readonly Stretch[], size: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(size / SECTOR));
  for (const [offset, length] of list) out.fill(1, Math.floor(offset / SECTOR), Math.ceil((offset + length) / SECTOR));
  return out;
}

function wrongSectors(bytes: Buffer, gaps: readonly Stretch[]): number[] {
  const missing = sectorsOf(gaps, bytes.length);
  const out: number[] = [];
  for (let at = 0, i = 0; at < bytes.length; at += SECTOR, i++) {
    const end = Math.min(bytes.length, at + SECTOR);
    if (missing[i] !== 1 && bytes.compare(ZERO, 0, end - at, at, end) !== 0) out.push(i);
  }
  return out;
}

function sharedSectors(bytes: Buffer, known: Known): number {
  let sum = known.bytes.length === 0 ? 1 : 0;
  const length = Math.min(bytes.length, known.bytes.length);
  for (let at = 0, i = 0; at < length; at += SECTOR, i++) {
    const end = Math.min(length, at + SECTOR);
    if (known.full[i] === 1 && bytes.compare(known.bytes, at, end, at, end) === 0) sum++;
  }
  return sum;
}

function readWhole(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const size = Math.min(MOST_BYTES, fstatSync(file).size);
    const out = Buffer.alloc(size);
    for (let done = 0; done < size; ) {
      const n = readSync(file, out, done, size - done, done);
      if (n === 0) break;
      done += n;
    }
    return out;
  } finally {
    closeSync(file);
  }
}

/**
 * The survey of what a volume holds and no longer shows: the live tree, then every descriptor, then the directories
 * that went with them. Metadata only, once per volume. Source: vmfs.md sections 5, 6.2 and 8.5.
 */
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES, MAX_PATH_DEPTH } from '../../../core/limits.ts';
import { GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { addressText, fdAddress, fdNumbers } from './address.ts';
import { type Bitmap, bitmaps } from './bitmaps.ts';
import { type Descriptor, isForeign, numberText } from './descriptor.ts';
import { flatEntries } from './directory.ts';
import { hashedEntries } from './directory6.ts';
import { type AfterImage, afterImages } from './journal.ts';
import { rootOf } from './rebuild-root.ts';
import { FileClaims } from './residue-claims.ts';
import { HEAD_BYTES, isDisk } from './residue-content.ts';
import { MAX_DIRECTORY, type Trace, tracesOf } from './residue-dirents.ts';
import { looseEntries } from './residue-loose.ts';
import { chainSource, residualSource } from './residue-map.ts';
import { isBareSmall, isBlank, isUnread, type Match, matched, type Want, wantOf } from './residue-match.ts';
import { type Span, spansOf } from './residue-place.ts';
import { type Chain, orphanTables } from './residue-pointers.ts';
import { type Loose, looseIn } from './residue-unowned.ts';
import { FROM_JOURNAL, isCleared, isSame, versionsIn } from './residue-versions.ts';
import { lock, TYPE_DIRECTORY, TYPE_SYSTEM } from './structs.ts';
import type { Volume } from './volume.ts';

/** A descriptor that nothing live names. Its pointers are read again when they are wanted: most never are. */
export interface Residue {
  /** Its address; above 2**32 for further versions of what was in the same slot. */
  readonly key: number;
  readonly address: number;
  readonly generation: number;
  readonly type: number;
  readonly length: number;
  readonly modified: number;
  /** How often it was locked: of two with one time, the later one. */
  readonly token: number;
  readonly state: 'deleted' | 'orphan';
  /** Why it is here: also the reason why its bytes are inferred at most. */
  readonly code: string;
  /** Descriptor address of the directory it was in, where the descriptor itself says so (VMFS6); else 0. */
  readonly parent: number;
}

/** Bytes of directories that are gone, all together. */
const MAX_GONE = 8 * MAX_DIRECTORY;

/** Versions of what was in one slot, and how far apart their keys are. */
const MAX_VERSIONS = 8;
const KEYS = 2 ** 32;

/** Live files whose names are kept, to say which of them took a block. */
const MAX_NAMES = 1 << 18;
/** Live disks whose descriptors may name a file that is nowhere. */
const MAX_DISKS = 4096;
/** Live files without pointers that are remembered. */
const MAX_UNREAD = 4096;
/** Stretches of directories that are remembered, for copies of them in the journal. */
const MAX_PLACES = 1 << 16;

/** Names of the directories from the root down to one. */
type Path = readonly string[];

export class Survey {
  readonly volume: Volume;
  /** What live files claim, and what residues do. */
  readonly live: FileClaims;
  readonly gone: FileClaims;
  readonly unowned: FileClaims;
  /** By their keys: in the order of their positions, then further versions. */
  readonly residues: Map<number, Residue> = new Map();
  /** What the journal remembers of some of them, in place of their slots. */
  readonly #versions = new Map<number, Descriptor>();
  /** Where the directories lie in the volume, as far as that is known. */
  readonly #places: { readonly directory: number; readonly span: Span }[] = [];
  readonly #bitmaps = new Map<number, Bitmap>();
  /** Live directories. */
  readonly paths: Map<number, Path> = new Map();
  /** Entries that no listing shows. */
  readonly traces: Trace[] = [];
  /** What the ".." of a directory that is gone says. */
  readonly above: Map<number, number> = new Map();
  /** Files that lost their pointers, by their keys. */
  readonly wants: Map<number, Want> = new Map();
  /** Files in sub-blocks that lost their pointers, by their keys. */
  readonly small: Set<number> = new Set();
  /** Pointer blocks that no descriptor leads to and that fit none; none before findTables. */
  chains: readonly Chain[] = [];
  /** Those that fit files whose pointers were cleared, by their keys. */
  matches: ReadonlyMap<number, readonly Match[]> = new Map();
  /** Entries in sub-blocks that nothing holds; none before findLoose. */
  readonly looseEntries: Trace[] = [];
  /** Live files that are called like disks. */
  readonly disks: { readonly address: number; readonly name: string; readonly directory: number }[] = [];
  readonly #disksHere = new Set<string>();
  #tables: Promise<void> | undefined;
  #loose: Promise<Loose> | undefined;
  /** Live files whose pointers could not be read. */
  readonly unread: Descriptor[] = [];
  /** Limits that were reached. */
  readonly damage: Damage[] = [];
  /** Descriptors that entries name, and the generation that the entry asks for. */
  readonly #reachable = new Map<number, number>();
  readonly #names = new Map<number, { readonly name: string; readonly directory: number }>();
  #goneBytes = 0;

  private constructor(volume: Volume) {
    this.volume = volume;
    this.live = new FileClaims(volume.geometry, true);
    this.gone = new FileClaims(volume.geometry);
    this.unowned = new FileClaims(volume.geometry);
  }

  static async take(volume: Volume): Promise<Survey> {
    const survey = new Survey(volume);
    await survey.#walkTree();
    await survey.#walkDescriptors();
    for (const residue of survey.residues.values()) await survey.#claim(residue);
    for (const residue of survey.residues.values()) {
      if (residue.type === TYPE_DIRECTORY) await survey.#readGone(residue);
    }
    await survey.#readJournal();
    return survey;
  }

  /** What is left of the descriptor itself: in its slot, or a copy of it. */
  descriptor(residue: Residue): Descriptor | undefined | Promise<Descriptor | undefined> {
    return this.#versions.get(residue.key) ?? this.volume.descriptor(residue.address);
  }

  /** All that was in one slot and is gone, the slot's own first. */
  at(address: number): Residue[] {
    const out: Residue[] = [];
    for (let key = address, n = 0; n <= MAX_VERSIONS; n++, key += KEYS) {
      const residue = this.residues.get(key);
      if (residue !== undefined) out.push(residue);
    }
    return out;
  }

  /** The bytes of what is left of a file. */
  async bytesOf(residue: Residue, fd: Descriptor): ReturnType<typeof residualSource> {
    const [match] = this.matches.get(residue.key) ?? [];
    return match === undefined ? residualSource(this.volume, this, fd, residue.code) : this.matchedBytes(match);
  }

  /** The bytes that pointer blocks lead to which fit a file. */
  matchedBytes(match: Match): ReturnType<typeof residualSource> {
    return chainSource(this.volume, this, match.chain, match.only ? INFERRED : GUESSED);
  }

  async #walkTree(): Promise<void> {
    const root = fdAddress(0, 0);
    this.#reachable.set(root, 1);
    this.paths.set(root, []);
    const queue = [root];
    const six = this.volume.geometry.version === 6;
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const fd = next === root ? await rootOf(this.volume) : await this.volume.descriptor(next);
      const path = this.paths.get(next)!;
      if (fd === undefined || isForeign(fd) || path.length >= MAX_PATH_DEPTH) continue;
      const source = this.volume.source(fd, false);
      // What is wrong with a directory is said where it is listed.
      const quiet = (): void => {};
      const listed = new Set<string>();
      const lists = six ? hashedEntries(source, this.volume.geometry.lockBytes, quiet) : flatEntries(source, quiet);
      for await (const entries of lists) {
        for (const entry of entries) {
          const { address, type, name } = entry;
          listed.add(name);
          // A name whose descriptor is lost leads nowhere; what it meant may still be found.
          const meant = type === TYPE_DIRECTORY ? undefined : await this.volume.descriptor(address);
          if (type !== TYPE_DIRECTORY && (meant === undefined || isBlank(meant) || isForeign(meant))) {
            if (this.traces.length < MAX_NAMES)
              this.traces.push({ ...entry, how: 'empty', directory: next, before: next });
            continue;
          }
          this.#reachable.set(address, entry.generation);
          if (this.#names.size < MAX_NAMES && !this.#names.has(address))
            this.#names.set(address, { name, directory: next });
          if (name.endsWith('.vmdk') && this.disks.length < MAX_DISKS) {
            this.disks.push({ address, name, directory: next });
            this.#disksHere.add(`${next}/${name}`);
          }
          if (type !== TYPE_DIRECTORY || this.paths.has(address)) continue;
          this.paths.set(address, [...path, name]);
          queue.push(address);
        }
      }
      const whole = this.volume.source(wholeBlocks(fd), false);
      if (!six) await this.#place(next, whole);
      const { entries } = await tracesOf(this.volume.geometry, next, whole, fd.length);
      for (const trace of entries) {
        if (trace.how !== 'used') this.traces.push(trace);
        // A list may be broken where the entries themselves are whole.
        else if (!listed.has(trace.name)) this.traces.push({ ...trace, how: 'unlisted' });
      }
    }
  }

  async #walkDescriptors(): Promise<void> {
    const { fdc } = this.volume.files;
    if (fdc === undefined) return;
    for await (const [cluster, bitmap] of bitmaps(this.volume, fdc)) {
      if (bitmap !== undefined) this.#bitmaps.set(cluster, bitmap);
      for (const fd of await this.volume.descriptorsOf(cluster, () => true)) {
        if (this.#isNamed(fd)) {
          await this.live.add(this.volume, fd);
          if (isUnread(fd) && this.unread.length < MAX_UNREAD) this.unread.push(fd);
        } else if (fd.type === TYPE_SYSTEM) await this.live.add(this.volume, fd);
        else if (isThere(fd))
          this.residues.set(fd.address, await residueOf(fd, bitmap, this.volume.geometry.version === 6));
      }
    }
  }

  /** Whether an entry names it: by its number, and by its generation where only its lock was lost. */
  #isNamed(fd: Descriptor): boolean {
    const generation = this.#reachable.get(fd.address);
    return generation !== undefined && (isItself(fd) || (isThere(fd) && generation === fd.generation));
  }

  /** What the journal remembers and no slot says: files whose descriptors were cleared, or their pointers. */
  async #readJournal(): Promise<void> {
    const { volume } = this;
    const images = await afterImages(volume, [this.live, this.gone]);
    await this.#journalEntries(images);
    for (const fd of await versionsIn(volume, images)) {
      const slot = await volume.descriptor(fd.address);
      const isLive = slot !== undefined && this.#isNamed(slot);
      // An older state of a file that lives is no file of its own.
      if (isLive && slot.generation === fd.generation) continue;
      const known = await Promise.all(this.at(fd.address).map(async (one) => this.descriptor(one)));
      if (known.some((one) => one !== undefined && isSame(one, fd))) continue;
      const bare = this.at(fd.address).find((_, i) => known[i] !== undefined && isCleared(known[i], fd));
      const free = known.length === 0 && !isLive ? 0 : known.length + (isLive ? 1 : 0);
      if (bare === undefined && free > MAX_VERSIONS) continue;
      const key = bare?.key ?? fd.address + free * KEYS;
      const { cluster, resource } = fdNumbers(fd.address)!;
      const allocated = this.#bitmaps.get(cluster)?.allocated(resource);
      const state = isLive || allocated === false ? 'deleted' : 'orphan';
      const { address, generation, type, length, modified } = fd;
      const parent = volume.geometry.version === 6 ? fd.parent : 0;
      const token = bare?.token ?? 0;
      const residue: Residue = {
        key,
        address,
        generation,
        type,
        length,
        modified,
        token,
        state,
        code: FROM_JOURNAL,
        parent,
      };
      this.residues.set(key, residue);
      this.#versions.set(key, fd);
      if (type === TYPE_DIRECTORY) await this.#readGone(residue);
      // Two versions of one file do not take each other's blocks.
      const twin = this.at(address).some((one) => one.key !== key && one.generation === generation);
      if (!twin) await this.#claim(residue);
    }
  }

  /** Entries in copies of directory blocks. On VMFS3 and VMFS5 a copy's target tells whose block it is of. */
  async #journalEntries(images: readonly AfterImage[]): Promise<void> {
    for (const { source, at, length, target } of images) {
      const bytes = new Uint8Array(length);
      await source.read(at, bytes);
      const inside = ({ at: from, length: size }: Span): boolean => target! >= from && target! < from + size;
      const home = target === undefined ? undefined : this.#places.find(({ span }) => inside(span));
      const offset = home === undefined ? 0 : home.span.offset + target! - home.span.at;
      const { geometry } = this.volume;
      // An entry without address stands in its directory as well, and counts once.
      const entries = looseEntries(geometry, bytes, 'journal', home?.directory ?? 0, offset);
      for (const entry of entries) if (entry.address !== 0) this.traces.push(entry);
    }
  }

  /** Remembers where a directory lies. */
  async #place(directory: number, bytes: Source): Promise<void> {
    const spans = await spansOf(this.volume, bytes, 0, Math.min(bytes.size, MAX_DIRECTORY));
    for (const span of spans) if (this.#places.length < MAX_PLACES) this.#places.push({ directory, span });
  }

  async #claim(residue: Residue): Promise<void> {
    const fd = await this.descriptor(residue);
    if (fd === undefined) return;
    await this.gone.add(this.volume, fd);
    if (isBareSmall(fd)) this.small.add(residue.key);
    else this.small.delete(residue.key);
    const want = wantOf(fd, residue.key, residue.parent);
    if (want === undefined) this.wants.delete(residue.key);
    else this.wants.set(residue.key, want);
  }

  /** Looks for pointer blocks that no descriptor leads to: more to read than all the rest, so only on demand. */
  findTables(): Promise<void> {
    this.#tables ??= this.#findTables();
    return this.#tables;
  }

  async #findTables(): Promise<void> {
    const chains = await orphanTables(this.volume, [this.live, this.gone]);
    for (const { pointers, levels } of chains) await this.unowned.addTable(this.volume, pointers, levels);
    this.matches = await this.match([...this.wants.values()], chains);
    const taken = new Set([...this.matches.values()].flat().flatMap(({ parts }) => parts));
    this.chains = chains.filter((chain) => !taken.has(chain));
  }

  /** Looks through sub-blocks that nothing holds; on demand as well. */
  findLoose(): Promise<Loose> {
    this.#loose ??= this.findTables()
      .then(() => looseIn(this.volume, [this.live, this.gone, this.unowned]))
      .then((loose) => {
        for (const entry of loose.entries) this.looseEntries.push(entry);
        for (const [own, parent] of loose.above) {
          if (!this.paths.has(own) && !this.above.has(own)) this.above.set(own, parent);
        }
        return loose;
      });
    return this.#loose;
  }

  /** Names of live files and their directories, by the addresses of their descriptors. */
  get liveNames(): ReadonlyMap<number, { readonly name: string; readonly directory: number }> {
    return this.#names;
  }

  /** Path of a live file, by its descriptor's address. */
  liveName(address: number): string {
    const entry = this.#names.get(address);
    if (entry === undefined) return `file descriptor ${addressText(address)}`;
    return `/${[...(this.paths.get(entry.directory) ?? []), entry.name].join('/')}`;
  }

  /** Whether an entry means a file that lives. */
  isLive({ address, directory, name }: Trace): boolean {
    if (address !== 0 && this.#reachable.has(address)) return true;
    return this.#disksHere.has(`${directory}/${name}`);
  }

  /** Which of these chains fit what is wanted. */
  match(wants: readonly Want[], chains: readonly Chain[]): Promise<Map<number, Match[]>> {
    return matched(this.volume.geometry, wants, chains, async (chain) => {
      const head = new Uint8Array(Math.min(HEAD_BYTES, chain.size));
      await (await chainSource(this.volume, this, chain, GUESSED)).read(0, head);
      return isDisk(head);
    });
  }

  async #readGone(residue: Residue): Promise<void> {
    const fd = await this.descriptor(residue);
    if (fd === undefined) return;
    this.#goneBytes += Math.min(fd.length, MAX_DIRECTORY);
    if (fd.length > MAX_DIRECTORY || this.#goneBytes > MAX_GONE) {
      const expected = `directories of at most ${MAX_DIRECTORY} bytes, and ${MAX_GONE} all together`;
      const limit = { at: fd.at, code: 'vmfs.residue-limit', expected, actual: numberText(fd.length) };
      if (this.damage.length < MAX_DAMAGES) this.damage.push(this.volume.note(limit, 'some names are not looked for'));
      if (this.#goneBytes > MAX_GONE) return;
    }
    const bytes = await this.bytesOf(residue, wholeBlocks(fd));
    if (this.volume.geometry.version !== 6) await this.#place(residue.address, bytes);
    const { entries, parent } = await tracesOf(this.volume.geometry, residue.address, bytes, fd.length);
    this.traces.push(...entries);
    if (parent !== undefined && parent !== residue.address) this.above.set(residue.address, parent);
  }
}

/** A directory with all of its last block: entries may be left behind its end. */
function wholeBlocks(fd: Descriptor): Descriptor {
  return Number.isFinite(fd.length) ? { ...fd, length: Math.ceil(fd.length / fd.unit) * fd.unit } : fd;
}

/** A copy of a descriptor in another's place claims nothing. */
function isItself(fd: Descriptor): boolean {
  return !fd.doubts.some((d) => d.code === 'vmfs.fd.self-address' || d.code === 'vmfs.fd.address');
}

/** A slot that was once a file's: it knows its own address and has a type; the lock may be gone. */
function isThere(fd: Descriptor): boolean {
  const needed = ['vmfs.fd.address', 'vmfs.fd.type', 'vmfs.fd.signature'];
  return !fd.doubts.some((d) => needed.includes(d.code));
}

async function residueOf(fd: Descriptor, bitmap: Bitmap | undefined, six: boolean): Promise<Residue> {
  const allocated = bitmap?.allocated(fd.address >>> 22);
  const code = allocated === undefined ? 'vmfs.fd.bitmap-lost' : allocated ? 'vmfs.fd.unnamed' : 'vmfs.fd.free';
  const { address, generation, type, length, modified } = fd;
  const state = allocated === false ? 'deleted' : 'orphan';
  const head = new Uint8Array(lock.size);
  await fd.source.read(fd.sourceAt, head);
  const token = lock.decode(head).token.low;
  const parent = six ? fd.parent : 0;
  return { key: address, address, generation, type, length, modified, token, state, code, parent };
}

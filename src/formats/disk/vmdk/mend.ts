/** Makes descriptors anew: those that are lost, unusable, or at odds with what they belong to. Source: vmdk.md 9 and 10. */
import type { Folder, Mended, Mender } from '../../../core/mend.ts';
import { GUESSED } from '../../../core/run.ts';
import { type MachineTexts, machineTexts, NO_TEXTS } from '../../machine/sources.ts';
import { quotable } from '../../untangle.ts';
import { Chains, numbered, ownId } from './chains.ts';
import { assumed, composed, type Draft, geometryOf, inferred, type Said } from './compose.ts';
import { type Extent, isThick } from './extents.ts';
import { type Link, renamed, type Survey, survey } from './survey.ts';

export const mender: Mender = {
  pieces: /\.vmdk$/i,
  async mend(folder) {
    // Logs are long: they are read only where something is lacking.
    const first = await attempt(folder, NO_TEXTS);
    return first.length === 0 ? [] : attempt(folder, await machineTexts(folder));
  },
};

/** Extents of one descriptor that are looked for under other names: more are no accident. */
const MAX_LOST = 64;

async function attempt(folder: Folder, texts: MachineTexts): Promise<Mended[]> {
  const found = await survey(folder);
  if (found.links.size === 0 && found.extents.size === 0) return [];
  const work = new Work(folder, found, texts);
  await work.findExtents();
  return work.mended();
}

class Work {
  readonly #folder: Folder;
  readonly #found: Survey;
  readonly #texts: MachineTexts;
  /** The file that stands for a lost extent, by descriptor and name. */
  readonly #moved = new Map<string, string>();
  /** The extent that a descriptor without readable extents belongs to. */
  readonly #adopted = new Map<string, Extent>();
  readonly #notes = new Map<string, string[]>();
  /** New names of descriptors that are replaced. */
  readonly #renamed = new Map<string, string>();

  constructor(folder: Folder, found: Survey, texts: MachineTexts) {
    this.#folder = folder;
    this.#found = found;
    this.#texts = texts;
  }

  /** Gives descriptors their extents: lost ones by size, and files that nothing names by their own names. */
  async findExtents(): Promise<void> {
    const { links, extents, claimed } = this.#found;
    for (const link of links.values()) {
      for (const line of link.text?.extents ?? []) {
        if (!link.lost.has(line.file) || link.lost.size > MAX_LOST) continue;
        const all = await renamed(line.sectors, line.type.endsWith('SPARSE'), this.#found);
        const own = all.filter((name) => extents.get(name)?.descriptor === link.rawName);
        const fits = own.length === 1 ? own : all;
        if (fits.length === 1) {
          this.#moved.set(`${link.rawName}\n${line.file}`, fits[0]);
          claimed.add(fits[0]);
          this.#note(
            link.rawName,
            `${fits[0]} is taken for ${line.file}: it is the only file of that size that nothing names.`,
          );
        }
      }
    }
    for (const extent of extents.values()) {
      if (claimed.has(extent.rawName)) continue;
      const known = links.get(extent.descriptor);
      if (known !== undefined && known.faults.length === 0) continue;
      // A text whose own extents are at hand belongs to those.
      if (known?.text !== undefined && known.text.extents.length > 0 && known.lost.size === 0) continue;
      if (known === undefined) {
        links.set(extent.descriptor, { rawName: extent.descriptor, faults: ['it is missing'], lost: new Set() });
      }
      this.#adopted.set(extent.descriptor, extent);
      for (const note of extent.notes) this.#note(extent.descriptor, note);
    }
  }

  mended(): Mended[] {
    const { links } = this.#found;
    const chains = new Chains(this.#folder.rawName, links, this.#texts, (link) => this.#isDelta(link));
    for (const link of links.values()) this.#checkParent(link, chains);
    // What names a replaced descriptor has to be replaced itself, and so on up the chain: each pass adds some or ends.
    for (let before = -1; before !== this.#renamed.size; ) {
      before = this.#renamed.size;
      for (const link of links.values()) {
        const parent = chains.parentOf(link);
        const moved = parent === undefined ? undefined : this.#renamed.get(parent.value);
        if (moved !== undefined && link.faults.length === 0)
          link.faults.push(`it lies on ${parent!.value}, made anew as ${moved}`);
        const isWanted = link.faults.length > 0 && !this.#renamed.has(link.rawName) && this.#canBeMade(link);
        if (isWanted && this.#folder.free(link.rawName) !== link.rawName)
          this.#renamed.set(link.rawName, this.#folder.free(link.rawName));
      }
    }
    const out: Mended[] = [];
    for (const link of links.values()) {
      const made = link.faults.length > 0 && this.#canBeMade(link) ? this.#make(link, chains) : undefined;
      if (made !== undefined) out.push(made);
    }
    return out;
  }

  #note(rawName: string, note: string): void {
    this.#notes.set(rawName, [...(this.#notes.get(rawName) ?? []), note]);
  }

  #isDelta(link: Link): boolean {
    const adopted = this.#adopted.get(link.rawName);
    if (adopted !== undefined) return adopted.type !== 'VMFS';
    return link.text?.extents.some((line) => /^(VMFSSPARSE|SESPARSE)$/.test(line.type)) ?? false;
  }

  /** A sound descriptor that does not agree with the one below it. */
  #checkParent(link: Link, chains: Chains): void {
    const parent = chains.parentOf(link);
    const below = parent === undefined ? undefined : this.#found.links.get(parent.value);
    if (below === undefined || below === link) return;
    const [says, is] = [ownId(link, 'parentcid'), ownId(below, 'cid')];
    if (says === undefined || is === undefined || says === is) return;
    if (link.faults.length === 0)
      link.faults.push(`its parentCID is ${says}, and the CID of ${below.rawName} is ${is}`);
    const [own, lower] = [this.#written(link), this.#written(below)];
    const note =
      own !== undefined && lower !== undefined && lower > own
        ? `${below.rawName} was written to after ${link.rawName}: what the snapshot shows may be mixed from two times.`
        : `Nothing shows that ${below.rawName} was written to after the snapshot; check the disk before it is used.`;
    this.#note(link.rawName, note);
  }

  /** When the bytes of a disk were last written. */
  #written(link: Link): number | undefined {
    const file = link.text?.extents[0]?.file ?? this.#adopted.get(link.rawName)?.rawName;
    return file === undefined ? undefined : this.#folder.pieces.get(file)?.facts.modified;
  }

  #canBeMade(link: Link): boolean {
    const extents = this.#extentLines(link);
    return extents !== undefined && extents.lines.length > 0 && quotable(link.rawName);
  }

  /** Lines of the extents, and the files they name; undefined where one is not to be had. */
  #extentLines(link: Link): { lines: Said<string>[]; files: string[]; sectors: number } | undefined {
    const adopted = this.#adopted.get(link.rawName);
    if (adopted !== undefined) {
      const { rawName, type } = adopted;
      const { file } = adopted.piece;
      const sectors = adopted.sectors || this.#sectorsOfStem(link);
      if (sectors === 0 || !quotable(file)) return undefined;
      const line = `RW ${sectors} ${type} "${file}"`;
      const from = type === 'VMFS' ? `size of ${file}` : `header of ${file}`;
      const said: Said<string> =
        adopted.sectors === 0 || adopted.isGuessed
          ? { value: line, from: `${from}, guessed`, certainty: GUESSED }
          : inferred(line, from);
      return { lines: [said], files: [rawName], sectors };
    }
    const lines: Said<string>[] = [];
    const files: string[] = [];
    let sectors = 0;
    for (const line of link.text?.extents ?? []) {
      const moved = this.#moved.get(`${link.rawName}\n${line.file}`);
      if (moved === undefined && link.lost.has(line.file)) return undefined;
      const file = moved ?? line.file;
      if (file !== '' && !quotable(file)) return undefined;
      const extent = this.#found.extents.get(file);
      // The file itself knows best how large it is.
      const exact =
        extent !== undefined && extent.sectors > 0 && (extent.type !== 'VMFS' || extent.sectors > line.sectors);
      const count = exact ? extent.sectors : line.sectors;
      const offset = line.type === 'FLAT' ? ` ${line.offset}` : '';
      const written = this.#folder.pieces.get(file)?.file ?? file;
      const text = `${line.access} ${count} ${line.type}${file === '' ? '' : ` "${written}"`}${offset}`;
      // That it has the right size does not prove that it is the one.
      const guess: Said<string> = { value: text, from: `size of ${written}, guessed`, certainty: GUESSED };
      lines.push(moved === undefined ? inferred(text, exact ? file : link.rawName) : guess);
      if (file !== '') files.push(file);
      sectors += count;
    }
    return { lines, files, sectors };
  }

  /** Sectors of the base of the same name, for a delta whose header is lost. */
  #sectorsOfStem(link: Link): number {
    const { stem } = numbered(link.rawName);
    for (const extent of this.#found.extents.values()) {
      if (extent.sectors > 0 && numbered(extent.descriptor).stem === stem) return extent.sectors;
    }
    return 0;
  }

  #make(link: Link, chains: Chains): Mended | undefined {
    const extents = this.#extentLines(link)!;
    const isDelta = this.#isDelta(link);
    const named = chains.parentOf(link);
    const parent = named && { ...named, value: this.#renamed.get(named.value) ?? named.value };
    if (parent !== undefined && !quotable(parent.value.replaceAll('/', ''))) return undefined;
    const adapter = this.#adapter(link);
    const adopted = this.#adopted.get(link.rawName);
    const type = link.text?.values.get('createtype');
    const draft: Draft = {
      cid: chains.idOf(link),
      parentCid: chains.parentIdOf(link),
      createType:
        type !== undefined && /^[A-Za-z0-9]+$/.test(type) && adopted === undefined
          ? inferred(type, link.rawName)
          : inferred(adopted?.createType ?? (isDelta ? 'vmfsSparse' : 'vmfs'), 'the kind of its extent'),
      ...(parent && { parent }),
      extents: extents.lines,
      adapter,
      hardware: this.#hardware(link),
      ...(!isDelta && { geometry: inferred(geometryOf(extents.sectors, adapter.value), 'size of the disk') }),
      kept: this.#kept(link, chains.idOf(link).value),
      ...this.#thin(link, extents.files),
    };
    const notes = [...(this.#notes.get(link.rawName) ?? [])];
    const isBelow = parent !== undefined && !parent.value.includes('/') && !this.#found.links.has(named!.value);
    if (isBelow) notes.push(`${parent.value}, which it lies on, is not there: only what was written since is in it.`);
    if (parent?.from === 'assumed')
      notes.push(`That it lies on ${parent.value} is taken from the numbers in the names alone.`);
    const rawName = this.#renamed.get(link.rawName) ?? link.rawName;
    const there = this.#folder.pieces.get(link.rawName)?.file;
    const replaces = there === undefined ? {} : { replaces: there };
    const lacks =
      there === undefined ? `${link.rawName} is missing` : `${there} cannot be used: ${link.faults.join('; ')}`;
    return {
      rawName,
      ...replaces,
      lacks,
      lines: composed(draft),
      notes,
      uses: extents.files.map((name) => this.#folder.pieces.get(name)?.file ?? name),
    };
  }

  /** The slot and settings of the machine that name a disk of this name, whichever of its snapshots. */
  #slot(link: Link): { controller: string; device: string; from: string } | undefined {
    const { stem } = numbered(link.rawName);
    for (const { values, rawName } of [...this.#texts.configurations, ...this.#texts.settings]) {
      for (const [key, file] of values) {
        const controller = /^((?:scsi|sata|nvme|ide)\d+):\d+\.filename$/.exec(key)?.[1];
        const name = file.split('/').pop() ?? '';
        if (controller === undefined || !/\.vmdk$/i.test(name) || numbered(name).stem !== stem) continue;
        return { controller, device: values.get(`${controller}.virtualdev`) ?? '', from: rawName };
      }
    }
    return undefined;
  }

  #adapter(link: Link): Said<string> {
    const own = link.text?.values.get('ddb.adaptertype');
    if (own !== undefined && /^\w+$/.test(own)) return inferred(own, link.rawName);
    const slot = this.#slot(link);
    if (slot === undefined) return assumed('lsilogic');
    if (slot.controller.startsWith('ide')) return inferred('ide', slot.from);
    return inferred(/buslogic/i.test(slot.device) ? 'buslogic' : 'lsilogic', slot.from);
  }

  #hardware(link: Link): Said<string> {
    const own = link.text?.values.get('ddb.virtualhwversion');
    if (own !== undefined && /^\d{1,3}$/.test(own)) return inferred(own, link.rawName);
    for (const { values, rawName } of [...this.#texts.configurations, ...this.#texts.settings]) {
      const version = values.get('virtualhw.version');
      if (version !== undefined && /^\d{1,3}$/.test(version)) return inferred(version, rawName);
    }
    return assumed('4');
  }

  #kept(link: Link, cid: string): Map<string, Said<string>> {
    const out = new Map<string, Said<string>>();
    for (const [key, value] of link.text?.values ?? []) {
      const long = key === 'ddb.longcontentid' && value.toLowerCase().endsWith(cid) && /^[0-9a-f]{32}$/i.test(value);
      if (long) out.set('ddb.longContentID', inferred(value, link.rawName));
      const isUuid = key === 'ddb.uuid' && /^[0-9a-f -]{47}$/i.test(value);
      if (isUuid || (key === 'ddb.toolsversion' && /^\d+$/.test(value))) {
        out.set(isUuid ? 'ddb.uuid' : 'ddb.toolsVersion', inferred(value, link.rawName));
      }
    }
    return out;
  }

  /** Thin or thick: what the file has of its volume counts, not what a text once said. */
  #thin(link: Link, files: readonly string[]): Pick<Draft, 'thin'> {
    const piece = files.length === 1 ? this.#folder.pieces.get(files[0]) : undefined;
    if (piece === undefined || this.#isDelta(link)) return {};
    const thick = isThick(piece);
    if (thick !== undefined) return { thin: inferred(!thick, `allocation of ${piece.rawName}`) };
    return link.text?.values.get('ddb.thinprovisioned') === '1' ? { thin: inferred(true, link.rawName) } : {};
  }
}

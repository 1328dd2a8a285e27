/** Parallels images (.hds, .hdd): a header, a table of blocks, blocks. What lies below is named in the bundle's descriptor. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Finder } from '../../../core/finder.ts';
import { textKey } from '../../../core/finder.ts';
import type { Candidate, Cx, Format } from '../../../core/format.ts';
import { type Backing, type Node, NotThis } from '../../../core/node.ts';
import { ABSENT, type Certainty, INFERRED, STATED, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, struct, text, u32, u64, type Values, viewOf } from '../../../core/struct.ts';
import { blankPage, blockMap, census, faults, type Layout, type Page, PRESENT, UNREAD } from '../blocks.ts';
import { bareDisk, openBundle, TITLE } from './bundle.ts';
import { type Bundle, DESCRIPTOR, maybeDescriptor, readBundle } from './descriptor.ts';

const SECTOR = 512;
const ENTRY = 4;
const IN_USE = 0x746f6e59;
/** Places in the table are counted in sectors, or in blocks. */
const IN_SECTORS = 'WithoutFreeSpace';
const IN_BLOCKS = 'WithouFreSpacExt';

export const header = struct('Parallels header', 64, {
  magic: text(0, 16),
  version: u32(16, { oneOf: [2] }),
  blockSectors: u32(28, { min: 1, max: 2 ** 20 }),
  count: u32(32, { min: 1 }),
  sectors: u64(36, { min: 1, max: 2 ** 40 }),
  inUse: u32(44),
  dataAt: u32(48),
});

const finder: Finder = {
  align: 512,
  keys: [textKey(0, IN_SECTORS), textKey(0, IN_BLOCKS)],
  need: header.size,
  examine(block, at, emit) {
    const found = headerOf(block);
    if (found === undefined || header.violations(found).length > 0) return;
    emit({ kind: 'parallels.header', at, length: header.size, base: at, facts: { bytes: found.sectors * SECTOR } });
  },
};

export const parallels: Format = {
  id: 'parallels',
  layer: 'disk',
  title: TITLE,
  spec: 'headers and tables of images that QEMU and Parallels made',
  gaps: [
    'Of a disk that is cut into several parts and has snapshots, each part is had without what lies below it.',
    'A header or a table that is lost is not made up for.',
    'Without DiskDescriptor.xml beside it, an image does not say whether it lies on another one: what is empty is inferred.',
  ],
  laid: [{ table: header, at: 0 }],
  names: ['.hds', '.hdd', DESCRIPTOR.toLowerCase()],
  find: finder,
  async probe(source) {
    const start = await startOf(source);
    if (headerOf(start) !== undefined) return 95;
    return maybeDescriptor(start) && (await readBundle(source)) !== undefined ? 95 : 0;
  },
  async open(source, cx) {
    const start = await startOf(source);
    const bundle = maybeDescriptor(start) ? await readBundle(source) : undefined;
    return bundle === undefined
      ? openImage(source, start, cx, false)
      : openBundle(bundle, cx, (image) => ofBundle(image, cx));
  },
};

type Header = Values<typeof header.fields>;

/** An image as part of a bundle: a header and blocks, or plain sectors. */
async function ofBundle({ source, locator }: Candidate, cx: Cx): Promise<Node> {
  const own: Cx = {
    ...cx,
    source: locator,
    damage: (at, ...rest) => ({ ...cx.damage(at, ...rest), at: `${locator}@${at}` }),
  };
  const start = await startOf(source);
  return headerOf(start) === undefined ? bareDisk(own, source) : openImage(source, start, own, true);
}

/** `isPart`: the bundle that names it is what is opened, and puts it in its place. */
async function openImage(source: Source, start: Uint8Array, cx: Cx, isPart: boolean): Promise<Node> {
  const found = headerOf(start);
  if (found === undefined) throw new NotThis('no Parallels header');
  const damage: Damage[] = [];
  for (const one of header.violations(found)) {
    const effect = 'nothing of the disk can be placed; scan the file for file systems';
    damage.push(cx.damage(one.at, 'parallels.header', `${one.field} of ${one.expected}`, one.actual, effect));
  }
  const isSound = damage.length === 0;
  const own = await ownBundle(cx);
  if (own !== undefined && own.bundle.parts > 1 && !isPart) {
    const effect = 'this is one part of the disk, not all of it';
    damage.push(cx.damage(0, 'parallels.split', 'a disk in one part', `${own.bundle.parts} parts`, effect));
  }
  const usable = isSound ? found : { ...found, count: 0, sectors: 0, blockSectors: 1 };
  return diskNode(usable, source, own, damage, cx);
}

async function startOf(source: Source): Promise<Uint8Array> {
  const start = new Uint8Array(Math.min(source.size, header.size));
  await source.read(0, start);
  return start;
}

function headerOf(start: Uint8Array): Header | undefined {
  const magic = latin1(start, 0, 16);
  if (start.length < header.size || (magic !== IN_SECTORS && magic !== IN_BLOCKS)) return undefined;
  const found = header.decode(start);
  // The older kind has but 32 bits for its size.
  return magic === IN_SECTORS ? { ...found, sectors: viewOf(start).getUint32(36, true) } : found;
}

async function diskNode(
  h: Header,
  source: Source,
  own: { bundle: Bundle; id: string } | undefined,
  damage: Damage[],
  cx: Cx,
): Promise<Node> {
  const isOpen = h.inUse === IN_USE;
  if (isOpen) {
    const effect = 'blocks may have been written that the table does not have: what is empty is inferred';
    damage.push(cx.damage(44, 'parallels.in-use', 'an image that was closed', 'one that was in use', effect));
  }
  const backing = own && backingOf(own.bundle, own.id);
  const layout = layoutOf(h, source, backing !== undefined, own !== undefined && !isOpen ? STATED : INFERRED);
  const found = await census(layout, cx);
  damage.push(...found.damage);
  if (layout.count * layout.block < layout.size) {
    const expected = `${Math.ceil(layout.size / layout.block)} entries for ${hex(layout.size)} bytes`;
    damage.push(cx.damage(32, 'parallels.table-short', expected, `${layout.count}`, 'the end of the disk is missing'));
  }
  const map = blockMap(layout, found);
  return {
    ...bareDisk(cx, map),
    facts: {
      size: map.size,
      details: {
        blockSize: layout.block,
        blocks: layout.count,
        allocated: found.allocated,
        ...(own && { id: own.id }),
      },
    },
    damage,
    ...(own && { identities: [`uuid:${own.id.replace(/[{}]/g, '')}`] }),
    ...(backing && { backing }),
    check: () => faults(layout, found, cx),
  };
}

/** The descriptor beside this file, where it names it. */
async function ownBundle(cx: Cx): Promise<{ bundle: Bundle; id: string } | undefined> {
  const [there] = await cx.siblings({ name: 'DiskDescriptor.xml' });
  const bundle = there && (await readBundle(there.source));
  const name = cx.source.split('/').pop();
  for (const [id, file] of bundle?.files ?? []) if (name === file) return { bundle: bundle!, id };
  return undefined;
}

function backingOf({ files, parents }: Bundle, id: string): Backing | undefined {
  const parent = parents.get(id);
  if (parent === undefined) return undefined;
  const file = files.get(parent);
  return { names: file === undefined ? [] : [file], identity: `uuid:${parent.replace(/[{}]/g, '')}`, at: 0 };
}

function layoutOf(h: Header, source: Source, isDelta: boolean, freeMost: Certainty): Layout {
  const block = h.blockSectors * SECTOR;
  const unit = h.magic === IN_BLOCKS ? block : SECTOR;
  const inFile = Math.max(0, Math.floor((source.size - header.size) / ENTRY));
  const size = h.sectors * SECTOR;
  const tableEnd = header.size + ENTRY * h.count;
  return {
    id: 'parallels',
    what: 'Parallels block table',
    file: source,
    size,
    block,
    count: Math.min(h.count, inFile, Math.ceil(size / block)),
    head: 0,
    from: Math.max(tableEnd, h.dataAt * SECTOR),
    end: source.size,
    reserved: [],
    free: isDelta ? ABSENT : ZERO,
    most: STATED,
    freeMost,
    doubt: 'parallels.descriptor',
    entryAt: (i) => header.size + ENTRY * i,
    page: (first, n) => readPage(source, header.size + ENTRY * first, n, unit),
  };
}

async function readPage(source: Source, at: number, n: number, unit: number): Promise<Page> {
  const page = blankPage(n);
  const raw = new Uint8Array(ENTRY * n);
  const gaps = await source.read(at, raw);
  const view = viewOf(raw);
  for (let i = 0; i < n; i++) {
    const value = view.getUint32(ENTRY * i, true);
    if (value === 0) continue;
    page.kind[i] = PRESENT;
    page.at[i] = value * unit;
  }
  for (const gap of gaps) {
    const end = Math.min(n, Math.ceil((gap.offset + gap.length - at) / ENTRY));
    page.kind.fill(UNREAD, Math.max(0, Math.floor((gap.offset - at) / ENTRY)), end);
  }
  return page;
}

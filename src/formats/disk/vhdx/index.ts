/** VHDX: the disks of Hyper-V; two headers, two region tables, a log, metadata, a table of blocks. */

import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { type Certainty, GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { blankPage, blockMap, census, faults, type Layout, type Page, UNREAD } from '../blocks.ts';
import { guidText } from '../guid.ts';
import { inOrder, ORDER_GAP } from '../order.ts';
import { vhdxFinder } from './find.ts';
import { type Metadata, readMetadata } from './metadata.ts';
import { byTable, findMetadata, findTable } from './salvage.ts';
import { readStart, type Start } from './start.ts';
import {
  BAT_REGION,
  HEADERS,
  header,
  METADATA_REGION,
  MIB,
  REGION_TABLES,
  type Region,
  readHeader,
  readRegions,
  regionEntry,
  regionTable,
} from './structs.ts';
import { bitmapPlace, countOf, entryAt, freeOf, ratioOf, readPage, sectorsOf, type Table } from './table.ts';

/** Bitmaps of chunks that are told apart from blocks; more than that are of disks beyond 4 TiB. */
const MAX_BITMAPS = 1024;

/** Bytes that show whether something begins, and room behind tables that is looked through. */
const HEAD = 4096;
const MAX_ROOM: number = 64 * MIB;

export const vhdx: Format = {
  id: 'vhdx',
  layer: 'disk',
  title: 'VHDX disk',
  spec: 'vhdx.md',
  gaps: [
    'A parent is known by its first linkage only, not by the second one of a merge that was broken off.',
    'Logs of more than 64 MiB are not replayed.',
    ORDER_GAP,
  ],
  laid: [
    ...HEADERS.map((at) => ({ table: header, at, mark: { at: 0, text: 'head' } })),
    ...REGION_TABLES.flatMap((at) => [
      { table: regionTable, at, mark: { at: 0, text: 'regi' } },
      { table: regionEntry, at: at + regionTable.size, times: 2 },
    ]),
  ],
  names: ['.vhdx', '.avhdx'],
  find: vhdxFinder,
  async probe(source) {
    const start = new Uint8Array(8);
    if (source.size < MIB) return 0;
    await source.read(0, start);
    if (latin1(start, 0, 8) === 'vhdxfile') return 97;
    for (const at of HEADERS) if ((await readHeader(source, at))?.isSound) return 90;
    for (const at of REGION_TABLES) if ((await readRegions(source, at))?.isSound) return 85;
    return (await findMetadata(source, true)) === undefined ? 0 : 70;
  },
  async open(source, cx) {
    if ((await vhdx.probe(source, cx)) === 0) throw new NotThis('nothing of a VHDX');
    const damage: Damage[] = [];
    await identifier(source, damage, cx);
    const start = await readStart(source, damage, cx);
    const plan = await planOf(start, damage, cx);
    return diskNode(start, plan, damage, cx);
  },
};

interface Plan {
  readonly metadata?: Metadata;
  readonly table: Table;
  readonly regions: readonly Region[];
  readonly most: Certainty;
  readonly freeMost?: Certainty;
  readonly doubt: string;
}

async function identifier(source: Source, damage: Damage[], cx: Cx): Promise<void> {
  const raw = new Uint8Array(8);
  await source.read(0, raw);
  if (latin1(raw, 0, 8) === 'vhdxfile') return;
  damage.push(
    cx.damage(0, 'vhdx.identifier', '"vhdxfile"', 'something else', 'nothing is lost: it says only what this is'),
  );
}

type Note = (at: number, code: string, expected: string, actual: string, effect: string) => void;

/** Metadata and table of blocks, where the regions say or where they are found. */
async function planOf(start: Start, damage: Damage[], cx: Cx): Promise<Plan> {
  const { view, regions, log } = start;
  const note: Note = (at, code, expected, actual, effect) => {
    damage.push(cx.damage(at, `vhdx.${code}`, expected, actual, effect));
  };
  const described = await metadataOf(start, note);
  const { place } = described;
  let { metadata } = described;
  let table = regions.get(BAT_REGION);
  const isNamed = table !== undefined;
  if (table === undefined && metadata !== undefined) {
    table = await findTable(view, metadata, [log.at, ...(place ? [place.at] : [])]);
    const actual = table === undefined ? 'none' : `one at ${hex(table.at)}, by what stands in it`;
    const effect = table === undefined ? 'what can be placed is so by its order' : 'the disk is inferred';
    note(REGION_TABLES[0], 'table-region', 'a region with the table of blocks', actual, effect);
  }
  const isBare = metadata === undefined;
  if (isBare && table !== undefined) metadata = await byTable(view, table);
  if (metadata === undefined) {
    const effect = 'nothing of the disk can be placed; scan the file for file systems';
    note(MIB, 'lost', 'metadata or a table of blocks', 'none that can be used', effect);
  }
  const { blockSize = MIB, sector = 512, hasParent = false } = metadata ?? {};
  const at = table?.at ?? MIB;
  const length = Math.max(0, Math.min(table?.length ?? 0, view.size - at));
  const isSure = described.isNamed && isNamed;
  return {
    ...(metadata && { metadata }),
    table: { view, at, length, blockSize, sector, hasParent },
    regions: [log, ...(place ? [place] : []), ...(table ? [table] : [])],
    most: isSure ? start.most : INFERRED,
    ...(isBare && { freeMost: GUESSED }),
    doubt: isSure ? start.doubt : described.isNamed ? 'vhdx.table-region' : 'vhdx.metadata',
  };
}

/** The metadata of the region that is named, else of one that is found. */
async function metadataOf(
  { view, regions }: Start,
  note: Note,
): Promise<{ metadata: Metadata | undefined; place: Region | undefined; isNamed: boolean }> {
  const place = regions.get(METADATA_REGION);
  const metadata = place && (await readMetadata(view, place));
  if (metadata !== undefined) {
    if (metadata.isTorn) {
      const effect = 'items of it were lost or changed: the disk is inferred';
      note(place!.at, 'metadata-torn', 'a parent named where there is one, and a sector size', 'not both', effect);
    }
    return { metadata, place, isNamed: !metadata.isTorn };
  }
  const found = await findMetadata(view);
  const effect = found
    ? `they were found at ${hex(found.region.at)}: the disk is inferred`
    : 'sizes are taken from the table of blocks: the disk is inferred, and guessed where it is empty';
  note(place?.at ?? REGION_TABLES[0], 'metadata', 'metadata of a disk', 'none that can be used', effect);
  return { metadata: found?.metadata, place: found?.region ?? place, isNamed: false };
}

async function layoutOf(plan: Plan): Promise<Layout> {
  const { table, metadata, regions, most, freeMost, doubt } = plan;
  const size = metadata?.size ?? 0;
  const needed = Math.ceil(size / table.blockSize);
  // Where nobody knows the table, all of its entries are lost.
  const isLost = table.length === 0;
  const count = isLost ? needed : Math.min(needed, countOf(table));
  const bitmaps = table.hasParent ? await bitmapsOf(table, count) : [];
  const reserved = [...regions, ...bitmaps].map(({ at, length }) => [at, at + length] as const);
  return {
    id: 'vhdx',
    what: 'VHDX block allocation table',
    file: table.view,
    size,
    block: table.blockSize,
    count,
    head: 0,
    from: MIB,
    end: table.view.size,
    reserved,
    free: freeOf(table.hasParent),
    most,
    ...(freeMost !== undefined && { freeMost }),
    doubt,
    entryAt: (i) => entryAt(table, i),
    page: (first, n) => (isLost ? unread(n) : readPage(table, first, n)),
    bitmap: (block) => sectorsOf(table, block),
  };
}

async function unread(n: number): Promise<Page> {
  const page = blankPage(n);
  page.kind.fill(UNREAD);
  return page;
}

/** Where sector bitmaps lie: no block may. */
async function bitmapsOf(table: Table, count: number): Promise<Region[]> {
  const out: Region[] = [];
  const chunks = Math.min(MAX_BITMAPS, Math.ceil(count / ratioOf(table.blockSize, table.sector)));
  for (let chunk = 0; chunk < chunks; chunk++) {
    const at = await bitmapPlace(table, chunk);
    if (at !== undefined) out.push({ at, length: MIB });
  }
  return out;
}

/** The first MiB from `from` on that begins with anything: hosts leave room behind their tables. `from` where none does. */
async function firstWritten({ block, end, file }: Layout, from: number): Promise<number> {
  const head = new Uint8Array(HEAD);
  for (let at = from; at + block <= end && at < from + MAX_ROOM; at += MIB) {
    const gaps = await file.read(at, head);
    if (gaps.length > 0 || head.some((byte) => byte !== 0)) return at;
  }
  return from;
}

/** Blocks as they lie, where their table is of no use. */
async function ordered(
  layout: Layout,
  plan: Plan,
  found: Awaited<ReturnType<typeof census>>,
  cx: Cx,
): ReturnType<typeof inOrder> {
  const { metadata, regions } = plan;
  const isUseless = found.damage.length > 0 || (found.allocated === 0 && found.unclaimed > 0);
  if (!isUseless || metadata === undefined || metadata.hasParent) return undefined;
  const behind = await firstWritten(layout, Math.max(...regions.map(({ at, length }) => at + length)));
  const stored = metadata.isFixed ? layout.count : Math.floor((layout.end - behind) / layout.block);
  // A fixed disk fills the file to its end.
  const from = metadata.isFixed ? layout.end - stored * layout.block : behind;
  if (from < behind || from % MIB !== 0) return undefined;
  return inOrder(
    { ...layout, from, reserved: [] },
    found,
    { count: stored, isFixed: metadata.isFixed, isAll: false },
    cx,
  );
}

async function diskNode(start: Start, plan: Plan, damage: Damage[], cx: Cx): Promise<Node> {
  const { header } = start;
  const { metadata, table } = plan;
  let layout = await layoutOf(plan);
  let found = await census(layout, cx);
  damage.push(...found.damage);
  const needed = Math.ceil(layout.size / layout.block);
  if (needed > layout.count && metadata !== undefined) {
    damage.push(
      cx.damage(
        table.at,
        'vhdx.table-short',
        `${needed} entries for ${hex(layout.size)} bytes`,
        `${layout.count}`,
        'the end of the disk is missing',
      ),
    );
  }
  const rescued = await ordered(layout, plan, found, cx);
  if (rescued !== undefined) {
    layout = rescued.layout;
    found = await census(layout, cx);
    damage.push(cx.damage(table.at, 'vhdx.table-lost', 'a table of blocks that can be used', 'none', rescued.effect));
  }
  const map = blockMap(layout, found);
  const written = header && guidText(header.dataWrite);
  const type = metadata?.hasParent ? 'differencing' : metadata?.isFixed ? 'fixed' : 'dynamic';
  return {
    name: 'vhdx',
    rawName: 'vhdx',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: vhdx.title,
    facts: {
      size: map.size,
      details: {
        type,
        blockSize: layout.block,
        blocks: layout.count,
        allocated: found.allocated,
        ...(metadata && { sectorSize: metadata.sector }),
        ...(metadata?.disk && { diskId: metadata.disk }),
        ...(written && { dataWrite: written }),
        ...(start.replayed > 0 && { replayed: start.replayed }),
      },
    },
    damage,
    ...(written && { identities: [`uuid:${written}`] }),
    ...(metadata?.hasParent && { backing: metadata.parent ?? { names: [], at: table.at } }),
    bytes: async () => map,
    check: () => faults(layout, found, cx),
  };
}

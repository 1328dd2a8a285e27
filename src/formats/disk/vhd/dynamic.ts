/** The blocks of dynamic and differencing VHDs, and what is left where header or table are lost. Source: vhd.md. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Backing } from '../../../core/node.ts';
import { ABSENT, type Certainty, GUESSED, INFERRED, weaker, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import {
  blankPage,
  blockMap,
  type Census,
  census,
  FREE,
  faults,
  type Layout,
  PARTIAL,
  type Page,
  UNREAD,
} from '../blocks.ts';
import { guestSize } from '../guest-size.ts';
import { isSet } from '../guid.ts';
import { inOrder } from '../order.ts';
import { bitmapBytes, sectorsOf } from './bitmap.ts';
import { type Parent, parentOf } from './parent.ts';
import { assumedEnd, findBlockSize, findBlocks, findTable } from './salvage.ts';
import {
  type Checked,
  DIFFERENCING,
  DYNAMIC,
  type DynamicHeader,
  dynamicHeader,
  dynamicHeaderOf,
  type Footer,
  FREE_BLOCK,
  isPlausible,
  SECTOR,
  sizeOf,
} from './structs.ts';

export interface Blocks {
  readonly map: Source;
  readonly backing?: Backing;
  readonly details: Readonly<Record<string, string | number>>;
  check(): AsyncIterable<Damage>;
}

/** What nearly all writers cut disks into. */
const USUAL_BLOCK: number = 2 ** 21;

/** Where the table lies and how blocks are cut. */
interface Shape {
  readonly tableAt: number;
  readonly count: number;
  readonly blockSize: number;
  readonly reserved: readonly (readonly [number, number])[];
  readonly most: Certainty;
  readonly doubt: string;
  /** Neither header nor table are there: blocks of the size that their bitmaps tell, as many as the footer says, and nothing of their order. */
  readonly isAssumed?: boolean;
}

/** The disk of a footer, which may be lost, and of the header at its usual place, which may be lost too. */
export async function openBlocks(
  source: Source,
  footer: Checked<Footer> | undefined,
  usual: Checked<DynamicHeader> | undefined,
  most: Certainty,
  damage: Damage[],
  cx: Cx,
): Promise<Blocks> {
  const header = await headerBy(source, footer, usual, damage, cx);
  const end = endOf(source, footer);
  const isDelta = header === undefined ? footer?.values.type === DIFFERENCING : isSet(header.values.parentId);
  const parent = isDelta && header !== undefined ? await parentOf(source, header) : undefined;
  const shape = await shapeOf(source, footer, header, parent, most, damage, cx);
  const size =
    footer !== undefined ? sizeOf(footer.values) : ((await guest(source, shape)) ?? shape.count * shape.blockSize);
  let layout = layoutOf(source, shape, size, end, isDelta === true);
  let found = await census(layout, cx);
  damage.push(...found.damage);
  const needed = Math.ceil(size / shape.blockSize);
  if (needed > shape.count && shape.count > 0) {
    const at = (header?.at ?? SECTOR) + 28;
    damage.push(
      cx.damage(
        at,
        'vhd.table-short',
        `${needed} entries for ${hex(size)} bytes`,
        `${shape.count}`,
        'the end of the disk is missing',
      ),
    );
  }
  const canOrder = header !== undefined || shape.isAssumed === true;
  const rescued = canOrder ? await ordered(source, layout, found, cx) : undefined;
  if (rescued === undefined && shape.isAssumed === true) {
    layout = layoutOf(source, { ...shape, count: 0 }, size, end, false);
    found = await census(layout, cx);
  }
  if (rescued !== undefined) {
    layout = rescued.layout;
    found = await census(layout, cx);
    damage.push(
      cx.damage(shape.tableAt, 'vhd.table-lost', 'a table of blocks that can be used', 'none', rescued.effect),
    );
  }
  const backing = parent?.backing ?? (isDelta ? { names: [], at: SECTOR } : undefined);
  return {
    map: blockMap(layout, found),
    ...(backing && { backing }),
    details: { blockSize: shape.blockSize, blocks: shape.count, allocated: found.allocated },
    check: () => faults(layout, found, cx),
  };
}

/** Where blocks end. */
function endOf(source: Source, footer: Checked<Footer> | undefined): number {
  return footer !== undefined && footer.at > 0 ? footer.at : source.size;
}

/** The header that the footer names, with what is wrong with it. */
async function headerBy(
  source: Source,
  footer: Checked<Footer> | undefined,
  usual: Checked<DynamicHeader> | undefined,
  damage: Damage[],
  cx: Cx,
): Promise<Checked<DynamicHeader> | undefined> {
  const { high, low } = footer?.values.dataAt ?? { high: 0, low: SECTOR };
  const at = high < 0x200000 ? high * 2 ** 32 + low : SECTOR;
  let header = usual;
  if (at !== SECTOR && at + dynamicHeader.size <= source.size) {
    const raw = new Uint8Array(dynamicHeader.size);
    await source.read(at, raw);
    header = dynamicHeaderOf(raw, at) ?? usual;
  }
  if (header?.isSound) return header;
  const usable = header !== undefined && isPlausible(header) ? header : undefined;
  const actual = header === undefined ? 'none' : 'one that fails its checksum';
  const effect =
    usable === undefined
      ? 'the table of blocks is looked for by what stands in it'
      : 'it is used all the same: the disk is inferred';
  damage.push(cx.damage(at <= source.size ? at : SECTOR, 'vhd.header', 'a dynamic disk header', actual, effect));
  return usable;
}

async function shapeOf(
  source: Source,
  footer: Checked<Footer> | undefined,
  header: Checked<DynamicHeader> | undefined,
  parent: Parent | undefined,
  most: Certainty,
  damage: Damage[],
  cx: Cx,
): Promise<Shape> {
  const copy: [number, number] = [0, SECTOR];
  if (header === undefined) {
    const size = footer === undefined ? 0 : sizeOf(footer.values);
    const found = await findTable(source, size);
    if (found === undefined) {
      damage.push(
        cx.damage(
          SECTOR,
          'vhd.lost',
          'a header or a table of blocks',
          'neither',
          'blocks are looked for by their bitmaps; where that finds none, scan the file for file systems',
        ),
      );
      const isDisk = footer?.values.type === DYNAMIC;
      const blockSize = (isDisk ? await findBlockSize(source, size, endOf(source, footer)) : undefined) ?? USUAL_BLOCK;
      const usual = { tableAt: 3 * SECTOR, blockSize, most: INFERRED, doubt: 'vhd.header' } as const;
      if (!isDisk) return { ...usual, count: 0, reserved: [copy] };
      const count = Math.ceil(size / blockSize);
      return { ...usual, count, reserved: [[0, assumedEnd(size, blockSize)]], isAssumed: true };
    }
    const reserved = [copy, [found.tableAt, found.tableAt + 4 * found.count] as const];
    return { ...found, reserved, most: INFERRED, doubt: 'vhd.header' };
  }
  const { tableAt, maxEntries, blockSize } = header.values;
  const needed = footer === undefined ? maxEntries : Math.ceil(sizeOf(footer.values) / blockSize);
  const inFile = Math.max(0, Math.floor((source.size - tableAt) / 4));
  const count = Math.min(needed, maxEntries, inFile);
  const own = [
    copy,
    [header.at, header.at + dynamicHeader.size] as const,
    [tableAt, tableAt + 4 * maxEntries] as const,
  ];
  const reserved = [...own, ...(parent?.reserved ?? [])];
  const sure = header.isSound ? most : weaker(most, INFERRED);
  return { tableAt, count, blockSize, reserved, most: sure, doubt: header.isSound ? 'vhd.footer' : 'vhd.header' };
}

/** What a GPT in the first block says of the size of the disk. */
async function guest(source: Source, { tableAt, count, blockSize }: Shape): Promise<number | undefined> {
  if (count === 0) return undefined;
  const entry = new Uint8Array(4);
  await source.read(tableAt, entry);
  const first = viewOf(entry).getUint32(0);
  if (first === FREE_BLOCK) return undefined;
  const size = await guestSize(source, first * SECTOR + bitmapBytes(blockSize));
  return size !== undefined && size <= count * blockSize && size > (count - 1) * blockSize ? size : undefined;
}

function layoutOf(source: Source, shape: Shape, size: number, end: number, isDelta: boolean): Layout {
  const { tableAt, count, blockSize, reserved, most, doubt } = shape;
  const head = bitmapBytes(blockSize);
  const free = isDelta ? ABSENT : ZERO;
  return {
    id: 'vhd',
    what: 'VHD block allocation table',
    file: source,
    size,
    block: blockSize,
    count,
    head,
    from: SECTOR,
    end,
    reserved,
    free,
    most,
    doubt,
    entryAt: (i) => tableAt + 4 * i,
    page: (first, n) => readPage(source, tableAt + 4 * first, n, head),
    bitmap: (_, at) => sectorsOf(source, at, blockSize, free),
  };
}

async function readPage(source: Source, at: number, n: number, head: number): Promise<Page> {
  const page = blankPage(n);
  const raw = new Uint8Array(4 * n);
  const gaps = await source.read(at, raw);
  const view = viewOf(raw);
  for (let i = 0; i < n; i++) {
    const sector = view.getUint32(4 * i);
    page.kind[i] = sector === FREE_BLOCK ? FREE : PARTIAL;
    if (sector !== FREE_BLOCK) page.at[i] = sector * SECTOR + head;
  }
  for (const gap of gaps) {
    const end = Math.min(n, Math.ceil((gap.offset + gap.length - at) / 4));
    page.kind.fill(UNREAD, Math.max(0, Math.floor((gap.offset - at) / 4)), end);
  }
  return page;
}

/** Blocks by the bitmaps that stand before them, where the table is of no use. */
async function ordered(source: Source, layout: Layout, found: Census, cx: Cx): ReturnType<typeof inOrder> {
  const isUseless = found.damage.length > 0 || (found.allocated === 0 && found.unclaimed > 0);
  if (!isUseless) return undefined;
  const blocks = await findBlocks(source, layout.entryAt(layout.count), layout.block, layout.end);
  if (blocks === undefined) return undefined;
  // Room between blocks counts as if it lay before each of them.
  const head = blocks.stride - layout.block;
  const from = blocks.from + layout.head - head;
  const plain = { ...layout, head, from, reserved: [], most: GUESSED } as const;
  return inOrder(plain, found, { count: blocks.count, isFixed: false, isAll: layout.end < source.size }, cx);
}

/** VDI: VirtualBox disks; a header, a table of block numbers, blocks in the order in which they were first written. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { ABSENT, type Certainty, GUESSED, INFERRED, STATED, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import {
  BAD,
  blankPage,
  blockMap,
  census,
  FREE,
  faults,
  type Layout,
  type Page,
  PRESENT,
  UNREAD,
  ZEROS,
} from '../blocks.ts';
import { guidText, isSet } from '../guid.ts';
import { inOrder, ORDER_GAP } from '../order.ts';
import { vdiFinder } from './find.ts';
import { findTable } from './salvage.ts';
import { DIFFERENCING, FIXED, FREE_BLOCK, type Header, header, headerOf, TYPES, ZERO_BLOCK } from './structs.ts';

const SECTOR = 512;
/** Bytes of an entry of the table. */
const ENTRY = 4;
const UNDO = 3;
/** The largest disk that is believed. */
const MAX_SIZE = 2 ** 50;

export const vdi: Format = {
  id: 'vdi',
  layer: 'disk',
  title: 'VDI disk',
  spec: 'vdi.md',
  gaps: [
    'Media that VirtualBox encrypted are shown as they lie.',
    'A lost header is made up for with blocks of 1 MiB only; whether the disk had a parent is then not known.',
    ORDER_GAP,
  ],
  laid: [{ table: header, at: 0, mark: { at: 64, text: '\x7f\x10\xda\xbe' } }],
  names: ['.vdi'],
  find: vdiFinder,
  async probe(source, { isKnown }) {
    const start = await startOf(source);
    if (headerOf(start) !== undefined) return 97;
    if (/^<<< .{4,50} Disk Image >>>/.test(Buffer.from(start.subarray(0, 64)).toString('latin1'))) return 70;
    // Without anything that says so, only a table that fits the file to the byte.
    return isKnown !== true && (await findTable(source))?.certainty === INFERRED ? 40 : 0;
  },
  async open(source, cx) {
    const start = await startOf(source);
    const damage: Damage[] = [];
    const head = headerOf(start);
    for (const { at, expected, actual } of head?.faults ?? [])
      damage.push(cx.damage(at, 'vdi.header', expected, actual, 'the header is not believed'));
    const isSound = head !== undefined && head.faults.length === 0 && head.diskSize <= MAX_SIZE;
    const plan = isSound ? sound(source, head) : await salvaged(source, head, damage, cx);
    return diskNode(plan, damage, cx);
  },
};

/** What is to be opened, and how much of it is certain. */
interface Plan {
  readonly layout: Layout;
  /** Present where the header is believed. */
  readonly header?: Header;
}

async function startOf(source: Source): Promise<Uint8Array> {
  const start = new Uint8Array(Math.min(source.size, header.size));
  await source.read(0, start);
  return start;
}

function sound(source: Source, h: Header): Plan {
  const isDelta = h.type === DIFFERENCING || (h.type === UNDO && isSet(h.link));
  const size = h.diskSize - (h.diskSize % SECTOR);
  const count = Math.min(h.count, Math.max(0, Math.floor((source.size - h.blocksAt) / ENTRY)));
  return { header: h, layout: layoutOf(source, { ...h, count, size, free: isDelta ? ABSENT : ZERO, most: STATED }) };
}

async function salvaged(source: Source, head: Header | undefined, damage: Damage[], cx: Cx): Promise<Plan> {
  const table = await findTable(source);
  if (table === undefined) {
    if (head === undefined) throw new NotThis('no VDI header and no table of blocks');
    damage.push(
      cx.damage(
        0,
        'vdi.lost',
        'a header or a table of blocks',
        'neither',
        'nothing of the disk can be placed; scan the file for file systems',
      ),
    );
    const nothing = { blocksAt: 0, dataAt: 0, blockSize: SECTOR, extra: 0, count: 0, size: 0 } as const;
    return { layout: layoutOf(source, { ...nothing, free: ZERO, most: INFERRED, doubt: 'vdi.header' }) };
  }
  const grade = table.certainty === INFERRED ? 'inferred' : 'guessed';
  const effect = `the table of blocks was found at ${hex(table.blocksAt)} by what stands in it: the disk is ${grade}; whether free blocks are those of a parent is not known`;
  damage.push(cx.damage(0x48, 'vdi.header-lost', 'a header that can be used', 'none', effect));
  const { certainty: most, diskSize: size, ...rest } = table;
  return {
    layout: layoutOf(source, {
      ...rest,
      extra: 0,
      size,
      free: ZERO,
      most,
      freeMost: GUESSED,
      doubt: 'vdi.header-lost',
    }),
  };
}

interface Shape {
  readonly blocksAt: number;
  readonly dataAt: number;
  readonly blockSize: number;
  readonly extra: number;
  readonly count: number;
  readonly size: number;
  readonly free: typeof ABSENT | typeof ZERO;
  readonly most: Certainty;
  readonly freeMost?: Certainty;
  readonly doubt?: string;
}

function layoutOf(source: Source, shape: Shape): Layout {
  const { blocksAt, dataAt, blockSize, extra, count, size, free, most, freeMost, doubt } = shape;
  const stride = blockSize + extra;
  return {
    id: 'vdi',
    what: 'VDI block map',
    file: source,
    size,
    block: blockSize,
    count,
    head: extra,
    from: dataAt,
    end: source.size,
    reserved: [],
    free,
    most,
    ...(freeMost !== undefined && { freeMost }),
    ...(doubt !== undefined && { doubt }),
    entryAt: (i) => blocksAt + 4 * i,
    page: (first, n) => readPage(source, blocksAt + 4 * first, n, (value) => dataAt + value * stride + extra),
  };
}

async function readPage(source: Source, at: number, n: number, placeOf: (value: number) => number): Promise<Page> {
  const page = blankPage(n);
  const raw = new Uint8Array(4 * n);
  const gaps = await source.read(at, raw);
  const view = viewOf(raw);
  const next = (i: number): number => (i >= 0 && i < n ? view.getUint32(4 * i, true) : FREE_BLOCK);
  for (let i = 0; i < n; i++) {
    const value = view.getUint32(4 * i, true);
    if (value === FREE_BLOCK) page.kind[i] = FREE;
    else if (value === ZERO_BLOCK) page.kind[i] = ZEROS;
    else if (value > ZERO_BLOCK) page.kind[i] = BAD;
    else if (value === 0 && (next(i - 1) === 0 || next(i + 1) === 0)) {
      // Only one entry can name the first block: zeros side by side are a stretch of the table that was wiped.
      page.kind[i] = BAD;
    } else {
      page.kind[i] = PRESENT;
      page.at[i] = placeOf(value);
    }
  }
  for (const gap of gaps) {
    const end = Math.min(n, Math.ceil((gap.offset + gap.length - at) / 4));
    page.kind.fill(UNREAD, Math.max(0, Math.floor((gap.offset - at) / 4)), end);
  }
  return page;
}

async function diskNode(plan: Plan, damage: Damage[], cx: Cx): Promise<Node> {
  const h = plan.header;
  let layout = plan.layout;
  let found = await census(layout, cx);
  const isStale = h !== undefined && h.allocated !== found.allocated;
  for (const { code, at, expected, actual } of h === undefined ? [] : doubtsOf(h, found.allocated, layout.file.size)) {
    damage.push(cx.damage(at, code, expected, actual, 'header, table and file do not agree: the disk is inferred'));
    layout = { ...layout, most: INFERRED, doubt: code };
  }
  damage.push(...found.damage);
  if (h !== undefined && layout.count < h.count) {
    const effect = 'the file was cut off within its table: the rest of the disk is missing';
    damage.push(cx.damage(h.blocksAt, 'vdi.table-short', `${h.count} entries`, `${layout.count}`, effect));
  }
  const isBroken = found.damage.length > 0 || isStale;
  if (h !== undefined && isBroken) {
    const rescued = await inOrder(layout, found, { count: h.allocated, isFixed: h.type === FIXED, isAll: true }, cx);
    if (rescued !== undefined) {
      layout = rescued.layout;
      found = await census(layout, cx);
      damage.push(
        cx.damage(h.blocksAt, 'vdi.table-lost', 'a table of blocks that can be used', 'none', rescued.effect),
      );
    }
  }
  const map = blockMap(layout, found);
  const uuid = (bytes: Uint8Array): string => `uuid:${guidText(bytes)}`;
  return {
    name: 'vdi',
    rawName: 'vdi',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: vdi.title,
    facts: {
      size: map.size,
      details: {
        type: TYPES[h?.type ?? 0],
        blockSize: layout.block,
        blocks: layout.count,
        allocated: found.allocated,
        ...(h !== undefined && { uuid: guidText(h.uuid), modification: guidText(h.modified) }),
        ...(h !== undefined &&
          layout.free === ABSENT && { parent: guidText(h.link), parentModification: guidText(h.parentModified) }),
      },
    },
    damage,
    ...(h !== undefined &&
      isSet(h.uuid) && {
        identities: [uuid(h.uuid), ...(isSet(h.modified) ? [`${uuid(h.uuid)} ${guidText(h.modified)}`] : [])],
      }),
    ...(h !== undefined && layout.free === ABSENT && { backing: backingOf(h, uuid) }),
    bytes: async () => map,
    check: () => faults(layout, found, cx),
  };
}

interface Doubt {
  readonly code: string;
  readonly at: number;
  readonly expected: string;
  readonly actual: string;
}

/** What in a header that is fit in itself does not go with the table or the file: one of them is old, or damaged. */
function doubtsOf(h: Header, allocated: number, size: number): Doubt[] {
  const out: Doubt[] = [];
  const isOld = h.version === 2;
  const note = (code: string, at: number, expected: string, actual: string): void => {
    out.push({ code: `vdi.${code}`, at, expected, actual });
  };
  if (h.allocated !== allocated)
    note('allocated', isOld ? 0x170 : 0x184, `${h.allocated} blocks in the table`, `${allocated}`);
  // Blocks fill the file from the first on: where they do not, the place of the first is in doubt.
  const rest = (size - h.dataAt) % (h.blockSize + h.extra);
  if (rest !== 0)
    note('data-place', isOld ? 0x16c : 0x158, `whole blocks from ${hex(h.dataAt)} on`, `${rest} bytes more`);
  if ((h.type === DIFFERENCING) !== isSet(h.link)) {
    const actual = `${TYPES[h.type]}, ${isSet(h.link) ? 'with' : 'without'} a parent`;
    note('type', isOld ? 0x48 : 0x4c, 'a parent in differencing disks, and only there', actual);
  }
  return out;
}

/** Snapshots are named after their own identifier; a base has a name that its children do not know. */
function backingOf(h: Header, uuid: (bytes: Uint8Array) => string): NonNullable<Node['backing']> {
  const identity = uuid(h.link);
  const unchanged = isSet(h.parentModified) ? { unchanged: `${identity} ${guidText(h.parentModified)}` } : {};
  return { names: [`{${guidText(h.link)}}.vdi`], identity, ...unchanged, at: 0x1a8 };
}

/** Apple disk images (.dmg, UDIF): a trailer, a property list with tables of chunks, chunks packed in several ways. */
import { crc32Update } from '../../../codec/crc32.ts';
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { slice } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { INFERRED, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readText } from '../../text.ts';
import { diskOf } from './map.ts';
import { KIND, SECTOR, type Trailer, trailer } from './structs.ts';
import { type Sum, type Tables, tablesIn } from './tables.ts';

/** Bytes of a property list: the tables of a disk of a TiB take 60 MB. */
const MAX_LIST: number = 128 * 1024 * 1024;
/** Bytes at the end of a file in which a list is looked for that no trailer leads to. */
const TAIL: number = 8 * 1024 * 1024;
const BLOCK: number = 1024 * 1024;

export const dmg: Format = {
  id: 'dmg',
  layer: 'disk',
  title: 'Apple disk image',
  spec: 'images that hdiutil made',
  gaps: [
    'Chunks packed with LZFSE, and those of LZMA with a check other than CRC-32, are missing, and said so.',
    'Encrypted images and images in several segments are not read.',
    'Where the end of an image is lost, its tables are lost with it: nothing of it is placed.',
  ],
  names: ['.dmg'],
  laid: [{ table: trailer, at: -trailer.size, mark: { at: 0, text: 'koly' } }],
  async probe(source, cx) {
    if ((await trailerOf(source)) !== undefined) return 97;
    const mayLook = cx.isKnown !== true && cx.source.toLowerCase().endsWith('.dmg');
    return mayLook && (await listInTail(source)) !== undefined ? 60 : 0;
  },
  async open(source, cx) {
    const found = await trailerOf(source);
    const damage: Damage[] = [];
    for (const { at, field, expected, actual } of found === undefined ? [] : trailer.violations(found)) {
      const effect = 'what it leads to may be wrong';
      const where = source.size - trailer.size + at;
      damage.push(cx.damage(where, 'dmg.trailer', `${field} of ${expected}`, actual, effect));
    }
    const stated = found && found.xmlLength > 0 && found.xmlAt + found.xmlLength <= source.size ? found : undefined;
    const list = stated ? { at: stated.xmlAt, length: stated.xmlLength } : await listInTail(source);
    if (found === undefined && list === undefined) throw new NotThis('no trailer, and no property list at the end');
    if (stated === undefined) {
      const actual = found === undefined ? 'none' : 'one that leads to no property list';
      const effect = 'the tables were looked for, so what they place is inferred';
      damage.push(cx.damage(source.size - trailer.size, 'dmg.no-trailer', 'a trailer', actual, effect));
    }
    return nodeOf(source, found, list, cx, damage);
  },
};

async function trailerOf(source: Source): Promise<Trailer | undefined> {
  if (source.size < trailer.size) return undefined;
  const end = new Uint8Array(trailer.size);
  if ((await source.read(source.size - trailer.size, end)).length > 0) return undefined;
  const found = trailer.decode(end);
  return found.magic === 'koly' && found.headerSize === trailer.size ? found : undefined;
}

/** The property list that stands nearest to the end of a file. */
async function listInTail(source: Source): Promise<{ at: number; length: number } | undefined> {
  const from = Math.max(0, source.size - TAIL);
  const { raw } = await readText(slice(source, from, source.size - from, INFERRED), TAIL);
  const end = raw.lastIndexOf('</plist>');
  const start = end < 0 ? -1 : raw.lastIndexOf('<?xml', end);
  if (start < 0 || !raw.slice(start, end).includes('<key>blkx</key>')) return undefined;
  return { at: from + start, length: end - start };
}

async function nodeOf(
  source: Source,
  found: Trailer | undefined,
  list: { at: number; length: number } | undefined,
  cx: Cx,
  damage: Damage[],
): Promise<Node> {
  const at = list?.at ?? source.size;
  const text = list && (await readText(slice(source, at, list.length, STATED), MAX_LIST));
  for (const gap of text?.gaps ?? []) {
    const effect = 'what the tables there place is missing';
    damage.push(cx.damage(at + gap.offset, 'dmg.list', 'a property list that can be read', gap.code, effect));
  }
  const dataAt = found !== undefined && found.dataAt < source.size ? found.dataAt : 0;
  const tables = tablesIn(text?.raw ?? '', dataAt, cx, at, damage);
  const isLegal = found !== undefined && trailer.violations(found).every(({ field }) => field !== 'sectors');
  const sectors = isLegal && found.sectors > 0 ? found.sectors : tables.sectors;
  if (tables.sectors < sectors) {
    const actual = `${tables.sectors}`;
    damage.push(cx.damage(at, 'dmg.short', `tables for ${sectors} sectors`, actual, 'the end of the disk is missing'));
  }
  const map = diskOf({
    file: source,
    chunks: tables.chunks,
    size: sectors * SECTOR,
    certainty: damage.length === 0 ? STATED : INFERRED,
    listAt: Math.min(at, source.size),
  });
  return {
    name: dmg.id,
    rawName: dmg.id,
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: dmg.title,
    facts: { size: map.size, details: { chunks: tables.chunks.count } },
    damage,
    ...((found?.segments ?? 0) > 1 && { notices: [`It is segment ${found!.segment} of ${found!.segments}.`] }),
    bytes: async () => map,
    check: (signal) => wrongSums(map, tables, at, cx, signal),
  };
}

/** Stretches whose bytes do not have the checksum that their table gives. */
async function* wrongSums(
  disk: Source,
  tables: Tables,
  at: number,
  cx: Cx,
  signal: AbortSignal,
): AsyncGenerator<Damage> {
  for (const sum of tables.sums) {
    const found = sum.end <= disk.size ? await sumOf(disk, tables, sum, signal) : undefined;
    if (found === undefined || found === sum.crc) continue;
    const effect = `bytes of ${JSON.stringify(sum.name)} (${hex(sum.from)} to ${hex(sum.end)}) are not those that were packed`;
    yield cx.damage(at, 'dmg.checksum', `the checksum ${hex(sum.crc)}`, hex(found), effect);
  }
}

/** The checksum of a stretch without what was left out of the image; undefined where bytes of it are missing. */
async function sumOf(disk: Source, { chunks }: Tables, sum: Sum, signal: AbortSignal): Promise<number | undefined> {
  const block = new Uint8Array(BLOCK);
  let state = -1;
  for (let i = 0; i < chunks.count; i++) {
    const start = chunks.starts[i] * SECTOR;
    const end = start + chunks.sectors[i] * SECTOR;
    if (start < sum.from || end > sum.end || chunks.kinds[i] === KIND.ignored) continue;
    for (let place = start; place < end; place += BLOCK) {
      signal.throwIfAborted();
      const part = block.subarray(0, Math.min(BLOCK, end - place));
      if ((await disk.read(place, part)).length > 0) return undefined;
      state = crc32Update(state, part);
    }
  }
  return ~state >>> 0;
}

/** Backups of Proxmox machines: configurations, and the clusters of all disks in the order in which they were read. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { data, MapSource, segments } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { type Certainty, DATA, INFERRED, LOST, MISSING, STATED, type Why, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { bitsBelow, Clusters, type Extents, extentsOf, isSummed, nextExtent } from './extents.ts';
import {
  BLOCK,
  CLUSTER,
  CONFIGS_AT,
  DEVICES_AT,
  deviceInfo,
  HEADER_BYTES,
  MAGIC,
  MAX_ENTRIES,
  NAMES_AT,
  SUM_AT,
  UUID_AT,
  vmaHeader,
} from './structs.ts';

/** A file without its header is asked for extents in its first bytes. */
const LOOKED = 16 * 1024 * 1024;
const NAMED = /\.vma(?:::@0)?$/i;

interface Head {
  readonly uuid: string;
  readonly extentsAt: number;
  readonly devices: readonly { readonly id: number; readonly name: string; readonly size: number }[];
  readonly configs: readonly { readonly name: string; readonly at: number; readonly length: number }[];
  readonly isSure: boolean;
}

export const vma: Format = {
  id: 'vma',
  layer: 'filesystem',
  title: 'Proxmox backup (VMA)',
  spec: 'vma_spec.txt of pve-qemu',
  gaps: [
    'Packed backups (.vma.zst, .vma.gz, .vma.lzo) have to be unpacked first, as far as that goes: what is left of a damaged one is read.',
    'Without the header, disks are numbered and as long as what is left of them; the state of memory is not read.',
  ],
  names: ['.vma'],
  laid: [{ table: vmaHeader, at: 0, mark: { at: 0, text: MAGIC } }],
  async probe(source, cx) {
    const head = new Uint8Array(vmaHeader.size);
    if (source.size < HEADER_BYTES) return 0;
    await source.read(0, head);
    const { magic, version } = vmaHeader.decode(head);
    if (magic === MAGIC && version === 1) return 95;
    if (cx.isKnown === true || !NAMED.test(cx.source)) return 0;
    return (await nextExtent(part(source), 0, '', cx.signal)) < Math.min(LOOKED, source.size) ? 60 : 0;
  },
  async open(source, cx) {
    const damage: Damage[] = [];
    const head = await headOf(source, damage, cx);
    const extents = await extentsOf(source, head.extentsAt, head.uuid, cx.signal);
    if (extents.devices.size === 0 && head.devices.length === 0) throw new NotThis('no VMA header, and no extent');
    damage.push(...damageOf(extents, cx));
    return backupNode(source, head, extents, damage, cx);
  },
};

function part(source: Source): Source {
  return segments([data(source, 0, Math.min(LOOKED, source.size), STATED)]);
}

/** What the header says; without one, what is known all the same. */
async function headOf(source: Source, damage: Damage[], cx: Cx): Promise<Head> {
  const fixed = new Uint8Array(HEADER_BYTES);
  const gaps = await source.read(0, fixed);
  const values = vmaHeader.decode(fixed);
  if (gaps.length > 0 || values.magic !== MAGIC || vmaHeader.violations(values).length > 0) {
    const effect = 'disks are numbered, and as long as what is left of them; all is inferred';
    damage.push(cx.damage(0, 'vma.header', 'a VMA header', 'none that makes sense', effect));
    const extentsAt = await nextExtent(source, 0, '', cx.signal);
    const uuid = new Uint8Array(16);
    await source.read(extentsAt + UUID_AT.extent, uuid);
    return { uuid: latin1(uuid, 0, 16), extentsAt, devices: [], configs: [], isSure: false };
  }
  const bytes = new Uint8Array(Math.min(values.headerBytes, source.size));
  const isRead = (await source.read(0, bytes)).length === 0 && bytes.length === values.headerBytes;
  const isSure = isRead && (await isSummed(bytes, SUM_AT.header));
  if (!isSure) {
    const effect = 'names, sizes and configurations may be wrong, and all is inferred';
    damage.push(cx.damage(SUM_AT.header, 'vma.header.sum', 'a header with its MD5', 'another', effect));
  }
  return { ...listsOf(bytes, values), uuid: latin1(bytes, UUID_AT.header, 16), extentsAt: values.headerBytes, isSure };
}

function listsOf(
  bytes: Uint8Array,
  { blobAt, blobBytes }: { readonly blobAt: number; readonly blobBytes: number },
): Pick<Head, 'devices' | 'configs'> {
  const view = viewOf(bytes);
  /** What stands at a place among the texts: their length comes first, with its lowest byte first. */
  const blob = (place: number): { at: number; length: number } | undefined => {
    const at = blobAt + place;
    if (place === 0 || place + 2 > blobBytes || at + 2 > bytes.length) return undefined;
    const length = view.getUint16(at, true);
    return place + 2 + length <= blobBytes && at + 2 + length <= bytes.length ? { at: at + 2, length } : undefined;
  };
  const nameAt = (place: number): string => {
    const found = blob(place);
    return found === undefined ? '' : latin1(bytes, found.at, found.length).replace(/\0[\s\S]*$/, '');
  };
  const devices: { id: number; name: string; size: number }[] = [];
  const configs: { name: string; at: number; length: number }[] = [];
  for (let i = 0; i < MAX_ENTRIES; i++) {
    const { name, size } = deviceInfo.decode(bytes, DEVICES_AT + i * deviceInfo.size);
    if (i > 0 && size > 0) devices.push({ id: i, name: nameAt(name) || `device-${i}`, size });
    const config = blob(view.getUint32(CONFIGS_AT + 4 * i));
    const own = nameAt(view.getUint32(NAMES_AT + 4 * i));
    if (config !== undefined && own !== '') configs.push({ name: own, ...config });
  }
  return { devices, configs };
}

function damageOf({ faults, isShort }: Extents, cx: Cx): Damage[] {
  const out = faults.map(({ at, kind, length }) => {
    if (kind === 'cut')
      return cx.damage(
        at,
        'vma.cut-off',
        `${length} bytes more`,
        'the end of the file',
        'the clusters behind it are missing',
      );
    if (kind === 'sum')
      return cx.damage(
        at,
        'vma.extent.sum',
        'an extent header with its MD5',
        'another',
        'what it leads to is inferred',
      );
    const effect = `${length} bytes of the backup are skipped; the clusters in them are missing`;
    return cx.damage(at, 'vma.extent', 'an extent header', 'none that belongs to this backup', effect);
  });
  if (isShort)
    out.push(cx.damage(0, 'vma.too-large', 'at most 1 TiB of disks', 'more', 'what is behind that is missing'));
  return out;
}

function backupNode(source: Source, head: Head, { devices }: Extents, damage: readonly Damage[], cx: Cx): Node {
  const most = head.isSure ? STATED : INFERRED;
  const taken = new Set<string>();
  const unique = (name: string): string => {
    let out = name;
    for (let n = 2; taken.has(out); n++) out = `${name}-${n}`;
    taken.add(out);
    return out;
  };
  const nodes: Node[] = head.configs.map(({ at, length, name }) => {
    const why: Why = { what: 'VMA header', source, at: 0, ...(!head.isSure && { code: 'vma.header.sum' }) };
    return childNode(unique(name), length, async () => segments([data(source, at, length, most, why)]), cx);
  });
  const known = new Set(head.devices.map(({ id }) => id));
  const all = [
    ...head.devices,
    ...[...devices].flatMap(([id, { count }]) =>
      known.has(id) ? [] : [{ id, name: `device-${id}`, size: count * CLUSTER }],
    ),
  ];
  for (const { id, name, size } of all) {
    const clusters = devices.get(id) ?? new Clusters();
    nodes.push(childNode(unique(diskName(name)), size, async () => deviceSource(source, clusters, size, most), cx));
  }
  const name = cx.source.replace(/^.*[/:]/, '');
  return {
    name: printable(name),
    rawName: name,
    locator: cx.self,
    kind: 'filesystem',
    state: 'live',
    format: vma.title,
    facts: { size: source.size, details: { version: 1, disks: all.length, configurations: head.configs.length } },
    damage,
    child: async (rawName) => nodes.find((node) => node.rawName === rawName),
    async *children() {
      yield* nodes;
    },
  };
}

/** The file that Proxmox's own tool extracts a disk to. */
function diskName(name: string): string {
  return `disk-${name}.raw`;
}

function childNode(rawName: string, size: number, bytes: () => Promise<Source>, cx: Cx): Node {
  const locator = `${cx.self}/${encodeName(rawName)}`;
  const name = printable(rawName);
  return { name, rawName, locator, kind: 'file', state: 'live', facts: { size }, damage: [], bytes };
}

/** The bytes of one disk. A cluster that no extent holds is missing, blocks that none stores are zeros. */
function deviceSource(source: Source, clusters: Clusters, size: number, most: Certainty): Source {
  const lost: Why = { what: 'a cluster that no extent of the backup holds', source, code: 'vma.cluster-missing' };
  const why: Why = { what: 'VMA extent', source, ...(most < STATED && { code: 'vma.header' }) };
  const doubt: Why = { ...why, code: 'vma.extent.sum' };
  return new MapSource(size, {
    runs: (from, end, out) => {
      let at = from;
      while (at < end) {
        const cluster = Math.floor(at / CLUSTER);
        const place = cluster < clusters.count ? clusters.at[cluster] : -1;
        if (place < 0) {
          const stop = Math.min(end, (cluster + 1) * CLUSTER);
          if (!out.add(MISSING, LOST, stop - at, undefined, 0, lost)) return at;
          at = stop;
          continue;
        }
        const block = Math.floor((at % CLUSTER) / BLOCK);
        const stop = Math.min(end, cluster * CLUSTER + (block + 1) * BLOCK);
        const mask = clusters.masks[cluster];
        const isDoubtful = clusters.doubts[cluster] === 1;
        const grade = isDoubtful ? INFERRED : most;
        const because = isDoubtful ? doubt : why;
        const there = place + bitsBelow(mask, block) * BLOCK + (at % BLOCK);
        const added =
          ((mask >>> block) & 1) === 1
            ? out.add(DATA, grade, stop - at, source, there, because)
            : out.add(ZERO, grade, stop - at, undefined, 0, because);
        if (!added) return at;
        at = stop;
      }
      return at;
    },
  });
}

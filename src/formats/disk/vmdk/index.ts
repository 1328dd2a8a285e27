/** VMDK: a text descriptor and the flat extents it names make a disk. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { data, missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readText } from '../../text.ts';
import { type Descriptor, type ExtentLine, isDescriptor, parseDescriptor, SECTOR } from './descriptor.ts';
import { mender } from './mend.ts';

/** Types whose extents are plain sectors in a file. */
const FLAT = new Set(['FLAT', 'VMFS']);
/** A descriptor is a text of a few kilobytes; what is larger is a disk itself. */
const MOST = 1024 * 1024;

export const vmdk: Format = {
  id: 'vmdk',
  layer: 'disk',
  title: 'VMDK disk',
  spec: 'vmdk.md sections 1, 2 and 6',
  gaps: [
    'Flat, thin and zero extents are read. Sparse, stream-optimized, COWD and seSparse extents are missing bytes in this version.',
    'Snapshot deltas are named with their parent, and not joined.',
    'Descriptors are made anew for flat files and snapshot deltas, not for split extents (-s001, -f001).',
  ],
  names: ['.vmdk'],
  mender,
  async probe(source) {
    if (source.size === 0 || source.size > MOST) return 0;
    return isDescriptor((await readText(source, 4096)).raw) ? 90 : 0;
  },
  async open(source, cx) {
    const text = await readText(source, MOST);
    if (!isDescriptor(text.raw)) throw new NotThis('no VMDK descriptor text');
    const descriptor = parseDescriptor(text.raw);
    const damage: Damage[] = text.gaps.map((gap) =>
      cx.damage(gap.offset, 'vmdk.unreadable', 'readable text', gap.code, 'extents named there are not known'),
    );
    const map = await assemble(descriptor, source, damage, cx);
    return diskNode(descriptor, map, damage, cx);
  },
};

async function assemble(descriptor: Descriptor, source: Source, damage: Damage[], cx: Cx): Promise<Source> {
  for (const { at, line } of descriptor.refused) {
    const effect = 'the disk may be longer than shown, and what follows may be shifted';
    damage.push(cx.damage(at, 'vmdk.extent-line', 'an extent line', `"${printable(line.slice(0, 80))}"`, effect));
  }
  if (descriptor.extents.length === 0) {
    const effect = 'nothing says where the disk lies';
    damage.push(cx.damage(0, 'vmdk.no-extents', 'at least one extent line', 'none', effect));
  }
  const out: Segment[] = [];
  for (const line of descriptor.extents) out.push(...(await extent(line, source, damage, cx)));
  return segments(out);
}

async function extent(line: ExtentLine, source: Source, damage: Damage[], cx: Cx): Promise<Segment[]> {
  const length = line.sectors * SECTOR;
  const why: Why = { what: `VMDK extent "${printable(line.file)}"`, source, at: line.at };
  if (line.type === 'ZERO') return [zeros(length, STATED, why)];
  if (!FLAT.has(line.type)) {
    const effect = `its ${line.sectors} sectors are missing`;
    damage.push(cx.damage(line.at, 'vmdk.extent-type', 'a flat or zero extent', line.type, effect));
    return [missing(length, { ...why, code: 'vmdk.extent-type' })];
  }
  const [file] = await cx.siblings({ name: line.file });
  if (file === undefined) {
    const effect = `its ${line.sectors} sectors are missing; look for the file or give its directory as a further source`;
    damage.push(cx.damage(line.at, 'vmdk.extent-missing', `a file "${printable(line.file)}"`, 'none', effect));
    return [missing(length, { ...why, code: 'vmdk.extent-missing' })];
  }
  const start = line.offset * SECTOR;
  const there = Math.max(0, Math.min(length, file.source.size - start));
  if (there < length) {
    const effect = `the last ${length - there} bytes of the extent are missing`;
    const expected = `${file.locator} of at least ${hex(start + length)} bytes`;
    damage.push(cx.damage(line.at, 'vmdk.extent-short', expected, hex(file.source.size), effect));
  }
  return [data(file.source, start, there, STATED, why), missing(length - there, { ...why, code: 'vmdk.extent-short' })];
}

function diskNode(descriptor: Descriptor, map: Source, damage: readonly Damage[], cx: Cx): Node {
  const value = (key: string): string => printable(descriptor.values.get(key.toLowerCase()) ?? '');
  const parentCid = value('parentCID').toLowerCase();
  const parent = descriptor.values.get('parentfilenamehint');
  const isDelta = parent !== undefined && parentCid !== '' && parentCid !== 'ffffffff';
  return {
    name: 'vmdk',
    rawName: 'vmdk',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: vmdk.title,
    facts: {
      size: map.size,
      details: {
        createType: value('createType'),
        cid: value('CID'),
        parentCid: value('parentCID'),
        adapter: value('ddb.adapterType'),
        ...(isDelta && { parent: encodeName(parent) }),
      },
    },
    damage,
    disk: {
      createType: value('createType'),
      extents: descriptor.extents.map((e) => e.file).filter((file) => file !== ''),
      ...(isDelta && { parent }),
    },
    bytes: async () => map,
  };
}

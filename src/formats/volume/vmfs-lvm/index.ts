/** VMFS LVM: one or several partitions make the logical volume that a datastore lives on. */

import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { hasFar } from '../../filesystem/vmfs/far.ts';
import { hasHeader, hasTraces } from '../../filesystem/vmfs/traces.ts';
import { lvmFinder } from './find.ts';
import { gather } from './gather.ts';
import { withoutGuest } from './guest.ts';
import { bareMember, type Extent, type Member, readExtents, readMember } from './member.ts';
import { DATA_AT, deviceHeader, HEADER_AT, PE_BYTES, volumeDescriptor } from './structs.ts';

export const vmfsLvm: Format = {
  id: 'vmfs-lvm',
  layer: 'volume',
  title: 'VMFS LVM volume',
  spec: 'vmfs.md section 1',
  gaps: ['With the LVM header and descriptor lost, a volume of several devices is taken for its first device alone.'],
  laid: [
    { table: deviceHeader, at: HEADER_AT },
    { table: volumeDescriptor, at: HEADER_AT + 512 },
  ],
  find: lvmFinder,
  async probe(source, cx) {
    const member = await readMember(source, '');
    if (member !== undefined) return member.headerLost ? 70 : 90;
    if (await isBare(source)) return 40;
    return cx.isKnown !== true && (await hasFar(source, DATA_AT, cx)) ? 20 : 0;
  },
  async identity(source) {
    const member = await readMember(source, '');
    return member !== undefined && member.descriptor.devices > 1 ? `vmfs-${member.volume}` : undefined;
  },
  async open(source, cx) {
    const first = (await readMember(source, cx.source)) ?? (await withoutHead(source, cx));
    if (first === undefined)
      throw new NotThis('no VMFS LVM header 1 MiB into it, and no VMFS volume where one would be');
    const damage: Damage[] = [];
    const members = await Promise.all(
      (await gather(first, damage, cx)).map((member) => withoutGuest(member, damage, cx)),
    );
    const { map, damage: found } = await assemble(first, members, cx);
    damage.push(...found);
    return volumeNode(first, members, map, damage, cx);
  },
};

/** Whether a VMFS volume starts where the first device of one has it, whatever became of the LVM. */
async function isBare(source: Source): Promise<boolean> {
  return (await hasHeader(source, DATA_AT)) || (await hasTraces(source, DATA_AT));
}

/** The LVM is lost altogether: the volume is taken for one of a single device. */
async function withoutHead(source: Source, cx: Cx): Promise<Member | undefined> {
  if (!(await isBare(source)) && !(await hasFar(source, DATA_AT, cx))) return undefined;
  // The two layouts of the tables differ; the one whose table makes sense is taken.
  const six = bareMember(source, cx.source, 6);
  return (await readExtents(six)).length > 0 ? six : bareMember(source, cx.source, 5);
}

/** PEs of 256 MiB that 53-bit offsets can tell apart. */
const MAX_PE = 2 ** 24;

interface Assembled {
  readonly map: Source;
  readonly damage: readonly Damage[];
}

interface Placed extends Extent {
  readonly member: Member;
  readonly certainty: Certainty;
  readonly why: Why;
}

async function assemble(first: Member, members: readonly Member[], cx: Cx): Promise<Assembled> {
  const damage: Damage[] = [];
  const placed: Placed[] = [];
  let size = first.descriptor.size;
  for (const member of members.filter((m) => m.headerLost)) {
    const effect = 'what it said is taken from the partition, the descriptor and the tables beside it';
    const lost = cx.damage(HEADER_AT, 'vmfs-lvm.header', 'a VMFS LVM device header', 'none', effect);
    damage.push({ ...lost, at: `${member.locator}@${HEADER_AT}` });
  }
  for (const member of members) for (const extent of await place(member, damage, cx)) placed.push(extent);
  damage.push(...cutOff(placed, cx));
  const end = placed.reduce((most, e) => Math.max(most, e.logical + e.length), 0);
  if (!Number.isFinite(size) || volumeDescriptor.violations(first.descriptor).length > 0) {
    const actual = volumeDescriptor
      .violations(first.descriptor)
      .map((v) => `${v.field} ${v.actual}`)
      .join(', ');
    const effect = `the volume is taken to end with its last known extent, at ${hex(end)}`;
    const at = first.layout.descriptorAt;
    damage.push(cx.damage(at, 'vmfs-lvm.descriptor', 'a volume descriptor in its limits', actual, effect));
    size = end;
  }
  return { map: segments(tile(placed, size, first, damage, cx)), damage };
}

/** Members whose image ends before the last byte that the volume has on them. */
function cutOff(placed: readonly Placed[], cx: Cx): Damage[] {
  const ends = new Map<Member, number>();
  for (const { member, physical, length } of placed) {
    ends.set(member, Math.max(ends.get(member) ?? 0, physical + length));
  }
  const out: Damage[] = [];
  for (const [member, end] of ends) {
    if (member.source.size >= end) continue;
    const { size } = member.source;
    const effect = 'what lay behind that is missing; look for the rest of the image';
    const damage = cx.damage(size, 'vmfs-lvm.cut-off', `data up to ${hex(end)}`, `an end at ${hex(size)}`, effect);
    out.push({ ...damage, at: `${member.locator}@${size}` });
  }
  return out;
}

/** Where a member's bytes belong: by its PE table, or by the linear rule where that table cannot be used. */
async function place(member: Member, damage: Damage[], cx: Cx): Promise<Placed[]> {
  const { pes } = member.descriptor;
  const firstPe = member.descriptor.firstPe <= MAX_PE ? member.descriptor.firstPe : 0;
  const extents = await readExtents(member);
  const linear = DATA_AT - firstPe * PE_BYTES;
  const total = extents.reduce((sum, e) => sum + e.length, 0);
  const room = member.header.totalBytes - DATA_AT;
  const sane = extents.every((e) => e.physical >= DATA_AT && e.physical + e.length <= Math.max(room + DATA_AT, 0));
  // With the descriptor lost the table speaks alone: it is used, but nothing confirms it.
  const confirmed = total === pes * PE_BYTES;
  const alone = volumeDescriptor.violations(member.descriptor).length > 0;
  if (extents.length > 0 && sane && (confirmed || alone)) {
    return extents.map((e) => {
      const why: Why = { what: 'VMFS LVM PE table', source: member.source, at: e.entryAt };
      if (confirmed) return { ...e, member, certainty: STATED, why };
      return { ...e, member, certainty: INFERRED, why: { ...why, code: 'vmfs-lvm.descriptor' } };
    });
  }
  const at = member.layout.bitmapAt + member.layout.bitmapBytes;
  const actual = `${extents.length} entries for ${hex(total)} bytes`;
  const effect = 'the device is read as linear, the way every known volume is laid out';
  const expected = `a PE table for ${pes} extents of 256 MiB`;
  damage.push({ ...cx.damage(at, 'vmfs-lvm.pe-table', expected, actual, effect), at: `${member.locator}@${at}` });
  const why: Why = {
    what: 'linear rule for VMFS LVM',
    source: member.source,
    at: HEADER_AT,
    code: 'vmfs-lvm.pe-table',
  };
  const whole = Math.floor(Math.max(0, room) / PE_BYTES);
  const count = alone ? whole : Math.min(pes, whole);
  if (count === 0) return [];
  const logical = firstPe * PE_BYTES;
  const length = count * PE_BYTES;
  return [{ logical, physical: logical + linear, length, entryAt: at, member, certainty: INFERRED, why }];
}

/** Sorts extents into a map without overlaps; what no member holds is missing, by name. */
function tile(placed: Placed[], size: number, first: Member, damage: Damage[], cx: Cx): Segment[] {
  placed.sort((a, b) => a.logical - b.logical);
  const out: Segment[] = [];
  const lost: Why = { what: 'no member holds it', source: first.source, at: HEADER_AT, code: 'member-missing' };
  let at = 0;
  const gap = (end: number): void => {
    if (end <= at) return;
    out.push(missing(end - at, lost));
    const expected = `bytes ${hex(at)} to ${hex(end)} of the volume on one of its ${first.descriptor.devices} devices`;
    const effect = 'what lies there is missing; give the other members as further sources';
    damage.push(cx.damage(HEADER_AT, 'vmfs-lvm.member-missing', expected, 'no device that holds them', effect));
    at = end;
  };
  for (const e of placed) {
    const start = Math.max(at, e.logical);
    const end = Math.min(size, e.logical + e.length);
    if (e.logical < at && end > at) {
      const expected = `each byte of the volume on one device only`;
      const effect = 'the extent that starts first is believed';
      damage.push(cx.damage(e.entryAt, 'vmfs-lvm.overlap', expected, `${hex(e.logical)} claimed twice`, effect));
    }
    if (end <= start) continue;
    gap(start);
    out.push(data(e.member.source, e.physical + (start - e.logical), end - start, e.certainty, e.why));
    at = end;
  }
  gap(size);
  return out;
}

function volumeNode(first: Member, members: readonly Member[], map: Source, damage: readonly Damage[], cx: Cx): Node {
  const { header, descriptor, volume } = first;
  const spanned = descriptor.devices > 1;
  const name = spanned ? `vmfs-${volume}` : 'vmfs-lvm';
  return {
    name,
    rawName: name,
    locator: cx.self,
    kind: 'volume',
    state: 'live',
    format: vmfsLvm.title,
    facts: {
      size: map.size,
      details: {
        version: `${header.major}.${header.minor}`,
        uuid: volume,
        devices: descriptor.devices,
        present: members.length,
        members: members.map((m) => m.locator).join(', '),
      },
    },
    damage,
    bytes: async () => map,
  };
}

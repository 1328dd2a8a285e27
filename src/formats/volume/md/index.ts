/** Linux MD: several devices make one array. Source: volumes.md section 6. */

import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { data, missing, segments } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { copiesOf, mirrored, tenfold } from '../raid/mirrored.ts';
import { doubleParityRow, parity, parityRow } from '../raid/parity.ts';
import { type Column, type Grade, striped } from '../raid/striped.ts';
import { zoned } from '../raid/zoned.ts';
import { type Member, readMember } from './member.ts';
import { superblock } from './structs.ts';

export const md: Format = {
  id: 'md',
  layer: 'volume',
  title: 'Linux MD array',
  spec: 'volumes.md section 6',
  gaps: [
    'An array that is being reshaped is read with its new layout, inferred; what was not moved yet is then wrong.',
    'Write journals of RAID 5 and 6 are not replayed.',
  ],
  laid: [0, 4096].map((at) => ({ table: superblock, at, mark: { at: 0, text: '\xfc\x4e\x2b\xa9' } })),
  async probe(source) {
    const member = await readMember(source, '');
    // Above the file system that shows at the front of a mirror with its superblock at the end.
    return member === undefined ? 0 : member.sumAgrees ? 96 : 50;
  },
  async identity(source) {
    const member = await readMember(source, '');
    return member !== undefined && member.devices > 1 ? `md-${member.set}` : undefined;
  },
  async open(source, cx) {
    const first = await readMember(source, cx.source);
    if (first === undefined) throw new NotThis('no MD superblock at any of its places');
    const all = await gather(first, cx);
    const newest = all.reduce((best, one) => (one.events > best.events ? one : best), first);
    const damage: Damage[] = [];
    const slots = placed(all, newest, damage, cx);
    const map = bytesOf(newest, slots, damage, cx);
    if (map === undefined) throw new NotThis(`an array of level ${newest.level}, layout ${newest.layout}`);
    return arrayNode(newest, slots, map, damage, cx);
  },
};

async function gather(first: Member, cx: Cx): Promise<Member[]> {
  const out = [first];
  if (first.devices < 2) return out;
  for (const candidate of await cx.siblings({ identity: `md-${first.set}` })) {
    const member = await readMember(candidate.source, candidate.locator);
    if (member === undefined || member.set !== first.set) continue;
    if (!out.some(({ device, version }) => device === member.device && version === member.version)) out.push(member);
  }
  return out;
}

/** The members by their place. A stale one is left out: what the array wrote since is not on it. */
function placed(all: readonly Member[], newest: Member, damage: Damage[], cx: Cx): (Member | undefined)[] {
  const out = Array.from({ length: newest.devices }, (): Member | undefined => undefined);
  const say = (member: Member, code: string, expected: string, actual: string, effect: string): void => {
    const at = `${member.locator}@${member.at}`;
    damage.push({ ...cx.damage(member.at, code, expected, actual, effect), at });
  };
  for (const member of [...all].sort((a, b) => b.events - a.events)) {
    const { slot } = member;
    if (!member.sumAgrees)
      say(member, 'md.checksum', 'a superblock with its checksum', 'another', 'all of the array is inferred');
    if (slot === undefined || slot >= newest.devices || out[slot] !== undefined) continue;
    const isStale = member.events + 1 < newest.events && newest.level > 0;
    if (isStale || member.isRecovering) {
      const actual = isStale ? `${member.events}` : 'a device that is still being filled';
      const effect = 'it is left out, because what was written since is not on it';
      say(member, 'md.stale', `${newest.events} events, as on its siblings`, actual, effect);
    } else out[slot] = member;
  }
  return out;
}

function bytesOf(array: Member, slots: readonly (Member | undefined)[], damage: Damage[], cx: Cx): Source | undefined {
  const lost: Why = { what: 'a device that is not there', source: array.source, at: array.at, code: 'member-missing' };
  const isDoubtful = array.isReshaping || slots.some((one) => one !== undefined && !one.sumAgrees);
  const code = array.isReshaping ? 'md.reshape' : 'md.checksum';
  const why: Why = { what: 'MD superblock', source: array.source, at: array.at, ...(isDoubtful && { code }) };
  const grade: Grade = { certainty: isDoubtful ? INFERRED : STATED, why, lost };
  for (const [slot, member] of slots.entries()) {
    if (member !== undefined) continue;
    const effect = 'what only it holds is missing; give it as a further source';
    damage.push(cx.damage(array.at, 'md.member-missing', `device ${slot} of ${array.devices}`, 'none', effect));
  }
  if (array.isReshaping) {
    const effect = 'it is read with its new layout, and all of it is inferred';
    damage.push(cx.damage(array.at, 'md.reshape', 'an array at rest', 'one that is being reshaped', effect));
  }
  const columns = slots.map((one): Column => (one === undefined ? { at: 0 } : { source: one.source, at: one.dataAt }));
  return levelled(array, slots, columns, grade);
}

function levelled(
  array: Member,
  slots: readonly (Member | undefined)[],
  columns: readonly Column[],
  grade: Grade,
): Source | undefined {
  const { level, layout, chunk, devices: n } = array;
  const each = array.used > 0 ? array.used : array.dataSize;
  if (!Number.isSafeInteger(each * n) || each <= 0) return undefined;
  if (level === 1) return mirrored(columns, each, grade);
  if (!(chunk > 0)) return undefined;
  const whole = Math.floor(each / chunk) * chunk;
  if (level === -1) return linear(array, slots, grade);
  if (level === 0) {
    const sizes = slots.map((one) => Math.floor((one?.dataSize ?? array.dataSize) / chunk) * chunk);
    if (sizes.every((size) => size === sizes[0])) return striped(columns, chunk, sizes[0] * n, grade);
    // Which kernel made it, and so how its second zone begins, is not said where the layout is 0.
    const doubt: Grade = { ...grade, certainty: INFERRED, why: { ...grade.why, code: 'md.layout' } };
    return zoned(columns, sizes, chunk, layout === 2, layout === 0 ? doubt : grade);
  }
  const row = (stripe: number) => (level === 6 ? doubleParityRow : parityRow)(level === 4 ? 5 : layout, n, stripe);
  if (level === 4 || level === 5 || level === 6) {
    const spare = level === 6 ? 2 : 1;
    if (n <= spare || row(0) === undefined) return undefined;
    return parity({ columns, chunk, size: whole * (n - spare), row: (stripe) => row(stripe)!, grade });
  }
  const copies = copiesOf(layout, whole);
  const total = copies.near * copies.far;
  if (level !== 10 || total === 0 || total > n) return undefined;
  return tenfold(columns, chunk, Math.floor(((whole / chunk) * n) / total) * chunk, copies, grade);
}

/** One device behind the other, each as long as it says itself. */
function linear(array: Member, slots: readonly (Member | undefined)[], grade: Grade): Source {
  const unit = array.chunk;
  return segments(
    slots.map((one) => {
      const length = Math.floor((one?.dataSize ?? array.dataSize) / unit) * unit;
      if (one === undefined) return missing(length, grade.lost);
      return data(one.source, one.dataAt, length, grade.certainty, grade.why);
    }),
  );
}

function arrayNode(
  array: Member,
  slots: readonly (Member | undefined)[],
  map: Source,
  damage: readonly Damage[],
  cx: Cx,
): Node {
  const there = slots.filter((one) => one !== undefined);
  const name = `md-${array.set}`;
  return {
    name: printable(array.name) || name,
    rawName: name,
    locator: cx.self,
    kind: 'volume',
    state: 'live',
    format: md.title,
    facts: {
      size: map.size,
      details: {
        level: array.level === -1 ? 'linear' : `RAID ${array.level}`,
        version: array.version,
        uuid: array.set,
        layout: array.layout,
        chunk: array.chunk,
        devices: array.devices,
        present: there.length,
        members: there.map(({ locator }) => locator).join(', '),
        updated: array.updated,
      },
    },
    members: there.map(({ locator }) => ({ locator })),
    damage,
    bytes: async () => map,
  };
}

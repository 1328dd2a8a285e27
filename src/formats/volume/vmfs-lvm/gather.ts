/**
 * The devices of one VMFS LVM volume: found by its UUID and held against each other, because copies and older states
 * of a device carry the same one. Source: vmfs.md section 1.6.
 */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { slice } from '../../../core/map-source.ts';
import { INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Member, readMember } from './member.ts';
import { DATA_AT, volumeDescriptor } from './structs.ts';

/** Two copies are compared in their first bytes, which change most, and in samples of all the rest. */
const HEAD_BYTES = 8 * 1024 * 1024;
const SAMPLES = 256;
const SAMPLE_BYTES = 16 * 1024;

/** All members that are there, in the order of the stretches they hold; a copy of one is not used beside it. */
export async function gather(first: Member, damage: Damage[], cx: Cx): Promise<Member[]> {
  if (!(first.descriptor.devices > 1)) return [first];
  const members = [first];
  const borrowed = new Set<Member>();
  const strangers: Member[] = [];
  for (const candidate of await cx.siblings({ identity: `vmfs-${first.volume}` })) {
    const member = await readMember(candidate.source, candidate.locator);
    if (member === undefined || member.volume !== first.volume) continue;
    if (candidate.isBeside === true) borrowed.add(member);
    const index = members.findIndex((known) => isSame(known, member));
    if (index < 0) {
      if (agrees(first, member)) members.push(member);
      else strangers.push(member);
      continue;
    }
    const known = members[index];
    // Of a device that was named, a file beside it is no second claimant: a person has chosen.
    if (known.locator === member.locator || (borrowed.has(member) && !borrowed.has(known))) continue;
    const at = await differsAt(known.source, member.source);
    if (at !== undefined) members[index] = doubted(known, member, at, damage, cx);
  }
  // Of another time, perhaps: such a one is used only for what no other holds.
  for (const one of strangers) if (!members.some((known) => overlaps(known, one))) members.push(one);
  return members.sort((a, b) => a.descriptor.firstPe - b.descriptor.firstPe);
}

function isSame(known: Member, member: Member): boolean {
  return known.device === member.device && known.descriptor.firstPe === member.descriptor.firstPe;
}

/** Whether two descriptors say the same of the volume; one that makes no sense says nothing against it. */
function agrees(first: Member, { descriptor }: Member): boolean {
  const [one, other] = [first.descriptor, descriptor];
  const isLost = [one, other].some((each) => volumeDescriptor.violations(each).length > 0);
  return isLost || (one.devices === other.devices && one.size === other.size);
}

function overlaps({ descriptor: a }: Member, { descriptor: b }: Member): boolean {
  return a.firstPe < b.firstPe + b.pes && b.firstPe < a.firstPe + a.pes;
}

/** A member of which another state is there as well: nothing says which of the two is right. */
function doubted(known: Member, other: Member, differs: number, damage: Damage[], cx: Cx): Member {
  const effect = `${known.locator} is read, and what it holds is inferred, for it may be the older one; give only one of them, with --only`;
  const expected = `the same bytes as in ${known.locator}, which is the same device of the volume`;
  const code = 'vmfs-lvm.copies';
  const at = `${other.locator}@${differs}`;
  damage.push({ ...cx.damage(0, code, expected, `other bytes at ${hex(differs)}`, effect), at });
  const why: Why = { what: 'a device that is there in two states', source: known.source, at: 0, code };
  return { ...known, source: slice(known.source, 0, known.source.size, INFERRED, why) };
}

/** Where the first difference is that samples show; undefined where all are equal. */
async function differsAt(one: Source, other: Source): Promise<number | undefined> {
  const end = Math.min(one.size, other.size);
  const step = Math.max(SAMPLE_BYTES, Math.floor(end / SAMPLES));
  const places: [number, number][] = [[DATA_AT, HEAD_BYTES]];
  for (let at = 0; at < end; at += step) places.push([at, SAMPLE_BYTES]);
  for (const [from, length] of places) {
    const size = Math.max(0, Math.min(length, end - from));
    const [a, b] = [new Uint8Array(size), new Uint8Array(size)];
    // What cannot be read says nothing.
    const gaps = [...(await one.read(from, a)), ...(await other.read(from, b))];
    if (gaps.length > 0) continue;
    const at = a.findIndex((byte, i) => byte !== b[i]);
    if (at >= 0) return from + at;
  }
  return undefined;
}

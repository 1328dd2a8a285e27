/** Arrays of which no member says what it is a part of, as most RAID controllers leave them. Source: volumes.md section 6. */
import { crc32 } from '../../../codec/crc32.ts';
import type { Damage } from '../../../core/damage.ts';
import type { Candidate, Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { parity } from '../raid/parity.ts';
import { type Column, type Grade, striped } from '../raid/striped.ts';
import { type Marks, marksOf } from './marks.ts';
import { MAX_MEMBERS, rowOf, type Solution, solve } from './solve.ts';

const SECTOR = 512;
/** Names of the pieces of one file that was cut up, which are alike in size as well. */
const PIECE = /\.(?:\d{2,9}|a[a-z]{1,2})$|-[fs]\d{3}\.vmdk$/i;
/** Rows of which the parity is computed, and the share of them that may differ on an array that was in use. */
const CHECKED_ROWS = 64;
const MOST_TORN = 0.05;

interface Found {
  /** Tells this set of disks. */
  readonly id: string;
  /** Undefined where they are no array. */
  readonly solution: Solution | undefined;
  readonly members: readonly Candidate[];
}

/** What was found out of each source, once for all that are asked together. */
const known = new WeakMap<Source, Found>();

export const array: Format = {
  id: 'array',
  layer: 'volume',
  title: 'RAID array without metadata',
  spec: 'volumes.md section 6',
  gaps: [
    'RAID 0, 5 and 6 of disks of one size are told by VMFS, XFS, ext, NTFS and GPT structures on them; copies in RAID 1 and 10 and delayed parity are not looked for.',
    'Which member of an array whose parity does not agree is the older one is not told; leave one out at a time.',
  ],
  async probe(source, cx) {
    // A table of partitions that reaches beyond the disk is that of an array, which begins with this member.
    if (cx.isKnown === true && !(await reachesBeyond(source))) return 0;
    return (await foundOf(source, cx))?.solution === undefined ? 0 : 97;
  },
  async identity(source) {
    const found = known.get(source);
    return found?.solution === undefined ? undefined : found.id;
  },
  async open(source, cx) {
    const found = await foundOf(source, cx);
    if (found?.solution === undefined) throw new NotThis('no array with other disks of its size');
    return arrayNode(found.id, found.solution, found.members, cx);
  },
};

async function foundOf(source: Source, cx: Cx): Promise<Found | undefined> {
  const members = await cx.siblings({ size: source.size });
  if (members.length < 2 || members.length > MAX_MEMBERS || !members.some((one) => one.source === source))
    return undefined;
  if (members.every(({ locator }) => PIECE.test(locator))) return undefined;
  const id = `array-${crc32(new TextEncoder().encode(members.map(({ locator }) => locator).join('\n'))).toString(16)}`;
  const before = known.get(source);
  if (before?.id === id) return before;
  const marks: Marks[] = [];
  for (const one of members) marks.push(await marksOf(one.source, cx.signal));
  const found = { id, solution: await byParity(solve(marks), members, cx.signal), members };
  for (const one of members) known.set(one.source, found);
  return found;
}

/** Of answers that take parity to be elsewhere, the one whose parity agrees. */
async function byParity(
  answers: readonly Solution[],
  members: readonly Candidate[],
  signal: AbortSignal,
): Promise<Solution | undefined> {
  let [best] = answers;
  let least = Number.POSITIVE_INFINITY;
  for (const one of answers.length > 1 ? answers : []) {
    const { rows, torn } = await parityOf(one, columnsOf(one, members), signal);
    if (rows === 0 || torn / rows >= least) continue;
    least = torn / rows;
    best = one;
  }
  return best;
}

function columnsOf({ members: slots }: Solution, members: readonly Candidate[]): Column[] {
  return slots.map((member) => (member < 0 ? { at: 0 } : { at: 0, source: members[member].source }));
}

/** Whether a partition table at the start of a disk says that the disk is larger than it is. */
async function reachesBeyond(source: Source): Promise<boolean> {
  const head = new Uint8Array(2 * SECTOR);
  if (source.size < head.length || (await source.read(0, head)).length > 0) return false;
  const view = viewOf(head);
  if (view.getUint16(510) !== 0x55aa) return false;
  const sectors = source.size / SECTOR;
  const isGpt = view.getUint32(SECTOR) === 0x45464920 && view.getUint32(SECTOR + 4) === 0x50415254;
  if (isGpt) return readU64(view, SECTOR + 32) >= sectors;
  for (let at = 446; at < 510; at += 16)
    if (head[at + 4] !== 0 && view.getUint32(at + 8, true) + view.getUint32(at + 12, true) > sectors) return true;
  return false;
}

async function arrayNode(id: string, solution: Solution, members: readonly Candidate[], cx: Cx): Promise<Node> {
  const { agree, chunk, devices, layout, level, marks } = solution;
  const why: Why = {
    what: `an array of ${devices} disks in chunks of ${chunk} bytes, told by what lies on it`,
    source: members[0].source,
    at: 0,
    code: 'array.order',
  };
  const lost: Why = { ...why, what: 'a disk that is not there', code: 'member-missing' };
  const grade: Grade = { certainty: INFERRED, why, lost };
  const columns = columnsOf(solution, members);
  const each = Math.floor(members[0].source.size / chunk) * chunk;
  const row = (stripe: number) => rowOf(solution, stripe)!;
  const size = each * row(0).data.length;
  const bytes = level === 0 ? striped(columns, chunk, size, grade) : parity({ columns, chunk, size, row, grade });
  const order = solution.members.map((member) => (member < 0 ? 'missing' : printable(members[member].locator)));
  return {
    name: id,
    rawName: id,
    locator: cx.self,
    kind: 'volume',
    state: 'live',
    format: array.title,
    facts: {
      size,
      details: { level: `RAID ${level}`, layout, chunk, devices, present: members.length, members: order.join(', ') },
    },
    members: members.map(({ locator }) => ({ locator })),
    damage: await damageOf(solution, columns, cx),
    notices: [
      `No disk says how they belong together: ${agree} of ${marks} structures that know their own place agree.`,
    ],
    bytes: async () => bytes,
  };
}

async function damageOf(solution: Solution, columns: readonly Column[], cx: Cx): Promise<Damage[]> {
  const out: Damage[] = [];
  const gone = solution.members.filter((member) => member < 0).length;
  for (const [slot, member] of solution.members.entries()) {
    if (member >= 0) continue;
    const isSpared = solution.level > 0 && gone <= solution.level - 4;
    const effect = isSpared
      ? 'what it held is computed from the others'
      : 'what only it holds is missing; give it as a further source';
    out.push(cx.damage(0, 'array.member-missing', `disk ${slot} of ${solution.devices}`, 'none', effect));
  }
  if (solution.level === 0) return out;
  const { rows, torn } = await parityOf(solution, columns, cx.signal);
  if (torn > rows * MOST_TORN) {
    const effect = `one of the disks may hold older bytes than the others; leave one out at a time and compare: what it holds is computed then`;
    out.push(
      cx.damage(0, 'array.parity', `parity that agrees in ${rows} sampled rows`, `${torn} where it does not`, effect),
    );
  }
  return out;
}

/** Rows, from the start of the disks to their end, that are all there, and those whose chunks do not add up to zeros. */
async function parityOf(
  { chunk, ...shape }: Solution,
  columns: readonly Column[],
  signal: AbortSignal,
): Promise<{ rows: number; torn: number }> {
  const all = Math.floor(columns.find(({ source }) => source !== undefined)!.source!.size / chunk);
  const looks = Math.min(all, CHECKED_ROWS);
  const sum = new Uint8Array(SECTOR);
  const part = new Uint8Array(SECTOR);
  let [rows, torn] = [0, 0];
  for (let i = 0; i < looks; i++) {
    signal.throwIfAborted();
    const stripe = Math.floor((i * all) / looks);
    const { data, p } = rowOf({ chunk, ...shape }, stripe)!;
    const sources = [...data, p].flatMap((slot) => columns[slot].source ?? []);
    if (sources.length <= data.length) continue;
    rows++;
    sum.fill(0);
    for (const source of sources) {
      await source.read(stripe * chunk, part);
      for (let n = 0; n < SECTOR; n++) sum[n] ^= part[n];
    }
    if (sum.some((byte) => byte !== 0)) torn++;
  }
  return { rows, torn };
}

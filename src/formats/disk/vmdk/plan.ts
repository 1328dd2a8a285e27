/** What header, footer and directories of a hosted sparse extent say of it, checked against each other. */
import { startsZlib } from '../../../codec/zlib.ts';
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import { type Certainty, GUESSED, INFERRED, VERIFIED, weaker } from '../../../core/run.ts';
import type { Values } from '../../../core/struct.ts';
import { findDirectories, grainBetween, MAX_TABLES } from './directory.ts';
import { headlessIn } from './headless.ts';
import type { Place, Wish } from './layer.ts';
import { walk } from './stream.ts';
import {
  COMPRESSED,
  MARKER_FOOTER,
  MARKERS,
  MAX_SECTORS,
  marker,
  NEWLINE_TEST,
  REDUNDANT,
  SECTOR,
  sparseHeader,
  ZEROED_GRAINS,
} from './structs.ts';
import { Window } from './window.ts';

type Header = Values<typeof sparseHeader.fields>;

/** What hosts make, for extents whose header does not say it. */
export const GRAIN = 128;
const ENTRIES = 512;
/** Sectors of the header and a descriptor, as hosts make them. */
export const BEHIND_TEXT = 21;
const AT_END = 0xffffffff;
/** Bytes at the end of a stream that are searched for its footer. */
const TAIL = 65536;

/** What was found out about an extent before its tables are read. */
export interface Plan {
  sectors: number;
  grain: number;
  perTable: number;
  main: number;
  spare: number;
  origin: number;
  isCompressed: boolean;
  zeroed: boolean;
  most: Certainty;
  damage: Damage[];
  notices: string[];
  version: number;
}

/** Whether these bytes start a hosted sparse extent. */
export function isHosted(block: Uint8Array): boolean {
  const magic = String.fromCharCode(...block.subarray(0, 4));
  return magic === 'KDMV' || magic === 'kdmv';
}

/** What is known of an extent before its tables are read; undefined where nothing says what it is. */
export async function planOf(place: Place, block: Uint8Array, wish: Wish): Promise<Plan | undefined> {
  if (isHosted(block)) return planned(place, sparseHeader.decode(block), wish, []);
  const footer = await footerOf(place);
  if (footer === undefined) return planWithout(place, wish, []);
  const effect = 'the copy of the header at the end of the file is taken';
  const damage = [place.damage(0, 'vmdk.header', '"KDMV"', 'something else', effect)];
  const plan = await planned(place, footer, wish, damage);
  return plan && { ...plan, most: weaker(plan.most, INFERRED) };
}

/** The plan that a header gives. */
async function planned(place: Place, first: Header, wish: Wish, damage: Damage[]): Promise<Plan | undefined> {
  const notices: string[] = [];
  let header = first;
  const isAtEnd = header.gdOffset.low === AT_END && header.gdOffset.high === AT_END;
  const isStream = isAtEnd || (header.flags & (COMPRESSED | MARKERS)) === (COMPRESSED | MARKERS);
  if (isStream) {
    const footer = await footerOf(place);
    if (footer !== undefined) header = footer;
    else if (isAtEnd) {
      const effect =
        'its grains are read by what they say of themselves; what was behind the end of the file is missing';
      damage.push(place.damage(56, 'vmdk.footer', 'a footer at the end of the file', 'none', effect));
    }
  }
  let most: Certainty = VERIFIED;
  const doubt = (at: number, code: string, expected: string, actual: string, effect: string, to: Certainty): void => {
    damage.push(place.damage(at, code, expected, actual, effect));
    most = weaker(most, to);
  };
  for (const v of sparseHeader.violations(header)) {
    if (v.field === 'descriptorOffset' || v.field === 'descriptorSize') continue;
    const effect = 'the header is not what hosts make; what it says is checked against the tables';
    doubt(v.at, 'vmdk.header', `${v.field} of ${v.expected}`, v.actual, effect, INFERRED);
  }
  checkNewlines(header, doubt);
  const isSound = sparseHeader.violations(header).every((v) => !/^(grainSize|numGTEsPerGT|capacity)$/.test(v.field));
  if (!isSound) return planWithout(place, wish, damage, header);
  let isCompressed = (header.flags & COMPRESSED) !== 0;
  if (isCompressed !== (header.compressAlgorithm === 1) || isCompressed !== ((header.flags & MARKERS) !== 0)) {
    const actual = `flags ${hex(header.flags)} and compression ${header.compressAlgorithm}`;
    const effect = 'its first grain tells which of them is right';
    doubt(8, 'vmdk.header', 'flags and compression that agree', actual, effect, INFERRED);
    isCompressed = await looksCompressed(place, header.overHead);
  }
  if (header.uncleanShutdown !== 0)
    notices.push('It was not closed cleanly: the last writes may be in one copy of its tables only.');
  const gd = header.gdOffset.high === 0 ? header.gdOffset.low : 0;
  const size = place.source.size / SECTOR;
  const inside = (at: number): number => (at > 0 && at < size ? at : 0);
  const plan: Plan = {
    sectors: header.capacity,
    grain: header.grainSize,
    perTable: header.numGTEsPerGT,
    main: inside(gd),
    spare: (header.flags & REDUNDANT) !== 0 && header.rgdOffset !== gd ? inside(header.rgdOffset) : 0,
    origin: inside(header.overHead),
    isCompressed,
    zeroed: (header.flags & ZEROED_GRAINS) !== 0,
    most,
    damage,
    notices,
    version: header.version,
  };
  if (!isCompressed) await checkLayout(place, plan, header, doubt);
  plan.most = most;
  if (wish.sectors !== undefined && wish.sectors !== plan.sectors) {
    plan.most = weaker(plan.most, INFERRED);
    if (!isCompressed) plan.sectors = await provedSize(place, plan, wish.sectors);
    const actual = `${header.capacity} in the header and ${wish.sectors} in the descriptor`;
    const effect = `${plan.sectors} are taken, which its tables fit`;
    damage.push(place.damage(12, 'vmdk.capacity', 'one number of sectors', actual, effect));
  }
  return plan;
}

/** Of the sizes that header and descriptor give, the one that has as many tables as there are. */
async function provedSize(place: Place, plan: Plan, other: number): Promise<number> {
  const found = await findDirectories(place, Math.ceil((plan.perTable * 4) / SECTOR));
  if (found === undefined || other > MAX_SECTORS) return plan.sectors;
  const tables = (sectors: number): number => Math.ceil(sectors / (plan.grain * plan.perTable));
  if (tables(plan.sectors) === tables(other)) return Math.max(plan.sectors, other);
  return found.tables === tables(other) ? other : plan.sectors;
}

type Doubt = (at: number, code: string, expected: string, actual: string, effect: string, to: Certainty) => void;

/** Four bytes that a transfer as text changes; then all that follows is shifted and changed as well. */
function checkNewlines(header: Header, doubt: Doubt): void {
  if ((header.flags & NEWLINE_TEST) === 0) return;
  const found = [...header.newlines].map((b) => b.toString(16).padStart(2, '0')).join(' ');
  if (found === '0a 20 0d 0a') return;
  const isText = /^(0d 0a 20 0d|0a 20 0a|0d 20 0d|0a 20 0d 0d|20 0a|0d 20)/.test(found);
  const effect = isText
    ? 'the file was transferred as text, which changed bytes all through it; get it again in binary mode'
    : 'the header was changed; what it says is not relied on';
  doubt(73, 'vmdk.newline', '0a 20 0d 0a', found, effect, isText ? GUESSED : INFERRED);
}

/** Whether capacity, directories and the first grain fit together as hosts lay them out. */
async function checkLayout(place: Place, plan: Plan, header: Header, doubt: Doubt): Promise<void> {
  const count = Math.ceil(plan.sectors / (plan.grain * plan.perTable));
  if (count > MAX_TABLES) return;
  const directorySectors = Math.ceil((count * 4) / SECTOR);
  const tables = count * Math.ceil((plan.perTable * 4) / SECTOR);
  const effect = 'the size that the header gives is not proved by its tables';
  if (plan.main > 0 && plan.spare > 0) {
    const room = plan.main - plan.spare;
    const wanted = directorySectors + tables;
    if (room > 0 && (room < wanted || room >= wanted + plan.grain)) {
      doubt(
        48,
        'vmdk.layout',
        `${wanted} sectors of tables for ${plan.sectors} sectors`,
        `room for ${room}`,
        effect,
        INFERRED,
      );
    }
  }
  if (plan.main === 0 && plan.spare === 0) {
    const found = await findDirectories(place, Math.ceil((plan.perTable * 4) / SECTOR));
    plan.main = found?.main ?? 0;
    plan.spare = found?.spare ?? 0;
    doubt(48, 'vmdk.directory', 'a grain directory inside the file', 'none', 'it was looked for', INFERRED);
    return;
  }
  if (plan.main === 0) {
    // Both directories with their tables follow each other.
    const computed = plan.spare + directorySectors + tables;
    plan.main = computed * SECTOR < place.source.size ? computed : 0;
    doubt(
      56,
      'vmdk.directory',
      'a grain directory inside the file',
      hex(header.gdOffset.low),
      'it was looked for',
      INFERRED,
    );
  }
}

async function looksCompressed(place: Place, overHead: number): Promise<boolean> {
  if (!(overHead * SECTOR + SECTOR <= place.source.size)) return false;
  const bytes = await new Window(place.source, SECTOR).bytes(overHead * SECTOR, SECTOR);
  return startsZlib(bytes[12], bytes[13]) && marker.decode(bytes).size > 0;
}

/** The plan for an extent without a usable header: by its directories, or the grains of a stream. */
async function planWithout(place: Place, wish: Wish, damage: Damage[], header?: Header): Promise<Plan | undefined> {
  const found = wish.isStream === true ? undefined : await findDirectories(place, (ENTRIES * 4) / SECTOR);
  const own = header !== undefined && header.capacity > 0 && header.capacity <= 2 ** 40 ? header.capacity : undefined;
  const isStream = wish.isStream ?? (header !== undefined && (header.flags & COMPRESSED) !== 0);
  if (found === undefined && !isStream && wish.sectors === undefined) return planByGuest(place, damage, header);
  const told = found === undefined ? undefined : await grainBetween(place, found, (ENTRIES * 4) / SECTOR);
  const grain = told ?? GRAIN;
  const room = (found?.tables ?? 0) * ENTRIES * grain;
  const known = wish.sectors ?? (own !== undefined && (room === 0 || own <= room) ? own : undefined);
  let sectors = known ?? room;
  if (known === undefined && isStream) sectors = (await walk(place, BEHIND_TEXT, GRAIN, 2 ** 32)).sectors;
  if (sectors === 0) return undefined;
  const size = known === undefined ? ', and its size by its tables' : '';
  const effect = `it is read by its tables and grains${size}, as hosts make them`;
  if (header === undefined) damage.push(place.damage(0, 'vmdk.header', '"KDMV"', 'something else', effect));
  const plan: Plan = {
    sectors,
    grain,
    perTable: ENTRIES,
    main: found?.main ?? 0,
    spare: found?.spare ?? 0,
    origin: 0,
    isCompressed: isStream,
    zeroed: false,
    // Of how large a grain is, everything depends.
    most: known === undefined || (found !== undefined && told === undefined) ? GUESSED : INFERRED,
    damage,
    notices: [],
    version: header?.version ?? 0,
  };
  return plan.main === 0 && !isStream ? lostPlan(plan) : plan;
}

/** The plan for grains alone, of which one is the start of a disk. */
async function planByGuest(place: Place, damage: Damage[], header?: Header): Promise<Plan | undefined> {
  const guest = await headlessIn(place);
  if (guest === undefined) return undefined;
  const effect = `the start of a disk stands at ${guest.at}: its size is that of ${guest.what}${guest.isExact ? '' : ', or larger'}`;
  damage.push(place.damage(0, 'vmdk.header', 'a header and grain tables', 'neither', effect));
  return lostPlan({
    sectors: guest.sectors,
    grain: GRAIN,
    perTable: ENTRIES,
    main: 0,
    spare: 0,
    origin: 0,
    isCompressed: false,
    zeroed: false,
    most: GUESSED,
    damage,
    notices: [],
    version: header?.version ?? 0,
  });
}

/** Directories are gone as well: they stood where hosts put them, behind a descriptor or the header. */
function lostPlan(plan: Plan): Plan {
  const tables = Math.ceil(plan.sectors / (GRAIN * ENTRIES));
  const length = Math.ceil((tables * 4) / SECTOR) + tables * 4;
  plan.spare = BEHIND_TEXT;
  plan.main = BEHIND_TEXT + length;
  plan.most = GUESSED;
  return plan;
}

/** The copy of the header at the end of a stream. */
export async function footerOf(place: Place): Promise<Header | undefined> {
  const { size } = place.source;
  const from = Math.max(0, Math.floor((size - TAIL) / SECTOR) * SECTOR);
  const tail = await new Window(place.source, TAIL).bytes(from, Math.floor((size - from) / SECTOR) * SECTOR);
  for (let at = tail.length - 2 * SECTOR; at >= 0; at -= SECTOR) {
    const { value, size: length, type } = marker.decode(tail, at);
    if (value !== 1 || length !== 0 || type !== MARKER_FOOTER || !isHosted(tail.subarray(at + SECTOR))) continue;
    return sparseHeader.decode(tail, at + SECTOR);
  }
  return undefined;
}

/** One device of an MD array: what its superblock says. Source: volumes.md section 6. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import {
  FEATURE_RECOVERING,
  FEATURE_RESHAPING,
  NO_SLOT,
  OLD_BYTES,
  oldSuperblock,
  ROLES_AT,
  role,
  SECTOR,
  superblock,
} from './structs.ts';

export interface Member {
  readonly source: Source;
  readonly locator: string;
  /** "1.2". */
  readonly version: string;
  /** Of the array, in hexadecimal. */
  readonly set: string;
  readonly name: string;
  readonly device: string;
  /** −1 linear, else 0, 1, 4, 5, 6, 10. */
  readonly level: number;
  readonly layout: number;
  /** Bytes. */
  readonly chunk: number;
  /** Bytes of each device that the array uses; 0 where each gives what it has. */
  readonly used: number;
  readonly devices: number;
  /** Place in the array; undefined for spares and what was thrown out. */
  readonly slot: number | undefined;
  /** Counts changes of the array: a device with fewer is stale. */
  readonly events: number;
  readonly updated: number;
  /** Bytes from the start of the source to its data, and how many there are. */
  readonly dataAt: number;
  readonly dataSize: number;
  readonly isRecovering: boolean;
  readonly isReshaping: boolean;
  readonly sumAgrees: boolean;
  /** Where the superblock stands. */
  readonly at: number;
}

const LINEAR = 0xffffffff;

/** Reads the superblock, wherever its version keeps it; undefined where there is none. */
export async function readMember(source: Source, locator: string): Promise<Member | undefined> {
  const sectors = Math.floor(source.size / SECTOR);
  const places: [string, number][] = [
    ['1.2', 8 * SECTOR],
    ['1.1', 0],
    ['1.0', Math.floor((sectors - 16) / 8) * 8 * SECTOR],
  ];
  for (const [version, at] of places) {
    const member = await newMember(source, locator, version, at);
    if (member !== undefined) return member;
  }
  return oldMember(source, locator, Math.floor(source.size / 65_536) * 65_536 - 65_536);
}

async function newMember(source: Source, locator: string, version: string, at: number): Promise<Member | undefined> {
  const block = new Uint8Array(OLD_BYTES);
  if (at < 0 || at + SECTOR > source.size) return undefined;
  await source.read(at, block.subarray(0, Math.min(block.length, source.size - at)));
  const found = superblock.decode(block);
  // Each of the three places could be reached by a copy of another one.
  if (superblock.violations(found).length > 0 || found.superAt * SECTOR !== at) return undefined;
  const level = found.level === LINEAR ? -1 : found.level;
  const end = ROLES_AT + found.roles * 2;
  const isListed = found.number < found.roles && end <= block.length;
  const { slot } = isListed ? role.decode(block, ROLES_AT + found.number * 2) : { slot: NO_SLOT };
  return {
    source,
    locator,
    version,
    set: Buffer.from(found.set).toString('hex'),
    name: found.name,
    device: Buffer.from(found.device).toString('hex'),
    level,
    layout: found.layout,
    chunk: found.chunkSectors * SECTOR,
    used: found.size * SECTOR,
    devices: found.devices,
    slot: slot >= NO_SLOT ? undefined : slot,
    events: found.events,
    updated: found.updated % 2 ** 40,
    dataAt: found.dataAt * SECTOR,
    dataSize: found.dataSize * SECTOR,
    isRecovering: (found.features & FEATURE_RECOVERING) !== 0,
    isReshaping: (found.features & FEATURE_RESHAPING) !== 0,
    sumAgrees: end <= block.length && newSum(block.subarray(0, end)) === found.sum,
    at,
  };
}

/** All words but the sum itself, folded. */
function newSum(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  let sum = 0;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) if (at !== 216) sum += view.getUint32(at, true);
  if (at + 2 <= bytes.length) sum += view.getUint16(at, true);
  return folded(sum);
}

function folded(sum: number): number {
  return ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) % 2 ** 32;
}

async function oldMember(source: Source, locator: string, at: number): Promise<Member | undefined> {
  const block = new Uint8Array(OLD_BYTES);
  if (at < 0 || at + OLD_BYTES > source.size) return undefined;
  await source.read(at, block);
  const found = oldSuperblock.decode(block);
  if (oldSuperblock.violations(found).length > 0) return undefined;
  const view = viewOf(block);
  let sum = 0;
  for (let word = 0; word < OLD_BYTES; word += 4) if (word !== 152) sum += view.getUint32(word, true);
  const uuid = [found.uuid0, found.uuid1, found.uuid2, found.uuid3];
  const isFaulty = (found.thisState & 1) !== 0 || found.thisRole >= found.devices;
  return {
    source,
    locator,
    version: '0.90',
    set: uuid.map((word) => word.toString(16).padStart(8, '0')).join(''),
    name: '',
    device: String(found.thisNumber),
    level: found.level === LINEAR ? -1 : found.level,
    layout: found.layout,
    chunk: found.chunkBytes,
    used: found.sizeKib * 1024,
    devices: found.devices,
    slot: isFaulty ? undefined : found.thisRole,
    events: found.eventsHigh * 2 ** 32 + found.eventsLow,
    updated: found.updated,
    dataAt: 0,
    dataSize: found.sizeKib > 0 ? found.sizeKib * 1024 : at,
    isRecovering: false,
    isReshaping: found.minor === 91,
    sumAgrees: folded(sum) === found.sum,
    at,
  };
}

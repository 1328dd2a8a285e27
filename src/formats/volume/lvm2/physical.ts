/** One physical volume: its label, and all texts that its metadata areas still hold. */
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { type Group, groupOf } from './group.ts';
import {
  area,
  FLAG_IGNORED,
  LABEL_MAGIC,
  LABEL_SECTORS,
  LABEL_TYPE,
  LOCATIONS_AT,
  label,
  location,
  METADATA_MAGIC,
  metadataHeader,
  pvHeader,
  SECTOR,
  sumOf,
  USUAL_METADATA_AT,
  USUAL_METADATA_BYTES,
} from './structs.ts';

interface Area {
  readonly at: number;
  readonly size: number;
}

export interface Physical {
  readonly source: Source;
  readonly locator: string;
  /** Without dashes; undefined where the label is lost. */
  readonly uuid: string | undefined;
  /** Why the label is not believed whole, or undefined. */
  readonly labelFault?: string;
  readonly areas: readonly Area[];
}

/** A text as an area holds it. */
export interface Text {
  readonly group: Group;
  /** Bytes from the start of the physical volume. */
  readonly at: number;
  /** The area's header names it, and its checksum agrees. */
  readonly isCurrent: boolean;
}

/** Areas that a label may name. */
const MAX_AREAS = 16;
/** Bytes of one metadata area that are read; areas are 1 MiB, seldom more. */
const MAX_AREA = 64 * 1024 * 1024;
/** Locations in one area's header. */
const MAX_LOCATIONS = 8;

/** Reads the label; undefined where there is none and no metadata area stands where one usually does. */
export async function readPhysical(source: Source, locator: string): Promise<Physical | undefined> {
  const head = new Uint8Array(LABEL_SECTORS * SECTOR);
  if (source.size < head.length) return undefined;
  await source.read(0, head);
  for (let sector = 0; sector < LABEL_SECTORS; sector++) {
    const at = sector * SECTOR;
    const found = label.decode(head, at);
    if (found.magic !== LABEL_MAGIC || found.type !== LABEL_TYPE) continue;
    const whole = head.subarray(at, at + SECTOR);
    const broken = label.violations(found).length > 0 || found.sector !== sector;
    const fault =
      broken || sumOf(whole.subarray(20)) !== found.crc ? 'a label whose checksum does not agree' : undefined;
    if (broken) continue;
    const { uuid } = pvHeader.decode(whole, found.headerAt);
    const areas = areasOf(whole, found.headerAt + pvHeader.size).filter((one) => one.at + SECTOR <= source.size);
    return { source, locator, uuid, areas, ...(fault !== undefined && { labelFault: fault }) };
  }
  const usual = { at: USUAL_METADATA_AT, size: Math.min(USUAL_METADATA_BYTES, source.size - USUAL_METADATA_AT) };
  if (usual.size < SECTOR * 2 || (await headerOf(source, usual)) === undefined) return undefined;
  return { source, locator, uuid: undefined, labelFault: 'no label', areas: [usual] };
}

/** The second of two lists of areas, each ended by zeros: data areas, then metadata areas. */
function areasOf(sector: Uint8Array, from: number): Area[] {
  const out: Area[] = [];
  let lists = 0;
  for (let at = from; at + area.size <= sector.length && out.length < MAX_AREAS; at += area.size) {
    const one = area.decode(sector, at);
    if (one.at === 0 && one.size === 0) {
      if (++lists === 2) break;
    } else if (lists === 1 && Number.isSafeInteger(one.at + one.size)) out.push(one);
  }
  return out;
}

async function headerOf(source: Source, { at }: Area): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(SECTOR);
  const gaps = await source.read(at, bytes);
  const header = metadataHeader.decode(bytes);
  if (gaps.length > 0 || header.magic.some((byte, i) => byte !== METADATA_MAGIC[i])) return undefined;
  return sumOf(bytes.subarray(4)) === header.crc && header.start === at ? bytes : undefined;
}

/** The text that the headers of the areas name; the newest where they differ. */
export async function currentText(physical: Physical): Promise<Text | undefined> {
  let best: Text | undefined;
  for (const one of physical.areas) {
    const header = await headerOf(physical.source, one);
    if (header === undefined) continue;
    for (let i = 0; i < MAX_LOCATIONS; i++) {
      const place = location.decode(header, LOCATIONS_AT + i * location.size);
      if (place.at === 0) break;
      // The second place is what was about to be committed.
      const text = i === 0 && (place.flags & FLAG_IGNORED) === 0 ? await textAt(physical, one, place) : undefined;
      if (text !== undefined && text.group.sequence > (best?.group.sequence ?? -1)) best = text;
    }
  }
  return best;
}

async function textAt(
  { source }: Physical,
  { at, size }: Area,
  place: { readonly at: number; readonly size: number; readonly crc: number },
): Promise<Text | undefined> {
  const isSane = place.at >= SECTOR && place.at < size && place.size <= size - SECTOR && place.size <= MAX_AREA;
  if (!isSane) return undefined;
  const bytes = new Uint8Array(place.size);
  // The area is a ring: what does not fit goes on behind its header.
  const first = Math.min(place.size, size - place.at);
  const gaps = await source.read(at + place.at, bytes.subarray(0, first));
  const more = first < place.size ? await source.read(at + SECTOR, bytes.subarray(first)) : [];
  if (gaps.length + more.length > 0 || sumOf(bytes) !== place.crc) return undefined;
  const group = groupOf(latin1(bytes, 0, bytes.length));
  return group && { group, at: at + place.at, isCurrent: true };
}

const TEXT_START = /^[A-Za-z0-9+_.-]{1,128} \{\n\s*id = "/;

/** All texts that the areas still hold, those that were replaced too, the newest first. Each sequence once. */
export async function allTexts(physical: Physical): Promise<Text[]> {
  const out = new Map<number, Text>();
  for (const one of physical.areas) {
    const size = Math.min(one.size, MAX_AREA, physical.source.size - one.at);
    const bytes = new Uint8Array(Math.max(0, size));
    await physical.source.read(one.at, bytes);
    for (let at = SECTOR; at < bytes.length; at += SECTOR) {
      if (!TEXT_START.test(latin1(bytes, at, 192))) continue;
      const group = groupOf(latin1(bytes, at, bytes.length - at));
      if (group === undefined || out.has(group.sequence)) continue;
      out.set(group.sequence, { group, at: one.at + at, isCurrent: false });
    }
  }
  return [...out.values()].sort((a, b) => b.group.sequence - a.group.sequence);
}

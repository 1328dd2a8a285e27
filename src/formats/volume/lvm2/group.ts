/** What a text says of a volume group: its physical volumes, its logical volumes and their segments. */
import { listIn, numberIn, parseText, type Section, sectionsIn, textIn } from './text.ts';

interface PhysicalSpec {
  readonly name: string;
  /** Without dashes, as on the disk itself. */
  readonly uuid: string;
  /** Where it was when the text was written: "/dev/sda2". */
  readonly device: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes from the start of the physical volume to its first extent. */
  readonly start: number;
  readonly extents: number;
}

export interface SegmentSpec {
  /** In extents of the logical volume. */
  readonly start: number;
  readonly count: number;
  readonly type: string;
  readonly section: Section;
}

export interface LogicalSpec {
  readonly name: string;
  readonly uuid: string;
  /** Shown to people; what is not is a part of another one. */
  readonly isVisible: boolean;
  readonly segments: readonly SegmentSpec[];
  /** Of the whole, in extents. */
  readonly extents: number;
  readonly section: Section;
}

export interface Group {
  readonly name: string;
  readonly uuid: string;
  /** Counts the changes: the highest one is what the group is now. */
  readonly sequence: number;
  /** Bytes. */
  readonly extentBytes: number;
  readonly physical: ReadonlyMap<string, PhysicalSpec>;
  readonly logical: ReadonlyMap<string, LogicalSpec>;
  /** The command that made the text, as it was typed. */
  readonly description: string;
  readonly host: string;
  /** Seconds since 1970. */
  readonly written: number;
}

const SECTOR = 512;
/** Extents that offsets in bytes can tell apart. */
const MAX_EXTENTS = 2 ** 32;

/** Reads a text; undefined where it describes no group that makes sense. */
export function groupOf(text: string): Group | undefined {
  const all = parseText(text);
  const [name, section] = (all && sectionsIn(all)[0]) ?? [];
  if (all === undefined || name === undefined || section === undefined) return undefined;
  const uuid = bare(textIn(section, 'id'));
  const extentBytes = numberIn(section, 'extent_size') * SECTOR;
  const sequence = numberIn(section, 'seqno');
  if (uuid === '' || !(extentBytes > 0) || !(extentBytes <= 2 ** 40) || Number.isNaN(sequence)) return undefined;
  const physical = new Map<string, PhysicalSpec>();
  for (const [key, pv] of sectionsIn(section, 'physical_volumes')) physical.set(key, physicalOf(key, pv));
  const logical = new Map<string, LogicalSpec>();
  for (const [key, lv] of sectionsIn(section, 'logical_volumes')) logical.set(key, logicalOf(key, lv));
  const head = { name, uuid, sequence, extentBytes, physical, logical };
  const written = numberIn(all, 'creation_time');
  return { ...head, description: textIn(all, 'description'), host: textIn(all, 'creation_host'), written };
}

/** UUIDs are written with dashes in texts and without on disks. */
function bare(uuid: string): string {
  return uuid.replaceAll('-', '');
}

function physicalOf(name: string, section: Section): PhysicalSpec {
  const sectors = { size: numberIn(section, 'dev_size'), start: numberIn(section, 'pe_start') };
  return {
    name,
    uuid: bare(textIn(section, 'id')),
    device: textIn(section, 'device'),
    size: sectors.size * SECTOR,
    start: sectors.start * SECTOR,
    extents: numberIn(section, 'pe_count'),
  };
}

function logicalOf(name: string, section: Section): LogicalSpec {
  const segments: SegmentSpec[] = [];
  for (const [, one] of sectionsIn(section).filter(([key]) => /^segment\d+$/.test(key))) {
    const [start, count] = [numberIn(one, 'start_extent'), numberIn(one, 'extent_count')];
    if (start + count <= MAX_EXTENTS) segments.push({ start, count, type: textIn(one, 'type'), section: one });
  }
  segments.sort((a, b) => a.start - b.start);
  const extents = segments.reduce((most, { start, count }) => Math.max(most, start + count), 0);
  const isVisible = listIn(section, 'status').includes('VISIBLE');
  return { name, uuid: bare(textIn(section, 'id')), isVisible, segments, extents, section };
}

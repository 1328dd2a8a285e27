/** What a folder holds of disks: descriptors, sound or not, and the files they belong to. */
import type { Folder, Piece } from '../../../core/mend.ts';
import { untangled } from '../../untangle.ts';
import { type Descriptor, isContentId, isDescriptor, parseDescriptor, SECTOR } from './descriptor.ts';
import { capacityOf, type Extent, extentOf, isNoDescriptor } from './extents.ts';

/** A descriptor: one that lies there, or one that has to. */
export interface Link {
  readonly rawName: string;
  /** What could be read of it. */
  readonly text?: Descriptor;
  /** Why it cannot be used as it is; empty where it can. */
  readonly faults: string[];
  /** Extents by the names in the text that are not there. */
  readonly lost: Set<string>;
}

export interface Survey {
  readonly links: Map<string, Link>;
  readonly extents: Map<string, Extent>;
  /** Files that a descriptor with readable extents names. */
  readonly claimed: Set<string>;
  /** Large files of no known name, that a renamed extent may be. */
  readonly others: Map<string, Piece>;
}

/** Lost extents of one descriptor that are named. */
const NAMED = 3;
/** Smaller files are no disks. */
const LEAST = 1024 * 1024;

/** Looks at all pieces of a folder. Reads descriptors whole, of other files a sector. */
export async function survey(folder: Folder): Promise<Survey> {
  const out: Survey = { links: new Map(), extents: new Map(), claimed: new Set(), others: new Map() };
  for (const [rawName, piece] of folder.pieces) {
    const extent = await extentOf(piece);
    if (extent !== undefined) out.extents.set(rawName, extent);
    else if (/\.vmdk$/i.test(rawName) && !isNoDescriptor(rawName)) await addText(out, rawName, piece);
    else if ((piece.facts.size ?? 0) >= LEAST && !isNoDescriptor(rawName)) out.others.set(rawName, piece);
  }
  const byFile = new Map([...folder.pieces.values()].map((piece) => [piece.file, piece]));
  for (const link of out.links.values()) checkExtents(link, (name) => folder.pieces.get(name) ?? byFile.get(name), out);
  return out;
}

async function addText(out: Survey, rawName: string, piece: Piece): Promise<void> {
  const text = await untangled(piece, isDescriptor);
  if (text === undefined || /^(KDMV|COWD|kdmv)/.test(text.raw)) {
    if ((piece.facts.size ?? 0) >= LEAST) out.others.set(rawName, piece);
    return;
  }
  const parsed = parseDescriptor(text.text);
  const value = (key: string): string => parsed.values.get(key) ?? '';
  const faults = [...text.faults];
  if (piece.file !== rawName) faults.push(`it is called ${piece.file} now`);
  const isEsx = /^(vmfs|sesparse)/i.test(value('createtype'));
  // Hosts that make these types write LF.
  if (faults.length === 0 && isEsx && text.raw.includes('\r')) faults.push('its line ends were converted to CR LF');
  if (faults.length === 0) {
    if (parsed.refused.length > 0) faults.push('an extent line cannot be read');
    else if (parsed.extents.length === 0) faults.push('it names no extent');
    else if (!isContentId(value('cid'))) faults.push('its CID cannot be read');
    else if (value('parentcid') !== '' && !isContentId(value('parentcid'))) faults.push('its parentCID cannot be read');
    else if (isEsx && !text.text.includes('ddb.')) faults.push('its disk data base is missing');
  }
  out.links.set(rawName, { rawName, text: parsed, faults, lost: new Set() });
}

/** Whether the extents that a text names are there, and as large as it says. */
function checkExtents(link: Link, pieceOf: (name: string) => Piece | undefined, out: Survey): void {
  for (const line of link.text?.extents ?? []) {
    if (line.file === '' || line.file.includes('/')) continue;
    const piece = pieceOf(line.file);
    if (piece === undefined) {
      link.lost.add(line.file);
      if (link.lost.size <= NAMED) link.faults.push(`${line.file}, which it names, is not there`);
      continue;
    }
    out.claimed.add(piece.rawName);
    if (piece.file !== line.file) link.faults.push(`${line.file}, which it names, is called ${piece.file} now`);
    const wanted = (line.offset + line.sectors) * SECTOR;
    const extent = out.extents.get(piece.rawName);
    const size = piece.facts.size ?? 0;
    if (extent === undefined) continue;
    // A flat that is shorter was cut off itself: then it is the text that still knows the disk's size.
    if (extent.type === 'VMFS' && line.type === 'VMFS' && extent.sectors * SECTOR > wanted) {
      link.faults.push(`it says ${wanted} bytes, and ${line.file} has ${size}`);
    }
    const capacity = extent.type === 'VMFS' ? 0 : extent.sectors;
    if (capacity > 0 && capacity !== line.sectors) {
      link.faults.push(`it says ${line.sectors} sectors, and the header of ${line.file} ${capacity}`);
    }
  }
}

/**
 * The file that took another name: of all that no descriptor claims, those that have just the size of the lost extent.
 * One that has a delta's header stands in for a delta only.
 */
export async function renamed(sectors: number, isDelta: boolean, found: Survey): Promise<string[]> {
  const out: string[] = [];
  const free = [...found.extents.values()].map((e) => e.piece).concat([...found.others.values()]);
  for (const piece of free) {
    if (found.claimed.has(piece.rawName)) continue;
    const capacity = found.extents.get(piece.rawName)?.type === 'VMFS' ? 0 : await capacityOf(piece);
    if (isDelta ? capacity === sectors : capacity === 0 && piece.facts.size === sectors * SECTOR)
      out.push(piece.rawName);
  }
  return out;
}

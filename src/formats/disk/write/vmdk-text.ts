/** The descriptor of a VMDK that stands alone. Source: vmdk.md sections 2 and 10. */
import { geometryOf } from '../vmdk/compose.ts';

const SECTOR = 512;
/** What VMware makes of disks that are not said to be anything else, and every guest has a driver for. */
const ADAPTER = 'lsilogic';
/** Content ids that stand for something else: no parent, and a disk whose id was lost. */
const RESERVED_FROM = 0xfffffffe;

export interface DescriptorOptions {
  readonly createType: string;
  /** SPARSE or FLAT, as the extent line says it. */
  readonly keyword: string;
  /** File name of the extent, without directories. */
  readonly extent: string;
  /** Sectors of the disk. */
  readonly sectors: number;
  /** Units that the disk holds something in: the id follows from it, so that the same disk gives the same file. */
  readonly occupied: number;
}

/**
 * The text of a descriptor. Throws RangeError where the name cannot stand in one. The comment right above the extent
 * and the disk database behind it have to be there: some readers take the extent twice, or refuse the text, without.
 */
export function descriptorText(options: DescriptorOptions): Uint8Array {
  const { createType, keyword, extent, sectors, occupied } = options;
  if (/["\p{Cc}]/u.test(extent))
    throw new RangeError(`a VMDK cannot name a file with quotation marks or line breaks: ${JSON.stringify(extent)}`);
  const cid = contentId(sectors, occupied);
  const { cylinders, heads, sectors: perTrack } = geometryOf(sectors, ADAPTER);
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'encoding="UTF-8"',
    `CID=${cid}`,
    'parentCID=ffffffff',
    `createType="${createType}"`,
    '# Extent description',
    `RW ${sectors} ${keyword} "${extent}"${keyword === 'FLAT' ? ' 0' : ''}`,
    '# The Disk Data Base',
    '#DDB',
    `ddb.adapterType = "${ADAPTER}"`,
    `ddb.geometry.cylinders = "${cylinders}"`,
    `ddb.geometry.heads = "${heads}"`,
    `ddb.geometry.sectors = "${perTrack}"`,
    `ddb.longContentID = "${cid.padStart(32, '0')}"`,
    'ddb.virtualHWVersion = "4"',
    '',
  ];
  return new TextEncoder().encode(lines.join('\n'));
}

/** Sectors of a disk; the last one is filled up with zeros. */
export function sectorsOf(disk: { readonly size: number }): number {
  return Math.ceil(disk.size / SECTOR);
}

function contentId(sectors: number, occupied: number): string {
  const mixed = Math.imul(sectors % 2 ** 32, 0x85ebca6b) ^ Math.imul(occupied % 2 ** 32, 0xc2b2ae35) ^ 0x9e3779b9;
  const id = (mixed ^ (mixed >>> 15)) >>> 0;
  return (id >= RESERVED_FROM ? 0x9e3779b9 : id).toString(16).padStart(8, '0');
}

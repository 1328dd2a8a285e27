/** Volume descriptors: which trees of directories there are, and what boots. */
import type { Source } from '../../../core/source.ts';
import { latin1, type Values, viewOf } from '../../../core/struct.ts';
import { nameOf } from '../ntfs/structs.ts';
import {
  BLOCK_SIZE_AT,
  BLOCKS_AT,
  BOOT_RECORD,
  bootEntry,
  CATALOG_AT,
  EL_TORITO,
  FIRST_DESCRIPTOR,
  JOLIET,
  MARK,
  PRIMARY,
  ROOT_AT,
  SECTOR,
  SUPPLEMENTARY,
  TERMINATOR,
  volumeDescriptor,
} from './structs.ts';

/** Descriptors that are read before the last one is no longer waited for. */
const MAX_DESCRIPTORS = 64;
/** Entries of a boot catalog that are listed. */
const MAX_BOOT = 32;

export interface Descriptor {
  readonly at: number;
  readonly values: Values<typeof volumeDescriptor.fields>;
  readonly isJoliet: boolean;
  /** Both readings of its numbers agree. */
  readonly isSound: boolean;
  readonly label: string;
  /** The record of its root directory. */
  readonly rootAt: number;
}

export interface Descriptors {
  readonly primary: Descriptor | undefined;
  readonly joliet: Descriptor | undefined;
  readonly boot: readonly string[];
}

/** All descriptors that can be read. */
export async function descriptorsOf(source: Source): Promise<Descriptors> {
  let [primary, joliet]: [Descriptor | undefined, Descriptor | undefined] = [undefined, undefined];
  const boot: string[] = [];
  for (let n = 0; n < MAX_DESCRIPTORS; n++) {
    const at = (FIRST_DESCRIPTOR + n) * SECTOR;
    const block = new Uint8Array(SECTOR);
    if (at + SECTOR > source.size) break;
    const gaps = await source.read(at, block);
    if (gaps.length > 0 || latin1(block, 1, MARK.length) !== MARK) {
      // One that cannot be read may stand before others.
      if (n > 3) break;
      continue;
    }
    if (block[0] === TERMINATOR) break;
    if (block[0] === BOOT_RECORD) boot.push(...(await bootOf(source, block)));
    const found = descriptorAt(block, at);
    if (found === undefined) continue;
    if (block[0] === PRIMARY && (primary === undefined || (found.isSound && !primary.isSound))) primary = found;
    if (found.isJoliet) joliet ??= found;
  }
  return { primary, joliet, boot };
}

function descriptorAt(block: Uint8Array, at: number): Descriptor | undefined {
  const values = volumeDescriptor.decode(block);
  if (values.type !== PRIMARY && values.type !== SUPPLEMENTARY) return undefined;
  if (volumeDescriptor.violations(values).length > 0) return undefined;
  const view = viewOf(block);
  const isSound =
    view.getUint32(BLOCKS_AT + 4, false) === values.blocks &&
    view.getUint16(BLOCK_SIZE_AT + 2, false) === values.blockSize;
  const isJoliet = values.type === SUPPLEMENTARY && JOLIET.includes(latin1(values.escape, 0, 3));
  const label = isJoliet ? wideName(values.label) : latin1(values.label, 0, 32);
  return { at, values, isJoliet, isSound, label: label.replace(/[ \0]+$/, ''), rootAt: at + ROOT_AT };
}

/** UCS-2 with the upper byte first, as the raw bytes of UTF-8. */
export function wideName(raw: Uint8Array): string {
  const swapped = new Uint8Array(raw.length & ~1);
  for (let i = 0; i < swapped.length; i += 2) {
    swapped[i] = raw[i + 1];
    swapped[i + 1] = raw[i];
  }
  return nameOf(swapped, 0, swapped.length / 2);
}

const MEDIA: readonly string[] = [
  'no emulation',
  'floppy of 1.2 MB',
  'floppy of 1.44 MB',
  'floppy of 2.88 MB',
  'hard disk',
];
const PLATFORMS: Readonly<Record<number, string>> = { 0: 'BIOS', 1: 'PowerPC', 2: 'Mac', 239: 'EFI' };
const BOOTABLE = 0x88;
const HEADER = 0x90;
const LAST_HEADER = 0x91;
const VALIDATION = 1;
const ENTRY = bootEntry.size;

/** What a boot catalog lists, each as one line. */
async function bootOf(source: Source, block: Uint8Array): Promise<string[]> {
  const out: string[] = [];
  const start = viewOf(block).getUint32(CATALOG_AT, true) * SECTOR;
  const catalog = new Uint8Array(SECTOR);
  if (latin1(block, 7, EL_TORITO.length) !== EL_TORITO || start + SECTOR > source.size) return out;
  await source.read(start, catalog);
  if (catalog[0] !== VALIDATION) return out;
  let platform = catalog[1];
  for (let at = ENTRY; at < SECTOR && out.length < MAX_BOOT; at += ENTRY) {
    const entry = bootEntry.decode(catalog, at);
    if (entry.indicator === HEADER || entry.indicator === LAST_HEADER) platform = entry.media;
    else if (entry.indicator === BOOTABLE) {
      const name = PLATFORMS[platform] ?? `platform ${platform}`;
      const media = MEDIA[entry.media & 15] ?? `medium ${entry.media}`;
      out.push(`${name}, ${media}, block ${entry.start}, ${entry.sectors} sectors of 512 bytes`);
    } else if (entry.indicator === 0 && at > ENTRY) break;
  }
  return out;
}

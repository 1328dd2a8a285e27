/** How a disk is started: by what its first sector and its partitions are. Source: vmconfig.md section 5. */
import type { Node } from '../../core/node.ts';
import { viewOf } from '../../core/struct.ts';
import type { Stack } from '../stack.ts';

/** What speaks for a firmware on one disk. */
export interface Starts {
  readonly bios: string | undefined;
  readonly efi: string | undefined;
  /** Where the disk is. */
  readonly locator: string;
  readonly parts: readonly Node[];
  /** How Windows knows its partitions: "signature:offset" or the GUID, in lower case. */
  readonly marks: readonly string[];
}

const SECTOR = 512;
/** Bytes of code in the first sector, before what the partition table of any kind puts there. */
const CODE = 440;
const SIGNATURE_AT = 440;
const TABLE_AT = 446;
const ENTRY = 16;
const ACTIVE = 0x80;
const MAX_PARTITIONS = 256;

/** Looks at the first sector of a disk, and at the kinds of its partitions. */
export async function startsOf(stack: Stack, disk: Node): Promise<Starts> {
  const source = await disk.bytes?.();
  const at = disk.locator;
  const nothing: Starts = { bios: undefined, efi: undefined, locator: at, parts: [], marks: [] };
  if (source === undefined || source.size < SECTOR) return nothing;
  const block = new Uint8Array(SECTOR);
  const gaps = await source.read(0, block);
  const hasCode = gaps.length === 0 && block.subarray(0, CODE).some((byte) => byte !== 0) && block[510] === 0x55;
  const isActive = [0, 1, 2, 3].some((i) => block[TABLE_AT + i * ENTRY] === ACTIVE);
  const isGpt = [0, 1, 2, 3].some((i) => block[TABLE_AT + i * ENTRY + 4] === 0xee);
  const parts = await partitionsOf(stack, disk);
  const types = parts.map(({ facts }) => String(facts.details?.type ?? ''));
  const efi = types.find((type) => /EFI system/i.test(type));
  const boot = types.find((type) => /BIOS boot|FreeBSD boot/i.test(type));
  const loader = loaderOf(block);
  const bios = !hasCode
    ? undefined
    : isGpt
      ? boot === undefined
        ? undefined
        : `a partition for BIOS (${boot}) and ${loader} on ${at}`
      : isActive || loader !== 'code'
        ? `${loader} in the first sector of ${at}${isActive ? ', and an active partition' : ''}`
        : undefined;
  const signature = viewOf(block).getUint32(SIGNATURE_AT, true).toString(16);
  const marks = parts.flatMap(({ facts: { details } }) => {
    if (details?.unique !== undefined) return [String(details.unique).toLowerCase()];
    // A signature that could not be read is not the one of nothing but zeros.
    return gaps.length > 0 || details?.start === undefined ? [] : [`${signature}:${details.start}`];
  });
  return { bios, efi: efi === undefined ? undefined : `an EFI system partition on ${at}`, locator: at, parts, marks };
}

/** Whose code it is, by the words in it. */
function loaderOf(block: Uint8Array): string {
  const text = Buffer.from(block).toString('latin1', 0, CODE);
  if (text.includes('GRUB')) return 'GRUB';
  // That of SYSLINUX, too, says that a system is missing.
  if (/Operating system load error|Multiple active partitions|SYSLINUX/.test(text)) return 'SYSLINUX';
  return /Missing operating system|Invalid partition table|BOOTMGR/.test(text) ? 'a boot loader of Windows' : 'code';
}

async function partitionsOf(stack: Stack, disk: Node): Promise<Node[]> {
  const out: Node[] = [];
  const table = await stack.inside(disk);
  if (table?.children === undefined || table.kind !== 'volume') return out;
  for await (const part of stack.children(table)) {
    out.push(part);
    if (out.length >= MAX_PARTITIONS) break;
  }
  return out;
}

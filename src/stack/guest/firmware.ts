/** How a disk is started: by what its first sector and its partitions are. Source: vmconfig.md section 5. */
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';

/** What speaks for a firmware on one disk. */
export interface Starts {
  readonly bios: string | undefined;
  readonly efi: string | undefined;
}

const SECTOR = 512;
/** Bytes of code in the first sector, before what the partition table of any kind puts there. */
const CODE = 440;
const TABLE_AT = 446;
const ENTRY = 16;
const ACTIVE = 0x80;
const MAX_PARTITIONS = 256;

/** Looks at the first sector of a disk, and at the kinds of its partitions. */
export async function startsOf(stack: Stack, disk: Node): Promise<Starts> {
  const source = await disk.bytes?.();
  if (source === undefined || source.size < SECTOR) return { bios: undefined, efi: undefined };
  const block = new Uint8Array(SECTOR);
  const gaps = await source.read(0, block);
  const hasCode = gaps.length === 0 && block.subarray(0, CODE).some((byte) => byte !== 0) && block[510] === 0x55;
  const isActive = [0, 1, 2, 3].some((i) => block[TABLE_AT + i * ENTRY] === ACTIVE);
  const isGpt = [0, 1, 2, 3].some((i) => block[TABLE_AT + i * ENTRY + 4] === 0xee);
  const types = await typesOf(stack, disk);
  const efi = types.find((type) => /EFI system/i.test(type));
  const boot = types.find((type) => /BIOS boot/i.test(type));
  const at = disk.locator;
  const loader = loaderOf(block);
  const bios = !hasCode
    ? undefined
    : isGpt
      ? boot === undefined
        ? undefined
        : `a BIOS boot partition and ${loader} on ${at}`
      : isActive || loader !== 'code'
        ? `${loader} in the first sector of ${at}${isActive ? ', and an active partition' : ''}`
        : undefined;
  return { bios, efi: efi === undefined ? undefined : `an EFI system partition on ${at}` };
}

/** Whose code it is, by the words in it. */
function loaderOf(block: Uint8Array): string {
  const text = Buffer.from(block).toString('latin1', 0, CODE);
  if (text.includes('GRUB')) return 'GRUB';
  return /Missing operating system|Invalid partition table|BOOTMGR/.test(text) ? 'a boot loader of Windows' : 'code';
}

async function typesOf(stack: Stack, disk: Node): Promise<string[]> {
  const out: string[] = [];
  const table = await stack.inside(disk);
  if (table?.children === undefined || table.kind !== 'volume') return out;
  for await (const part of stack.children(table)) {
    out.push(String(part.facts.details?.type ?? ''));
    if (out.length >= MAX_PARTITIONS) break;
  }
  return out;
}

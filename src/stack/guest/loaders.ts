/** What firmware finds to start on an EFI partition. Source: vmconfig.md sections 5 and 7. */
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { namesAt, pathNode } from './files.ts';

/** What firmware starts that knows no entries yet. */
const FALLBACK = ['EFI/BOOT/BOOTX64.EFI', 'EFI/BOOT/BOOTAA64.EFI', 'EFI/BOOT/BOOTIA32.EFI'];
/** Loaders in folders of their own, below EFI/NAME. */
const OWN = [
  'shimx64.efi',
  'shimaa64.efi',
  'grubx64.efi',
  'Boot/bootmgfw.efi',
  'systemd-bootx64.efi',
  'refind_x64.efi',
];
/** Folders below EFI that are looked into. */
const MAX_VENDORS = 32;

/** The loaders on one EFI partition. */
export interface Loaders {
  readonly where: string;
  readonly fallback: boolean;
  /** Their paths, those of distributions and of Windows. */
  readonly own: readonly string[];
}

/** The loaders on a file system; undefined where it has no folder for them. */
export async function loadersOn(stack: Stack, root: Node): Promise<Loaders | undefined> {
  const vendors = await namesAt(stack, root, 'EFI', true);
  if (vendors.length === 0) return undefined;
  const own: string[] = [];
  for (const vendor of vendors.slice(0, MAX_VENDORS)) {
    if (vendor.toUpperCase() === 'BOOT') continue;
    for (const name of OWN) {
      const path = `EFI/${vendor}/${name}`;
      if ((await pathNode(stack, root, path, true)) !== undefined) own.push(path);
    }
  }
  let fallback = false;
  for (const path of FALLBACK) fallback ||= (await pathNode(stack, root, path, true)) !== undefined;
  return { where: root.locator, fallback, own };
}

/** What a person should know of them: the entries that the old firmware kept are not in the disks. */
export function loaderNotes(all: readonly Loaders[]): string[] {
  if (all.some(({ fallback }) => fallback)) return [];
  const [first] = all.flatMap(({ where, own }) => own.map((path) => ({ where, path })));
  if (first === undefined) return [];
  const shown = first.path.replaceAll('/', '\\');
  return [
    `${first.where} has no \\EFI\\BOOT\\BOOTX64.EFI, which firmware without entries of its own starts: where it stops in the EFI shell, choose \\${shown} there or in the firmware's menu (Boot Maintenance Manager, Boot From File), and add an entry for it`,
  ];
}

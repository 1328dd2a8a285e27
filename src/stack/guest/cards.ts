/** Network cards that a Linux wrote down by their addresses. Source: vmconfig.md section 5. */
import { inferred, MAX_CARDS, macOf, type Said } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { namesAt, textAt } from './files.ts';

/** Folders of network settings, which of their files count, and how an address stands in them. */
const PLACES: readonly (readonly [string, RegExp, RegExp])[] = [
  ['etc/udev/rules.d', /persistent-net\.rules$/, /ATTR\{address\}=="([0-9A-Fa-f:]{17})"/g],
  ['etc/sysconfig/network-scripts', /^ifcfg-/, /^[ \t]*HWADDR\s*=\s*"?([0-9A-Fa-f:]{17})/gm],
  ['etc/sysconfig/network', /^ifcfg-/, /^[ \t]*HWADDR\s*=\s*['"]?([0-9A-Fa-f:]{17})/gm],
  ['etc/netplan', /\.ya?ml$/, /^[ \t]*macaddress:\s*["']?([0-9A-Fa-f:]{17})/gm],
  ['etc/NetworkManager/system-connections', /./, /^[ \t]*mac-address\s*=\s*([0-9A-Fa-f:]{17})/gm],
  ['etc/systemd/network', /\.(network|link)$/, /^[ \t]*MACAddress\s*=\s*([0-9A-Fa-f:]{17})/gm],
];
const MAX_FILES = 64;

/** The addresses, each once, in the order in which they are met. Addresses that belong to no one card are left out. */
export async function macsOn(stack: Stack, root: Node): Promise<Said<string>[]> {
  const out = new Map<string, Said<string>>();
  for (const [folder, isMeant, pattern] of PLACES) {
    const names = (await namesAt(stack, root, folder)).filter((name) => isMeant.test(name));
    for (const name of names.sort().slice(0, MAX_FILES)) {
      const text = (await textAt(stack, root, `${folder}/${name}`)) ?? '';
      for (const [, found] of text.matchAll(pattern)) {
        const mac = macOf(found);
        // The lowest bit of the first byte is that of groups.
        if (mac === undefined || (Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0 || /^[0:]+$/.test(mac)) continue;
        if (out.size < MAX_CARDS && !out.has(mac)) out.set(mac, inferred(mac, `${folder}/${name} of ${root.locator}`));
      }
    }
  }
  return [...out.values()];
}

/** A Linux by its own files: which one it is, and what is written in its tables. Source: vmconfig.md section 5. */
import type { GuestFacts } from '../../core/guest.ts';
import { printable } from '../../core/locator.ts';
import { inferred, type Said } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { macsOn } from './cards.ts';
import { driversOf } from './drivers.ts';
import { pathNode, textAt } from './files.ts';

/** Lines of a table that are told. */
const MAX_NOTES = 4;

/** What a file system says of the Linux on it; undefined where it holds none. `homes`: all file systems of its machine. */
export async function linuxOn(stack: Stack, root: Node, homes: readonly Node[]): Promise<GuestFacts | undefined> {
  const release = (await textAt(stack, root, 'etc/os-release')) ?? (await textAt(stack, root, 'usr/lib/os-release'));
  const other = release === undefined ? await olderRelease(stack, root) : undefined;
  if (release === undefined && other === undefined) return undefined;
  const values = release === undefined ? new Map<string, string>() : valuesOf(release);
  const from = other?.from ?? `etc/os-release of ${root.locator}`;
  const say = (value: string | undefined): Said<string> | undefined =>
    value === undefined || value === '' ? undefined : inferred(value, from);
  const product = say(values.get('PRETTY_NAME') ?? values.get('NAME') ?? other?.text);
  const id = say(values.get('ID') ?? other?.id);
  const version = say(values.get('VERSION_ID'));
  const name = (await textAt(stack, root, 'etc/hostname'))?.trim().split('\n')[0];
  const is64 =
    (await pathNode(stack, root, 'lib64/ld-linux-x86-64.so.2')) ?? (await pathNode(stack, root, 'usr/lib64'));
  const arm = await pathNode(stack, root, 'lib/ld-linux-aarch64.so.1');
  const musl = await pathNode(stack, root, 'lib/ld-musl-x86_64.so.1');
  const { drivers, notes } = await driversOf(stack, root, homes);
  const macs = await macsOn(stack, root);
  const adjusted = await textAt(stack, root, 'etc/adjtime');
  const fstab = (await textAt(stack, root, 'etc/fstab')) ?? '';
  const plain = fstab.split('\n').flatMap((line) => /^\s*(\/dev\/[shxv]v?d[a-z]\d*)\s/.exec(line)?.[1] ?? []);
  return {
    family: inferred('linux', from),
    ...(product && { product }),
    ...(id && { id }),
    ...(version && { version }),
    ...(name && { hostname: inferred(name, `etc/hostname of ${root.locator}`) }),
    ...(arm !== undefined
      ? { architecture: inferred('aarch64', `ld-linux-aarch64.so.1 of ${root.locator}`) }
      : (is64 ?? musl) !== undefined && { architecture: inferred('x86_64', `its libraries on ${root.locator}`) }),
    ...(drivers && { drivers }),
    ...(macs.length > 0 && { macs }),
    ...(adjusted !== undefined && {
      localTime: inferred(/^LOCAL$/m.test(adjusted), `etc/adjtime of ${root.locator}`),
    }),
    notes: [
      ...notes,
      ...plain
        .slice(0, MAX_NOTES)
        .map(
          (device) =>
            `etc/fstab names ${printable(device)}: on virtio disks are called /dev/vda and so on; a UUID there works everywhere`,
        ),
    ],
  };
}

async function olderRelease(stack: Stack, root: Node): Promise<{ text: string; id: string; from: string } | undefined> {
  const kinds = [
    ['etc/redhat-release', 'rhel'],
    ['etc/SuSE-release', 'suse'],
    ['etc/alpine-release', 'alpine'],
    ['etc/debian_version', 'debian'],
  ] as const;
  for (const [file, id] of kinds) {
    const text = (await textAt(stack, root, file))?.trim().split('\n')[0];
    if (text === undefined || text === '') continue;
    const isCentos = /centos/i.test(text);
    const shown = id === 'debian' ? `Debian ${text}` : id === 'alpine' ? `Alpine Linux ${text}` : text;
    return { text: shown, id: isCentos ? 'centos' : id, from: `${file} of ${root.locator}` };
  }
  return undefined;
}

/** KEY="value" lines of os-release. */
function valuesOf(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]{1,40})=(.*)$/.exec(line.trim());
    if (match !== null) out.set(match[1], match[2].replace(/^(['"])(.*)\1$/, '$2').replace(/\\(.)/g, '$1'));
  }
  return out;
}

/** In which order disks were plugged in, as far as the guest itself wrote that down. Source: vmconfig.md section 5. */
import { inferred, type Said } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { textAt } from './files.ts';
import type { Starts } from './firmware.ts';

/** A disk of those that were given, and what says where it was. */
interface Known {
  readonly disk: number;
  readonly from: string;
}

/** Some of the disks in their order. */
export type Sequence = readonly Known[];

/** A file system, and the disk that it was met on. */
export interface Home {
  readonly disk: number;
  readonly root: Node;
}

/** Layers that are looked through for what a file system is put together from. */
const MAX_LAYERS = 32;

/**
 * The order of all disks. Names that the guest had for its devices say most, then what Windows noted, then places in
 * arrays; disks of which nothing says anything come last, as they were given.
 */
export function orderOf(sequences: readonly Sequence[], first: number | undefined, why: string): Said<number>[] {
  const out: Known[] = first === undefined ? [] : [{ disk: first, from: why }];
  for (const sequence of sequences) {
    let after = -1;
    for (const known of sequence) {
      const at = out.findIndex(({ disk }) => disk === known.disk);
      if (at >= 0) {
        after = Math.max(after, at);
        continue;
      }
      // Before what is known to come later, behind what is known to come earlier.
      const rest = sequence.slice(sequence.indexOf(known) + 1);
      const next = out.findIndex(({ disk }, i) => i > after && i > 0 && rest.some((one) => one.disk === disk));
      const place = sequence.indexOf(known) > 0 && after >= 0 ? after + 1 : next >= 0 ? next : out.length;
      out.splice(place, 0, known);
      after = place;
    }
  }
  return out.map(({ disk, from }) => inferred(disk, from));
}

/** The number that a name of a device counts up to: /dev/sda and /dev/vda1 are 0. */
export function numberOf(device: string): number | undefined {
  const letters = /^\/dev\/(?:sd|vd|xvd|hd)([a-z]{1,3})\d*$/.exec(device)?.[1];
  if (letters !== undefined) {
    let number = 0;
    for (const c of letters) number = number * 26 + c.charCodeAt(0) - 96;
    return number - 1;
  }
  const nvme = /^\/dev\/nvme(\d{1,3})n1(?:p\d+)?$/.exec(device)?.[1];
  return nvme === undefined ? undefined : Number(nvme);
}

/** Disks by the names that they had, in the order of these names; contradictions are left out. */
function byNames(named: readonly (Known & { readonly device: string })[]): Sequence {
  const numbers = new Map<number, { number: number; from: string }[]>();
  for (const { disk, device, from } of named) {
    const number = numberOf(device);
    if (number !== undefined) numbers.set(disk, [...(numbers.get(disk) ?? []), { number, from }]);
  }
  const sure = [...numbers].filter(([, all]) => new Set(all.map(({ number }) => number)).size === 1);
  const taken = new Map<number, number>();
  for (const [, [{ number }]] of sure) taken.set(number, (taken.get(number) ?? 0) + 1);
  return sure
    .filter(([, [{ number }]]) => taken.get(number) === 1)
    .sort(([, [a]], [, [b]]) => a.number - b.number)
    .map(([disk, [{ from }]]) => ({ disk, from }));
}

/** What the guest's table of file systems, and the texts of volume groups, say of names; and places in arrays. */
export async function linuxSequences(
  stack: Stack,
  starts: readonly Starts[],
  homes: readonly Home[],
  system: Node | undefined,
): Promise<Sequence[]> {
  const places = placesOf(starts);
  const named: (Known & { device: string })[] = [];
  const others: Sequence[] = [];
  const seen = new Set<string>();
  for (const { root } of homes) {
    let at: Node | undefined = root;
    for (let level = 0; at !== undefined && level < MAX_LAYERS; level++, at = stack.parentOf(at)) {
      if (at.members === undefined || seen.has(at.locator)) continue;
      seen.add(at.locator);
      const group: Known[] = [];
      for (const [i, { locator, device }] of at.members.entries()) {
        const disk = places.get(locator);
        if (disk === undefined) continue;
        if (device !== undefined) named.push({ disk, device, from: `it was ${device} by the text of ${at.locator}` });
        group.push({ disk, from: `it is member ${i} of those that are there of ${at.locator}` });
      }
      others.push(group);
    }
  }
  const table = system === undefined ? undefined : await textAt(stack, system, 'etc/fstab');
  if (table !== undefined) named.push(...fromTable(table, system!.locator, homes, places));
  return [byNames(named), ...others];
}

/** Disks by the locators of what is on them: themselves, and their partitions. */
function placesOf(starts: readonly Starts[]): Map<string, number> {
  const out = new Map<string, number>();
  for (const [disk, { locator, parts }] of starts.entries()) {
    out.set(locator, disk);
    for (const part of parts) out.set(part.locator, disk);
  }
  return out;
}

/** Installers note what a file system was on; older tables name devices themselves. */
function fromTable(
  text: string,
  where: string,
  homes: readonly Home[],
  places: ReadonlyMap<string, number>,
): (Known & { device: string })[] {
  const out: (Known & { device: string })[] = [];
  // Only what lies on one partition says something of one disk.
  const single = homes.filter(({ root }) => [...places.keys()].some((place) => root.locator.startsWith(`${place}::`)));
  const from = (device: string): string => `it was ${device} by etc/fstab of ${where}`;
  let noted: { point: string; device: string } | undefined;
  for (const line of text.split('\n')) {
    const note = /^#\s*(\/\S*)\s+was on\s+(\/dev\/\S+)\s+during/.exec(line);
    if (note !== null) {
      noted = { point: note[1], device: note[2] };
      continue;
    }
    const [what = '', point = ''] = line.trim().split(/\s+/);
    if (what === '' || what.startsWith('#')) continue;
    const id = /^(?:UUID=|\/dev\/disk\/by-uuid\/)"?([\w-]+)/.exec(what)?.[1];
    if (noted?.point === point && id !== undefined) {
      const found = single.filter(({ root }) => isCalled(root, id));
      if (found.length === 1) out.push({ disk: found[0].disk, device: noted.device, from: from(noted.device) });
    } else if (numberOf(what) !== undefined) {
      const found = single.filter(({ root }) => root.facts.details?.lastMounted === point);
      if (found.length === 1) out.push({ disk: found[0].disk, device: what, from: from(what) });
    }
    noted = undefined;
  }
  return out;
}

function isCalled({ facts: { details } }: Node, id: string): boolean {
  const plain = (value: string): string => value.replaceAll('-', '').toLowerCase();
  return [details?.uuid, details?.serial].some((own) => own !== undefined && plain(String(own)) === plain(id));
}

/** Where Windows had its letters: by the signature of a disk and a place on it, or by the GUID of a partition. */
export function windowsSequence(
  letters: ReadonlyMap<string, string>,
  starts: readonly Starts[],
  where: string,
): Sequence {
  const out: Known[] = [];
  for (const [letter, place] of [...letters].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const found = starts.flatMap(({ marks }, disk) => (marks.includes(place) ? [disk] : []));
    // Copies of a disk have the same marks: then nothing is known.
    if (found.length !== 1 || out.some(({ disk }) => disk === found[0])) continue;
    out.push({ disk: found[0], from: `drive ${letter}: is on it by MountedDevices in the registry on ${where}` });
  }
  return out;
}

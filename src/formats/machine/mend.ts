/** Makes a .vmx anew from its backup, the logs and the disks that are there. Source: vmconfig.md sections 1 and 5. */
import type { Folder, Mended, Mender } from '../../core/mend.ts';
import { GUESSED, INFERRED } from '../../core/run.ts';
import { numbered } from '../disk/vmdk/chains.ts';
import { survey } from '../disk/vmdk/survey.ts';
import { quotable } from '../untangle.ts';
import { assumed, type Configured, composed, setBoard } from './compose.ts';
import {
  type Configuration,
  configurationsOf,
  type MachineTexts,
  machineTexts,
  type Settings,
  TRACES,
} from './sources.ts';

export const mender: Mender = {
  pieces: TRACES,
  async mend(folder) {
    const configurations = await configurationsOf(folder);
    const isSound = configurations.length > 0 && configurations.every(({ faults }) => faults.length === 0);
    if (isSound && folder.mended.length === 0 && !configurations.some((one) => namesLost(one, folder))) return [];
    const hasTraces = [...folder.pieces.keys()].some((name) => TRACES.test(name));
    if (!hasTraces && folder.mended.length === 0) return [];
    const disks = await disksOf(folder);
    const texts = await machineTexts(folder);
    const made = configurations.map((configuration) => mendOne(folder, configuration, disks, texts));
    if (configurations.length === 0) made.push(mendOne(folder, undefined, disks, texts));
    return made.filter((one) => one !== undefined);
  },
};

/** Whether a configuration names a disk of its own folder that is not there. */
function namesLost({ values }: Configuration, folder: Folder): boolean {
  return [...values].some(
    ([key, file]) => FILE_KEY.test(key) && /^[^/]+\.vmdk$/i.test(file) && !folder.pieces.has(file),
  );
}

/** Settings for one of several machines in a folder: only what carries its name. */
function belongs(source: Settings, own: Configuration | undefined, texts: MachineTexts): boolean {
  if (own === undefined || texts.configurations.length === 1) return true;
  return source.rawName.startsWith(own.rawName.replace(/\.[^.]*$/, ''));
}

const UNLISTED =
  'No list of snapshots (.vmsd) is left: the machine runs on its newest disks, and the host does not show the snapshots.';

interface Disks {
  /** Names of descriptors that can be used. */
  readonly all: ReadonlySet<string>;
  /** Descriptors by the name of the one below. */
  readonly above: ReadonlyMap<string, readonly string[]>;
  /** Those that no other lies on, in the order of their names. */
  readonly tops: readonly string[];
  /** Replaced descriptors, and what takes their place. */
  readonly replaced: ReadonlyMap<string, string>;
  /** The hardware version that a descriptor names. */
  readonly hardware?: string;
}

/** A .nvram of a BIOS machine has this many bytes; one with EFI variables many times as much. */
const LEAST_EFI_NVRAM = 32 * 1024;
const FILE_KEY = /^((?:scsi|sata|nvme|ide)\d+:\d+)\.filename$/;
/** Target 7 of a controller is the controller itself. */
const SLOTS = Array.from({ length: 16 }, (_, i) => i).filter((i) => i !== 7);
/** Settings of one run or one host, which would be wrong now. */
const PASSING =
  /^(migrate\.|sched\.swap\.derivedname|cleanshutdown|checkpoint\.|vmotion\.|.*\.ctkenabled$|ctkenabled$)/;

async function disksOf(folder: Folder): Promise<Disks> {
  const { links } = await survey(folder);
  const replaced = new Map(
    folder.mended.flatMap(({ rawName, replaces }) => (replaces === undefined ? [] : [[replaces, rawName]])),
  );
  const all = new Set<string>();
  const above = new Map<string, string[]>();
  let hardware: string | undefined;
  for (const { rawName, text, faults } of links.values()) {
    if (faults.length > 0 || replaced.has(rawName) || text === undefined) continue;
    all.add(rawName);
    hardware ??= text.values.get('ddb.virtualhwversion');
    const parent = text.values.get('parentfilenamehint')?.split('/').pop();
    const isDelta = parent !== undefined && text.values.get('parentcid')?.toLowerCase() !== 'ffffffff';
    if (isDelta) above.set(parent, [...(above.get(parent) ?? []), rawName]);
  }
  const tops = [...all].filter((name) => !above.has(name)).sort();
  return { all, above, tops, replaced, ...(hardware !== undefined && { hardware }) };
}

function mendOne(
  folder: Folder,
  own: Configuration | undefined,
  disks: Disks,
  texts: MachineTexts,
): Mended | undefined {
  const isSound = own !== undefined && own.faults.length === 0;
  const notes: string[] = [];
  const sources: Settings[] = own === undefined ? [] : [own];
  if (!isSound) sources.push(...texts.settings.filter((source) => belongs(source, own, texts)));
  const out: Configured = new Map();
  for (const { values, what } of sources) {
    for (const [key, value] of values) {
      if (!out.has(key) && (isSound || !PASSING.test(key))) out.set(key, { value, from: what, certainty: INFERRED });
    }
    // What is whole says all that there was to say.
    if (sources.find(({ values: v }) => v === values)?.whole) break;
  }
  const used = new Set([...out.values()].map(({ from }) => from));
  const changed = placeDisks(out, disks, isSound, notes);
  if (isSound && !changed) return undefined;
  if (disks.above.size > 0 && texts.snapshots.length === 0) notes.push(UNLISTED);
  const isWhole = sources.some(({ whole, what }) => whole && used.has(what));
  if (![...out.keys()].some((key) => FILE_KEY.test(key))) attach(out, disks, texts, notes);
  if (!isSound) fill(out, folder, disks, texts, isWhole);
  const wanted = own?.rawName ?? nameOf(folder, texts, out, disks);
  if (!quotable(wanted)) return undefined;
  const rawName = folder.free(wanted);
  // Names alone are no machine: something has to say what it was, or be its disk.
  if (used.size === 0 && ![...out.keys()].some((key) => FILE_KEY.test(key))) return undefined;
  const files = [...out].filter(([key]) => FILE_KEY.test(key)).map(([, { value }]) => value);
  const from = sources.filter(({ what }) => used.has(what)).map((source) => source.rawName);
  const why = isSound ? 'it names disks whose descriptors were made anew' : own?.faults.join('; ');
  return {
    rawName,
    ...(own !== undefined && { replaces: folder.pieces.get(own.rawName)?.file ?? own.rawName }),
    lacks:
      own === undefined
        ? `${wanted} is missing`
        : `${folder.pieces.get(own.rawName)?.file ?? own.rawName} cannot be used: ${why}`,
    lines: composed(out),
    notes,
    uses: [...new Set([...files.filter((file) => disks.all.has(file)), ...from])].map(
      (name) => folder.pieces.get(name)?.file ?? name,
    ),
  };
}

/** Lets the settings name the disks as they are called now, and the newest of each chain. Whether anything changed. */
function placeDisks(out: Configured, disks: Disks, isSound: boolean, notes: string[]): boolean {
  let changed = false;
  for (const [key, setting] of out) {
    const slot = FILE_KEY.exec(key)?.[1];
    if (slot === undefined || !/\.vmdk$/i.test(setting.value)) continue;
    const base = setting.value.split('/').pop()!;
    // Encryptors put a 1 in front of the ending in configurations, so that the machine cannot be started meanwhile.
    const original = base.replace(/1\.vmdk$/i, '.vmdk');
    const named = !disks.all.has(base) && !disks.replaced.has(base) && knows(disks, original) ? original : base;
    const there = disks.replaced.get(named) ?? named;
    if (!disks.all.has(there)) {
      if (!isSound) notes.push(`${slot} names ${setting.value}, which is not here.`);
      continue;
    }
    // A sound configuration says itself which snapshot is in use; what is older than it may name one below.
    const tops = isSound ? [there] : topsAbove(there, disks);
    if (tops.length > 1) notes.push(`${slot} may be any of ${tops.join(', ')}; ${tops.at(-1)} was taken.`);
    const file = tops.at(-1)!;
    if (file === setting.value) continue;
    changed = true;
    const certainty = tops.length > 1 ? GUESSED : INFERRED;
    out.set(key, { value: file, from: `the disks that are here (${setting.from} says ${setting.value})`, certainty });
  }
  return changed;
}

function knows({ all, replaced }: Disks, rawName: string): boolean {
  return all.has(rawName) || replaced.has(rawName);
}

/** The disks that no other lies on, from one of the same chain upwards. */
function topsAbove(from: string, disks: Disks): string[] {
  const seen = new Set<string>();
  const waiting = [from];
  const tops: string[] = [];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const next = disks.above.get(name) ?? [];
    if (next.length === 0) tops.push(name);
    waiting.push(...next);
  }
  return tops.length === 0 ? [from] : tops.sort();
}

/** Plugs all disks in, where nothing says how they were. */
function attach(out: Configured, disks: Disks, texts: MachineTexts, notes: string[]): void {
  const taken = new Set<string>();
  for (const file of disks.tops) {
    const { stem } = numbered(file);
    const known = texts.snapshots
      .flatMap((snapshot) => [...snapshot.disks])
      .find(([slot, name]) => numbered(name).stem === stem && /^(scsi|sata|nvme|ide)\d+:\d+$/.test(slot))?.[0];
    const slot =
      known !== undefined && !taken.has(known) ? known : SLOTS.map((i) => `scsi0:${i}`).find((s) => !taken.has(s));
    if (slot === undefined) {
      notes.push(`There is no slot left for ${file}; add it by hand.`);
      continue;
    }
    taken.add(slot);
    const isKnown = slot === known;
    const from = isKnown
      ? `${texts.snapshotsIn} and the disks that are here`
      : 'the disks that are here, in the order of their names';
    const certainty = isKnown ? INFERRED : GUESSED;
    const controller = slot.split(':')[0];
    if (!out.has(`${controller}.present`)) out.set(`${controller}.present`, assumed('TRUE'));
    if (controller.startsWith('scsi') && !out.has(`${controller}.virtualdev`))
      out.set(`${controller}.virtualdev`, assumed('lsilogic'));
    out.set(`${slot}.filename`, { value: file, from, certainty });
    out.set(`${slot}.present`, { value: 'TRUE', from, certainty });
    if (controller.startsWith('scsi')) out.set(`${slot}.devicetype`, { value: 'scsi-hardDisk', from, certainty });
  }
}

/** What a machine cannot start without; the rest only where no source was whole. */
function fill(out: Configured, folder: Folder, disks: Disks, texts: MachineTexts, isWhole: boolean): void {
  const set = (key: string, value: string): void => {
    if (!out.has(key)) out.set(key, assumed(value));
  };
  const nvram = [...folder.pieces].find(([name]) => /\.nvram$/i.test(name));
  set('config.version', '8');
  if (!out.has('virtualhw.version') && /^\d{1,3}$/.test(disks.hardware ?? '') && Number(disks.hardware) >= 7) {
    out.set('virtualhw.version', { value: disks.hardware!, from: 'the descriptors of its disks', certainty: INFERRED });
  }
  set('virtualhw.version', '8');
  set('displayname', stemOf(folder, texts, disks));
  set('guestos', 'other-64');
  set('memsize', '4096');
  if (isWhole) return;
  set('numvcpus', '2');
  if (nvram !== undefined) {
    const [name, { facts }] = nvram;
    if (!out.has('nvram')) out.set('nvram', { value: name, from: `${name} being there`, certainty: INFERRED });
    if (!out.has('firmware') && (facts.size ?? 0) >= LEAST_EFI_NVRAM) {
      out.set('firmware', { value: 'efi', from: `the size of ${name}`, certainty: INFERRED });
    }
  }
  setBoard(set);
  if ([...out.keys()].some((key) => key.startsWith('ethernet'))) return;
  set('ethernet0.present', 'TRUE');
  set('ethernet0.virtualdev', 'e1000');
  set('ethernet0.networkname', 'VM Network');
  set('ethernet0.addresstype', 'generated');
}

function nameOf(folder: Folder, texts: MachineTexts, out: Configured, disks: Disks): string {
  const nvram = out.get('nvram');
  if (nvram?.certainty === INFERRED && /^[^/]+\.nvram$/i.test(nvram.value))
    return nvram.value.replace(/\.nvram$/i, '.vmx');
  return texts.named ?? `${stemOf(folder, texts, disks)}.vmx`;
}

/** What the machine's files are called: by what is left of them, in the order of how surely they carry its name. */
function stemOf(folder: Folder, texts: MachineTexts, disks: Disks): string {
  const endings = [
    /\.(?:vmx|vmtx)~$/i,
    /\.(?:vmx|vmtx)\.lck$/i,
    /\.(?:vmx|vmtx)$/i,
    /\.vmxf$/i,
    /\.vmsd$/i,
    /\.nvram$/i,
  ];
  for (const ending of endings) {
    const name = [...folder.pieces.keys()].find((one) => ending.test(one));
    if (name !== undefined) return name.replace(ending, '');
  }
  const shown = texts.settings.find(({ values }) => values.has('displayname'))?.values.get('displayname');
  const base = disks.tops.map((top) => numbered(top).stem).sort((a, b) => a.length - b.length)[0];
  return base?.replace(/\.regenerated$/, '') ?? shown ?? (folder.rawName || 'machine');
}

/** What a machine will be on another platform, before anything is written: disks, configuration, and what to do then. */
import * as path from 'node:path';
import type { GuestFacts, StorageKind } from '../core/guest.ts';
import { fileName } from '../core/locator.ts';
import type { InPlace, MachineWriter, TargetMachine, WrittenText } from '../core/machine-writer.ts';
import { decide, numberIn, type SourceDisk, virtioSteps } from '../formats/index.ts';
import type { Bootable, BootableDisk } from '../stack/bootable.ts';
import { ExportError } from './error.ts';

/** A machine of which only disks are left gets this name where they have none. */
const NAMELESS = 'machine';
/** Characters of a name that go into names of files. */
const MAX_STEM = 100;

/** What a disk is called that is nothing but its bytes; others are called by their format. */
const PLAIN = 'raw';

export interface MachinePlan {
  readonly machine: Bootable;
  readonly guest: GuestFacts;
  readonly writer: MachineWriter;
  /** In the order in which they are plugged in. */
  readonly disks: readonly BootableDisk[];
  readonly target: TargetMachine;
  readonly texts: readonly WrittenText[];
  readonly steps: readonly string[];
  /** How to move to faster devices later; empty where there is nothing to do. */
  readonly later: readonly string[];
}

/**
 * Plans a machine for a platform. `folder` is where its files will lie; `uuids` what the written disks say of
 * themselves, where that is known; `asked` what a person wants the disks on. Throws ExportError where the platform cannot have it.
 */
export function planMachine(
  machine: Bootable,
  guest: GuestFacts,
  writer: MachineWriter,
  folder: string,
  uuids: readonly (string | undefined)[] = [],
  asked?: StorageKind,
): MachinePlan {
  if (machine.disks.length === 0) {
    const said = [...(machine.doubts ?? []).slice(0, 1), ...machine.lost];
    const why = said.length > 0 ? `: ${said.join('; ')}` : '';
    throw new ExportError(
      'nothing',
      `"${machine.name}" has no disk that could be read${why}. Give its disks as sources, too.`,
    );
  }
  const disks = ordered(machine.disks, guest);
  const name = machine.name === '' ? NAMELESS : machine.name;
  const stem = stemOf(name);
  const number = numberIn(namesOf(machine));
  const names = writer.names(stem, disks.length, number);
  const sources = disks.map(
    ({ said, source, node }, i): SourceDisk => ({
      said,
      ...reasonFor(machine, guest, node),
      size: source.size,
      file: names[i],
      ...(uuids[i] !== undefined && { uuid: uuids[i] }),
    }),
  );
  let target: TargetMachine;
  try {
    const inPlace = inPlaceOf(disks);
    target = {
      ...decide(writer.platform, machine.model, guest, sources, { name, stem }, asked),
      ...(inPlace !== undefined && { inPlace }),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const other = asked === undefined ? 'another platform with --target' : 'another bus with --bus';
    throw new ExportError('out', `${error.message}. Choose ${other}.`, { cause: error });
  }
  return {
    machine,
    guest,
    writer,
    disks,
    target,
    texts: writer.write(target, folder, number),
    steps: writer.steps(target, folder, number),
    later: virtioSteps(writer.platform, target, guest),
  };
}

/** The original files and the states they keep; undefined where one of them cannot be used as it lies, or none has any. */
function inPlaceOf(disks: readonly BootableDisk[]): InPlace | undefined {
  const files: InPlace['files'][number][] = [];
  const states = new Map<string, { time: number | undefined; running: boolean; disks: boolean[] }>();
  for (const [i, { node, said }] of disks.entries()) {
    const kept = (node.snapshots ?? []).filter(({ state }) => state === 'live');
    const file = node.kind === 'evidence' ? node : node.parent;
    if (file?.kind !== 'evidence' || (node.kind !== 'evidence' && kept.length === 0)) return undefined;
    // What a configuration says lies in front of it is not the machine's newest state.
    if (said !== undefined && node.backing !== undefined) return undefined;
    files.push({ path: path.resolve(file.locator), format: node.kind === 'evidence' ? PLAIN : node.rawName });
    for (const { rawName, facts } of kept) {
      const name = Buffer.from(rawName, 'latin1').toString('utf8');
      const known = states.get(name) ?? { time: facts.modified, running: false, disks: disks.map(() => false) };
      known.disks[i] = true;
      known.running ||= facts.details?.stateSize !== undefined;
      states.set(name, known);
    }
  }
  const list = [...states].map(([name, state]) => ({ name, ...state }));
  list.sort((a, b) => (a.time ?? 0) - (b.time ?? 0));
  return list.length === 0 ? undefined : { files, states: list };
}

/** What the guest itself wrote down of a disk's place. */
function reasonFor({ disks }: Bootable, { order = [] }: GuestFacts, node: BootableDisk['node']): { why?: string } {
  const own = order.find(({ value }) => disks[value]?.node === node);
  return own === undefined ? {} : { why: own.from };
}

/** The disk that the guest starts from comes first. */
function ordered(disks: readonly BootableDisk[], { bootDisk, order }: GuestFacts): readonly BootableDisk[] {
  // What the guest wrote down counts where no configuration says where disks were plugged in.
  const known = disks.some(({ said }) => said !== undefined) ? [] : (order ?? []).map(({ value }) => value);
  if (known.length > 0) {
    const rest = disks.map((_, i) => i).filter((i) => !known.includes(i));
    return [...known, ...rest].flatMap((i) => disks[i] ?? []);
  }
  const first = bootDisk?.value ?? 0;
  if (first <= 0 || first >= disks.length) return disks;
  return [disks[first], ...disks.slice(0, first), ...disks.slice(first + 1)];
}

/** A name that every file system and shell takes. */
function stemOf(name: string): string {
  const safe = fileName(Buffer.from(name, 'utf8').toString('latin1'))
    .replace(/[^\p{L}\p{N} ._@+-]/gu, '_')
    .replace(/^[-. ]+|[. ]+$/g, '');
  let stem = '';
  for (const letter of safe) {
    if (Buffer.byteLength(stem + letter) > MAX_STEM) break;
    stem += letter;
  }
  return stem === '' ? NAMELESS : stem;
}

/** What the files of a machine are called. */
function namesOf({ config, disks }: Bootable): string[] {
  return [config?.rawName ?? '', ...disks.map(({ said, node }) => said?.file ?? node.rawName)];
}

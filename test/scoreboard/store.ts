/** The stores that are damaged: machines whose disks hold real file systems, some thick, some thin and interleaved. */
import { exactly } from '../make/content.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import type { EntrySpec, MemberSpec, Range } from '../make/vmfs.ts';
import { type GuestKind, type GuestSpec, guestImage } from './guests.ts';

export type Version = 3 | 5 | 6;
/** Machines of a store: 2 for tests, 5 and 20 for the scoreboard. */
export type Size = 2 | 5 | 20;
export type Provision = 'thick' | 'lazy' | 'thin';

export const SEED = 20261122;
const MIB = 0x100000;
const ROLES = ['web', 'db', 'mail', 'files', 'dc'];

export interface MachinePlan {
  readonly name: string;
  readonly guest: GuestSpec;
  readonly provision: Provision;
  /** Whether its disk is mapped through pointer blocks. */
  readonly indirect: boolean;
}

interface Template {
  readonly kind: GuestKind;
  readonly mib: number;
  readonly fill: number;
  readonly provision: Provision;
  readonly indirect: boolean;
}

const LARGE: readonly Template[] = [
  { kind: 'ext4', mib: 32, fill: 0.7, provision: 'thick', indirect: false },
  { kind: 'ntfs', mib: 24, fill: 0.6, provision: 'thin', indirect: false },
  { kind: 'xfs', mib: 40, fill: 0.5, provision: 'lazy', indirect: true },
  { kind: 'ext4', mib: 28, fill: 0.6, provision: 'thin', indirect: true },
  { kind: 'ntfs', mib: 36, fill: 0.8, provision: 'thick', indirect: true },
];
const SMALL: readonly Template[] = [
  { kind: 'ntfs', mib: 12, fill: 0.6, provision: 'thick', indirect: false },
  { kind: 'ext4', mib: 16, fill: 0.6, provision: 'thin', indirect: true },
  { kind: 'ntfs', mib: 10, fill: 0.6, provision: 'thin', indirect: false },
  { kind: 'ext4', mib: 14, fill: 0.6, provision: 'thick', indirect: true },
  { kind: 'ntfs', mib: 8, fill: 0.5, provision: 'lazy', indirect: false },
];
/** Programs that every Debian has, so that tests run anywhere. */
const TINY: readonly Template[] = [
  { kind: 'ext4', mib: 10, fill: 0.6, provision: 'thin', indirect: false },
  { kind: 'ext4', mib: 12, fill: 0.6, provision: 'thick', indirect: true },
];

/** The machines of a store, in order. */
export function plans(size: Size): MachinePlan[] {
  const templates = size === 2 ? TINY : size === 5 ? LARGE : SMALL;
  return Array.from({ length: size }, (_, i): MachinePlan => {
    const { kind, mib, fill, provision, indirect } = templates[i % templates.length];
    const name = `${ROLES[i % ROLES.length]}${String(i + 1).padStart(2, '0')}`;
    return { name, guest: { kind, mib, fill, seed: SEED + 100 * size + i }, provision, indirect };
  });
}

/** Which stretches of a disk hold data: thin and lazily zeroed disks have none where a whole block is zeros. */
function rangesOf(disk: Buffer, provision: Provision): Range[] {
  if (provision === 'thick') return [{ offset: 0, length: disk.length, kind: 'data' }];
  const empty = provision === 'thin' ? 'hole' : 'tbz';
  const zeros = Buffer.alloc(MIB);
  const out: Range[] = [];
  for (let offset = 0; offset < disk.length; offset += MIB) {
    const kind = disk.subarray(offset, offset + MIB).equals(zeros) ? empty : 'data';
    const last = out.at(-1);
    if (last?.kind === kind) last.length += MIB;
    else out.push({ offset, length: MIB, kind });
  }
  return out;
}

function entriesOf(plan: MachinePlan, place: number, snapshots: number): EntrySpec[] {
  const disk = guestImage(plan.guest);
  const thin = plan.provision === 'thin';
  const list = machineEntries({
    name: plan.name,
    seed: plan.guest.seed,
    disks: [{ bytes: disk.length, thin }],
    snapshots,
    ...(plan.indirect && { force: 'indirect' as const }),
  });
  return list.map((entry) => {
    if (!entry.path.endsWith('-flat.vmdk')) return entry;
    const flat = { ...entry, content: exactly(disk), ranges: rangesOf(disk, plan.provision) };
    return thin ? flat : { ...flat, place }; // thin disks grow in turns, thick ones lie in one piece
  });
}

export interface StoreOptions {
  readonly members?: readonly MemberSpec[];
  /** Machines at the end that are not made. */
  readonly without?: number;
  readonly snapshots?: number;
  /** Another look at what is made. */
  readonly edit?: (entries: EntrySpec[]) => EntrySpec[];
  readonly seed?: number;
  readonly label?: string;
}

/** A datastore of a version with so many machines. */
export function store(version: Version, size: Size, options: StoreOptions = {}): Made {
  const all = plans(size);
  const made = all.slice(0, all.length - (options.without ?? 0));
  const entries = made.flatMap((plan, i) => entriesOf(plan, 0.3 + (0.65 * i) / size, options.snapshots ?? 0));
  return makeStore(version, {
    name: `store${version}-${size}`,
    seed: options.seed ?? SEED + version,
    label: options.label ?? `store${version}`,
    members: options.members ?? [{ pes: 4, wrap: version === 3 ? 'mbr' : 'gpt' }],
    entries: options.edit?.(entries) ?? entries,
    allocation: 'interleaved',
  });
}

/** Sound stores whose machines do not fit together any more. */
import type { EntrySpec } from '../../make/vmfs.ts';
import { laid, type Rebuilt } from '../case.ts';
import type { Damage, Group } from '../cell.ts';
import { plans, type Size, store, type Version } from '../store.ts';

type Edit = (entry: EntrySpec, name: string) => EntrySpec | undefined;

interface Fault {
  readonly id: string;
  readonly edit: Edit;
  readonly rebuilt?: (name: string) => Rebuilt[];
  readonly snapshots?: number;
}

const isDescriptor = (path: string): boolean => /(?<!-flat|-delta)\.vmdk$/.test(path);
const descriptor = (name: string, extent = `${name}-flat.vmdk`): Rebuilt => ({
  path: `/${name}/${name}.vmdk`,
  needs: extent,
});
const config = (name: string): Rebuilt => ({ path: `/${name}/${name}.vmx`, needs: `${name}.vmdk` });
const without =
  (lost: (path: string) => boolean): Edit =>
  (entry) =>
    lost(entry.path) ? undefined : entry;

function renamed(entry: EntrySpec, from: string, to: string): EntrySpec {
  return entry.path.endsWith(from) ? { ...entry, path: entry.path.slice(0, -from.length) + to } : entry;
}

function otherCid(entry: EntrySpec, name: string): EntrySpec {
  if (entry.path !== `/${name}/${name}.vmdk` || typeof entry.content !== 'string') return entry;
  return { ...entry, content: entry.content.replace(/^CID=.*$/m, 'CID=0badc1d0') };
}

const FAULTS: readonly Fault[] = [
  { id: 'lost-descriptor', edit: without(isDescriptor), rebuilt: (name) => [descriptor(name)] },
  { id: 'lost-vmx', edit: without((path) => path.endsWith('.vmx')), rebuilt: (name) => [config(name)] },
  { id: 'wrong-cid', edit: otherCid, snapshots: 1 },
  {
    id: 'renamed-extent',
    edit: (entry, name) => renamed(entry, `/${name}-flat.vmdk`, `/${name}-old-flat.vmdk`),
    rebuilt: (name) => [descriptor(name, `${name}-old-flat.vmdk`)],
  },
  { id: 'only-vmx-backup', edit: (entry) => renamed(entry, '.vmx', '.vmx~'), rebuilt: (name) => [config(name)] },
  {
    id: 'only-logs',
    edit: (entry) => (entry.kind === 'directory' || /(-flat\.vmdk|vmware\.log)$/.test(entry.path) ? entry : undefined),
    rebuilt: (name) => [descriptor(name), config(name)],
  },
];

function damage(fault: Fault): Damage {
  return {
    id: fault.id,
    bar: { bytes: 1, names: 1 },
    async make(version: Version, size: Size, dir: string, seed: number) {
      const names = plans(size).map((plan) => plan.name);
      const edit = (entries: EntrySpec[]): EntrySpec[] =>
        entries.flatMap((entry) => fault.edit(entry, entry.path.split('/')[1]) ?? []);
      const made = store(version, size, { edit, snapshots: fault.snapshots ?? 0 });
      const one = await laid(made, dir, seed);
      one.rebuilt = names.flatMap((name) => fault.rebuilt?.(name) ?? []);
      one.chain = 1 + (fault.snapshots ?? 0);
      return one;
    },
  };
}

export const broken: Group = {
  id: '9',
  title: 'Broken machines on a sound store',
  damages: FAULTS.map(damage),
};

/** Which table describes the structures that the makers name. */
import type { Struct } from '../../src/core/struct.ts';
import * as vmfs from '../../src/formats/filesystem/vmfs/structs.ts';
import * as gpt from '../../src/formats/volume/gpt.ts';
import * as mbr from '../../src/formats/volume/mbr.ts';
import * as lvm from '../../src/formats/volume/vmfs-lvm/structs.ts';
import type { Made } from '../make/types.ts';
import type { Target } from './mutate.ts';

// biome-ignore lint/suspicious/noExplicitAny: any table will do
type AnyStruct = Struct<any>;

/** All structures of a made store; descriptors twice, for their lock and for their metadata. */
export function targetsOf(made: Made): { name: string; target: Target }[] {
  const lockBytes = made.truth.version === 6 ? 4096 : 512;
  const out: { name: string; target: Target }[] = [];
  let beats = 0;
  for (const { name, member, at, length } of made.truth.structures) {
    if (name.startsWith('heartbeat') && beats++ > 2) continue; // two thousand alike
    const add = (from: number, bytes: number, table?: AnyStruct): void => {
      out.push({ name, target: { member, at: at + from, length: bytes, ...(table !== undefined && { table }) } });
    };
    if (name.startsWith('fd/')) {
      add(0, 512, vmfs.lock);
      add(lockBytes, 512, vmfs.fdMetadata);
      add(made.truth.version === 6 ? 0x1600 : 0x400, made.truth.version === 6 ? 2560 : 1024);
    } else if (name.includes('.cluster')) {
      add(0, 512, vmfs.lock);
      add(lockBytes, 512, made.truth.version === 6 ? undefined : vmfs.clusterMetadata);
    } else
      add(0, length, TABLES[name.replace(/\/.*/, '')] ?? (name.endsWith('.header') ? vmfs.resourceHeader : undefined));
  }
  return out;
}

const TABLES: Readonly<Record<string, AnyStruct>> = {
  mbr: mbr.bootRecord,
  'gpt.primary': gpt.header,
  'gpt.backup': gpt.header,
  'lvm.header': lvm.deviceHeader,
  'lvm.descriptor': lvm.volumeDescriptor,
  'lvm.petable': lvm.peEntry,
  fsd: vmfs.fsHeader,
  heartbeat: vmfs.heartbeat,
};

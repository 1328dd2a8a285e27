/** What is known of the system inside a machine's disks, each with what said it. */
import type { Family, Said } from './machine.ts';

/** What a driver drives: the controllers that disks hang on. */
export const STORAGE_KINDS = [
  'ide',
  'sata',
  'nvme',
  'virtio',
  'virtio-scsi',
  'pvscsi',
  'lsisas',
  'lsilogic',
  'buslogic',
] as const;
export type StorageKind = (typeof STORAGE_KINDS)[number];

export interface GuestFacts {
  readonly family?: Said<Family>;
  /** As people call it: "Debian GNU/Linux 12 (bookworm)". */
  readonly product?: Said<string>;
  /** Which one it is, in lower case: "debian", "rhel", "windows". */
  readonly id?: Said<string>;
  /** "12", "9.3"; of a Windows its build. */
  readonly version?: Said<string>;
  /** Of a Windows: whether it is a server. */
  readonly server?: boolean;
  readonly hostname?: Said<string>;
  readonly architecture?: Said<'x86_64' | 'i686' | 'aarch64'>;
  readonly firmware?: Said<'bios' | 'efi'>;
  /** Storage that is driven from the start on; absent where that could not be seen. */
  readonly drivers?: Said<readonly StorageKind[]>;
  readonly localTime?: Said<boolean>;
  /** Addresses of its network cards that it wrote down. */
  readonly macs?: readonly Said<string>[];
  /** Which of the disks it starts from, counted from 0. */
  readonly bootDisk?: Said<number>;
  /** The disks in the order in which they were plugged in, as far as the guest itself knows it. */
  readonly order?: readonly Said<number>[];
  /** What a person should know: hibernated, encrypted, names of devices in tables. */
  readonly notes: readonly string[];
}

export const UNKNOWN_GUEST: GuestFacts = { notes: [] };

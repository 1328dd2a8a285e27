/** Machines for a platform: what it has to offer, and how a configuration for it is written. Nothing is copied here. */
import type { StorageKind } from './guest.ts';
import type { CardModel, Family } from './machine.ts';

/** One decision, for the person who reads it. */
export interface Decision {
  readonly what: string;
  readonly value: string;
  readonly reason: string;
}

/** A disk as it will lie beside the configuration. */
export interface TargetDisk {
  /** Name of the file, without directories. */
  readonly file: string;
  /** Bytes of the disk. */
  readonly size: number;
  /** Where it was plugged in before. */
  readonly was: string;
  /** What the written file says of itself, as 32 digits, where its format has such a thing. */
  readonly uuid?: string;
  readonly controller: number;
  readonly unit: number;
  /** What the file is, where it is not what the platform's disks are. */
  readonly format?: string;
}

/** A state of the whole machine that its original disks keep in themselves. */
interface KeptState {
  readonly name: string;
  /** Seconds since 1970. */
  readonly time: number | undefined;
  /** It was taken of a running machine: its memory is in one of the disks. */
  readonly running: boolean;
  /** Which of the disks have it. */
  readonly disks: readonly boolean[];
}

/** The files that a machine ran on, where they keep states of it: they can be used as they lie. */
export interface InPlace {
  readonly files: readonly { readonly path: string; readonly format: string }[];
  /** The oldest first. */
  readonly states: readonly KeptState[];
}

/** A machine as it will be: nothing is left open. */
export interface TargetMachine {
  readonly name: string;
  /** The name as part of file names. */
  readonly stem: string;
  /** 32 digits. */
  readonly uuid: string | undefined;
  readonly firmware: 'bios' | 'efi';
  readonly secureBoot: boolean;
  readonly tpm: boolean;
  readonly processors: number;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly board: 'pc' | 'q35';
  readonly localTime: boolean;
  readonly family: Family;
  readonly bits: 32 | 64;
  /** What the guest is called on this platform. */
  readonly guest: string;
  readonly storage: StorageKind;
  readonly disks: readonly TargetDisk[];
  readonly cdrom: boolean;
  readonly cards: readonly {
    readonly model: CardModel;
    readonly mac: string | undefined;
    readonly network: string;
    /** As its own configuration called it: of one model there are several that guests tell apart. */
    readonly word?: string;
  }[];
  readonly serial: boolean;
  readonly inPlace?: InPlace;
  readonly decisions: readonly Decision[];
}

export interface WrittenText {
  readonly name: string;
  readonly text: string;
  /** What it is, for people. */
  readonly what: string;
}

/** A file that was written, and its SHA-256 in hexadecimal. */
export interface HashedFile {
  readonly name: string;
  readonly sha256: string;
}

/** Places for disks of one kind: on one controller, and controllers. */
export interface Room {
  readonly units: number;
  readonly controllers: number;
  /** A place that is never free. */
  readonly taken?: number;
}

/** What a platform has, the best first. */
export interface Platform {
  /** By which it is asked for: "kvm". */
  readonly target: string;
  readonly title: string;
  /** Controllers that guests may be given, the best for the platform first. */
  readonly storage: readonly StorageKind[];
  readonly room: Readonly<Partial<Record<StorageKind, Room>>>;
  readonly cards: readonly CardModel[];
  /** More than this it refuses, with the whole machine. */
  readonly most: { readonly processors: number; readonly cards: number };
  /** How disks are written: a variant of a disk writer, and the ending of the file. */
  readonly variant: string;
  readonly ending: string;
  /** What else the writer of disks makes beside that file: endings that stand in place of the other. */
  readonly parts: readonly string[];
  /** Name of the network where nothing better is known. */
  readonly network: string;
  /** Networks that the source names exist there, if it is the same platform. */
  readonly sameAs: string;
  /** The word for a guest; which column of the table of guests. */
  readonly guests: 'vmware' | 'virtualbox' | 'osinfo' | 'ostype';
  readonly hasVirtio: boolean;
}

export interface MachineWriter {
  readonly platform: Platform;
  /** Names of the disks' files, in order. */
  names(stem: string, count: number, number: number): readonly string[];
  /** The texts for a machine whose files will lie in `folder`. */
  write(machine: TargetMachine, folder: string, number: number): readonly WrittenText[];
  /** A list of hashes of all files, where the platform wants one beside them. */
  hashes?(machine: TargetMachine, files: readonly HashedFile[]): WrittenText;
  /** Ending of the one archive that importers take in place of the files; absent where there is no such thing. */
  readonly archive?: string;
  /** What to do with them, in sentences. */
  steps(machine: TargetMachine, folder: string, number: number): readonly string[];
}

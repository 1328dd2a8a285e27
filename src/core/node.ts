/** Nodes: the things that are found. */
import type { Damage } from './damage.ts';
import type { MachineModel } from './machine.ts';
import type { Source } from './source.ts';

export type Kind =
  | 'evidence'
  | 'disk'
  | 'partition'
  | 'volume'
  | 'filesystem'
  | 'directory'
  | 'file'
  | 'symlink'
  | 'system'
  | 'rdm'
  | 'machine';

export type NodeState = 'live' | 'deleted' | 'orphan' | 'carved';

/** What is known of a node without reading its bytes. Times are seconds since 1970. */
export interface Facts {
  /** Bytes. */
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly links?: number;
  readonly modified?: number;
  readonly changed?: number;
  readonly accessed?: number;
  /** Where a symlink points, as raw bytes. */
  readonly target?: string;
  /** What the format knows beyond that, in its specification's words. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** What a descriptor says about the disk it describes. */
export interface DiskFacts {
  readonly createType: string;
  /** Names of the files that hold the disk's bytes, as they stand in the descriptor. */
  readonly extents: readonly string[];
  /** Name of the parent's descriptor, for a snapshot delta. */
  readonly parent?: string;
}

/** The layer below a disk that holds only what differs from it. */
export interface Backing {
  /** Names of its file as they stand in the disk, the most likely first. Only files that are evidence are looked at. */
  readonly names: readonly string[];
  /** What it must say of itself: one of its `identities`. Absent where the disk does not know. */
  readonly identity?: string;
  /** One more of its `identities`, which it has for as long as nobody writes to it. Absent where the disk does not know. */
  readonly unchanged?: string;
  /** Its bytes are the disk themselves, whatever they look like. */
  readonly raw?: boolean;
  /** Whether there is one at all is not known: what would say so is lost. Without one, what nothing maps is zeros. */
  readonly isUnsure?: boolean;
  /** Where the disk says so, in bytes of its own file. */
  readonly at: number;
}

/** One of several places that a thing is put together from. */
export interface MemberFact {
  readonly locator: string;
  /** What its host called the device when that was written down: "/dev/sda2". */
  readonly device?: string;
}

/** What a closer look at something found: notices and facts that take some reads of their own. */
export interface Look {
  readonly notices: readonly string[];
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

export interface Node {
  /** The name, safe to print. */
  readonly name: string;
  /** The name's raw bytes, one per character (latin1). */
  readonly rawName: string;
  readonly locator: string;
  readonly kind: Kind;
  readonly state: NodeState;
  /** Which format says what this is: the title of its record. */
  readonly format?: string;
  readonly facts: Facts;
  readonly damage: readonly Damage[];
  /** Notices that are no damage: mounted when it was copied, last host, and the like. */
  readonly notices?: readonly string[];
  /** What can be done about it with the platform's own means, and what must not be, in sentences. */
  readonly advice?: readonly string[];
  /** The machines that a configuration describes; nearly always one. */
  readonly machines?: readonly MachineModel[];
  readonly disk?: DiskFacts;
  /** Where a disk says only what differs from another one: its `bytes` are then of this layer alone, as a format opens it. */
  readonly backing?: Backing;
  /** What children of a disk call it: "cid:1a2b3c4d", "uuid:…". */
  readonly identities?: readonly string[];
  /** What it is put together from where that is more than one place, in its own order. */
  readonly members?: readonly MemberFact[];
  /** States of a disk that its own file keeps, in order; `child` finds them by name. Each is a disk of its own. */
  readonly snapshots?: readonly Node[];
  /** Everything that is wrong, also what takes reading all tables to see; `damage` is what opening showed. */
  check?(signal: AbortSignal): AsyncIterable<Damage>;
  /** What it was met in; set by stack/, which needs the way back for siblings. */
  parent?: Node;
  /** A few hundred reads at most; for who describes the whole, not for listings. */
  look?(): Promise<Look>;
  /** Of a file system: whether its tables call the byte `at` of its volume free; undefined where they do not say. */
  isFree?(at: number): Promise<boolean | undefined>;
  bytes?(): Promise<Source>;
  child?(rawName: string): Promise<Node | undefined>;
  children?(): AsyncIterable<Node>;
}

/**
 * A copy of a node with some of it changed. Files of long listings make their name, facts and bytes when they are asked
 * for, so spreading alone would lose these.
 */
export function changedNode(node: Node, changes: Partial<Node>): Node {
  const { name, facts } = node;
  return { ...node, name, facts, ...(node.bytes && { bytes: () => node.bytes!() }), ...changes };
}

/** Thrown by a format's `open` when these bytes are not its own after all. */
export class NotThis extends Error {}

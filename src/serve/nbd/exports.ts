/** What is served: disks by name, and what happens where bytes of one are not to be had. */
import type { Source } from '../../core/source.ts';
import type { BootableDisk } from '../../stack/bootable.ts';
import { shown } from '../../stack/words.ts';

/** What a read of bytes that are missing gets: an error, or zeros because somebody asked for that. */
export type Lost = 'error' | 'zeros';

/** One disk as clients see it. */
export interface Export {
  /** The name that clients ask for; '' asks for the first of all. */
  readonly name: string;
  readonly description: string;
  readonly source: Source;
}

/** The disks of a machine by number, in the order in which they are plugged in. */
export function exportsOf(disks: readonly Pick<BootableDisk, 'node' | 'source'>[]): Export[] {
  return disks.map(({ node, source }, i) => ({ name: `disk${i}`, description: shown(node.locator), source }));
}

/** What clients were given, counted over all of them. */
export interface Served {
  connections: number;
  /** Connections that ended because the client broke the protocol or was too slow. */
  cut: number;
  requests: number;
  bytes: number;
  /** Reads that met missing bytes, and how many such bytes. */
  lostReads: number;
  lostBytes: number;
}

export function nothingServed(): Served {
  return { connections: 0, cut: 0, requests: 0, bytes: 0, lostReads: 0, lostBytes: 0 };
}

/**
 * Salvor as a library: the same nodes and sources that the command line works on.
 *
 *   import { open } from 'salvor';
 *   const stack = open(['lun0.img']);
 *   const file = await locate(stack, 'lun0.img::vmfs/web01/web01.vmx');
 */
import type { NamedSource } from './stack/evidence.ts';
import { type OpenOptions, Stack } from './stack/stack.ts';

export type { Damage } from './core/damage.ts';
export { EvidenceError, FileSource } from './core/evidence.ts';
export { MemorySource } from './core/memory.ts';
export type { Facts, Kind, Node } from './core/node.ts';
export { flatten } from './core/resolve.ts';
export * from './core/run.ts';
export type { Gap, Source } from './core/source.ts';
export { formats } from './formats/index.ts';
export type { NamedSource } from './stack/evidence.ts';
export { filesystems, home } from './stack/home.ts';
export { type Found, LocatorError, locate } from './stack/locate.ts';
export { type Machine, machinesOf } from './stack/machines.ts';
export { type OpenOptions, Stack } from './stack/stack.ts';

/** Opens evidence: paths of images, disks and directories, or sources with names. Throws EvidenceError. */
export function open(sources: readonly (string | NamedSource)[], options?: OpenOptions): Stack {
  return new Stack(sources, options);
}

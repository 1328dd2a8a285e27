/** The makers of VMFS stores; see vmfs/spec.ts for what a store can be made of. */
export { makeVmfs3, makeVmfs5, makeVmfs6 } from './vmfs/build.ts';
export type { EntrySpec, Force, MemberSpec, Range, StoreSpec } from './vmfs/spec.ts';

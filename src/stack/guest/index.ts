/** What lives inside a machine's disks, seen from the disks alone. */
import { type GuestFacts, UNKNOWN_GUEST } from '../../core/guest.ts';
import type { Bootable } from '../bootable.ts';
import type { Stack } from '../stack.ts';

/** Looks into the disks of a machine. Where nothing can be known, nothing is claimed. */
export async function guestOf(_stack: Stack, _machine: Bootable): Promise<GuestFacts> {
  return UNKNOWN_GUEST;
}

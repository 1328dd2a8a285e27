/** Heartbeats: which hosts had the volume open, and whether one still did when the image was made. vmfs.md section 7.1. */
import { printable } from '../../../core/locator.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';
import { HEARTBEAT_FREE, HEARTBEAT_IN_USE, HEARTBEATS_AT, heartbeat } from './structs.ts';

interface Heartbeats {
  /** Slots whose state and own address are right. */
  readonly sound: number;
  /** Addresses of hosts that held the volume when its image was made. */
  readonly inUse: readonly string[];
  /** Addresses of hosts that had it before. */
  readonly before: readonly string[];
}

/** Reads all slots. A damaged heartbeat never stops anything. */
export async function readHeartbeats(g: Geometry, volume: Source): Promise<Heartbeats> {
  const stride = g.lockBytes;
  const area = new Uint8Array(g.heartbeats * stride);
  await volume.read(HEARTBEATS_AT, area);
  const view = viewOf(area);
  const inUse: string[] = [];
  const before: string[] = [];
  let sound = 0;
  for (let i = 0; i < g.heartbeats; i++) {
    const slot = heartbeat.over(view, i * stride);
    const known = slot.state === HEARTBEAT_FREE || slot.state === HEARTBEAT_IN_USE;
    if (!known || slot.self !== HEARTBEATS_AT + i * stride) continue;
    sound++;
    const { address } = slot;
    if (slot.state === HEARTBEAT_IN_USE) inUse.push(printable(address) || 'a host without an address');
    else if (address !== '') before.push(printable(address));
  }
  return { sound, inUse, before };
}

/** UUIDs for machines and disks that have none. */
import type { TargetMachine } from '../../../core/machine-writer.ts';

/** A UUID for what has none, the same each time: version 8, made by a rule of its own. */
export function made({ name }: Pick<TargetMachine, 'name'>, disk = -1): string {
  let state = 0x9e3779b9 ^ Math.imul(disk + 2, 0x85ebca6b);
  for (const c of name) state = Math.imul(state ^ c.codePointAt(0)!, 0x01000193);
  let out = '';
  for (let i = 0; i < 32; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i;
    out += i === 12 ? '8' : i === 16 ? 'a' : ((state >>> 28) & 15).toString(16);
  }
  return out;
}

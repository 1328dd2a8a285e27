/** Mutations of evidence, driven by the tables of the formats: fields and their edges, and plain noise. */
import type { Field, Struct } from '../../src/core/struct.ts';
import { dice, type Fault, put, unreadable, zeroed } from '../faults/faults.ts';

/** A place in an image where a structure stands, and its table where there is one. */
export interface Target {
  readonly member: number;
  readonly at: number;
  readonly length: number;
  // biome-ignore lint/suspicious/noExplicitAny: any table will do
  readonly table?: Struct<any>;
}

const EDGES = [0, 1, 2, 3, 7, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** One mutation of one target. */
export function mutation(target: Target, random: (below: number) => number): Fault {
  const { at, length, table } = target;
  const choice = random(10);
  if (table !== undefined && choice < 6) {
    const fields: Field[] = Object.values(table.fields);
    const field = fields[random(fields.length)];
    const value = new Uint8Array(Math.min(field.size, 8));
    const view = new DataView(value.buffer);
    const edge = EDGES[random(EDGES.length)];
    for (let i = 0; i + 4 <= value.length; i += 4) view.setUint32(i, random(3) === 0 ? random(0xffffffff) : edge, true);
    for (let i = value.length & ~3; i < value.length; i++) value[i] = edge & 0xff;
    return put(at + field.at, value);
  }
  if (choice === 6) return zeroed(at, length);
  if (choice === 7) return unreadable(at, Math.min(length, 512));
  const noise = Uint8Array.from({ length: 1 + random(Math.min(length, 64)) }, () => random(256));
  return put(at + random(Math.max(1, length - noise.length)), noise);
}

export { dice };

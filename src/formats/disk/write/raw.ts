/** A disk as its own bytes. */
import type { Writer } from '../../../core/writer.ts';
import { Parts } from './parts.ts';

export const rawWriter: Writer = {
  variants: ['raw'],
  endings: ['.raw', '.img', '.bin', '.dd'],
  unit: () => 65536,
  plan: (disk, { occupied }) => [{ suffix: '', source: new Parts().spread(disk, occupied).file(), isDisk: true }],
};

/** Checksums of several kinds behind one function that answers at once. */
import { createHash } from 'node:crypto';
import { crc32c } from './crc32c.ts';

/** The sum of bytes, as it is stored. */
export type Sum = (bytes: Uint8Array) => Uint8Array;
export type SumKind = 'crc32c' | 'xxhash64' | 'sha256' | 'blake2b-256';

/** The sum of that kind; what has to be loaded for it is loaded before. */
export async function sumOf(kind: SumKind): Promise<Sum> {
  switch (kind) {
    case 'crc32c':
      return (bytes) => {
        const out = new Uint8Array(4);
        new DataView(out.buffer).setUint32(0, crc32c(bytes), true);
        return out;
      };
    case 'sha256':
      return (bytes) => createHash('sha256').update(bytes).digest();
    case 'xxhash64': {
      const { createXXHash64 } = await import('hash-wasm');
      const hasher = await createXXHash64();
      // The library answers with the most significant byte first.
      return (bytes) => hasher.init().update(bytes).digest('binary').reverse();
    }
    case 'blake2b-256': {
      const { createBLAKE2b } = await import('hash-wasm');
      const hasher = await createBLAKE2b(256);
      return (bytes) => hasher.init().update(bytes).digest('binary');
    }
  }
}

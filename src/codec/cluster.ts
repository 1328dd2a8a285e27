/** Compressed clusters: raw deflate streams and zstd frames, each with bytes of others behind its end. */

import { constants, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';
import { pieceFor } from './zlib.ts';

const ZSTD_MAGIC = 0xfd2fb528;
/** Bytes of the frame's content size field by its flag; flag 0 has one byte where the frame is a single segment. */
const CONTENT_SIZES = [0, 2, 4, 8];
const DICTIONARY_SIZES = [0, 1, 2, 4];

/** Deflate without a header or a checksum: a stream that does not give the whole cluster is not to be trusted at all. */
export const deflateCluster: Codec = {
  name: 'deflate',
  shared: [SHARED.deflate],
  make(input, size) {
    try {
      const made = inflateRawSync(input, {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: Math.max(1, size),
        chunkSize: pieceFor(size),
      });
      return made.length === size ? made : new Uint8Array(0);
    } catch {
      return new Uint8Array(0);
    }
  },
};

/** One zstd frame at the start of the input. */
export const zstdCluster: Codec = {
  name: 'zstd',
  shared: [SHARED.zstd],
  make(input, size) {
    const length = frameLength(input);
    if (length === 0) return new Uint8Array(0);
    try {
      return zstdDecompressSync(input.subarray(0, length), {
        maxOutputLength: Math.max(1, size),
        chunkSize: pieceFor(size),
      });
    } catch {
      return new Uint8Array(0);
    }
  },
};

/** Bytes of the frame that `input` starts with; 0 where there is none or it does not end inside. */
function frameLength(input: Uint8Array): number {
  if (input.length < 9) return 0;
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (view.getUint32(0, true) !== ZSTD_MAGIC) return 0;
  const flags = input[4];
  const single = (flags & 0x20) !== 0;
  const content = flags >> 6 === 0 && single ? 1 : CONTENT_SIZES[flags >> 6];
  let at = 5 + (single ? 0 : 1) + DICTIONARY_SIZES[flags & 3] + content;
  while (at + 3 <= input.length) {
    const header = input[at] | (input[at + 1] << 8) | (input[at + 2] << 16);
    const type = (header >> 1) & 3;
    // A block of one repeated byte holds that byte only.
    at += 3 + (type === 1 ? 1 : header >> 3);
    if (type === 3) return 0;
    if ((header & 1) === 1) {
      const end = at + ((flags & 4) !== 0 ? 4 : 0);
      return end <= input.length ? end : 0;
    }
  }
  return 0;
}

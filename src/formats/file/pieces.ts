/** Files in pieces, for what unpacks streams. */
import type { Content } from '../../core/carver.ts';

const PIECE: number = 128 * 1024;

/** Pieces of a file from `from` on, for streams. */
export function pieces(file: Content, from: number, end = file.size): (at: number) => Promise<Uint8Array | undefined> {
  return async (at) => {
    const length = Math.min(PIECE, end - from - at);
    return length > 0 ? file.bytes(from + at, length) : undefined;
  };
}

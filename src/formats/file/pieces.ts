/** What several carvers ask of a file: its pieces, for what unpacks streams, its GUIDs, and whether it can end here. */
import type { Content } from '../../core/carver.ts';

const PIECE: number = 128 * 1024;

/** Pieces of a file from `from` on, for streams. */
export function pieces(file: Content, from: number, end = file.size): (at: number) => Promise<Uint8Array | undefined> {
  return async (at) => {
    const length = Math.min(PIECE, end - from - at);
    return length > 0 ? file.bytes(from + at, length) : undefined;
  };
}

/** The 16 bytes of a GUID as hexadecimal digits, in the order in which they lie; '' where they cannot be read. */
export async function guidAt(file: Content, at: number): Promise<string> {
  return Buffer.from(await file.text(at, 16), 'latin1').toString('hex');
}

/** Sectors are written whole, and what is left of a file's last one is zeros. */
const SECTOR = 512;

/**
 * Whether a row of frames without an end of its own can end at `at`: at the end of a sector, or with zeros up to there. Where
 * the last frame goes on in another piece, what stands behind it here is neither.
 */
export async function endsAt(file: Content, at: number): Promise<boolean> {
  const rest = (SECTOR - ((file.from + at) % SECTOR)) % SECTOR;
  const fill = await file.bytes(at, Math.min(rest, file.size - at));
  return fill?.every((byte) => byte === 0) === true;
}

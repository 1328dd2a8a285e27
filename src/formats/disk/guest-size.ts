/** How large a disk is by what its first sectors say: a GPT names its last sector. */
import type { Source } from '../../core/source.ts';
import { bytes, struct, u64 } from '../../core/struct.ts';

const SECTOR = 512;
const gptStart = struct('start of a GPT header', 40, { signature: bytes(0, 8), alternate: u64(32) });
const MAX_SECTORS = 2 ** 44;

/** Bytes of the disk whose first bytes lie at `at`; undefined where no GPT says so. */
export async function guestSize(source: Source, at: number): Promise<number | undefined> {
  const sector = new Uint8Array(SECTOR);
  const gaps = await source.read(at + SECTOR, sector);
  const { signature, alternate } = gptStart.decode(sector);
  if (gaps.length > 0 || Buffer.from(signature).toString('latin1') !== 'EFI PART') return undefined;
  return alternate > 1 && alternate < MAX_SECTORS ? (alternate + 1) * SECTOR : undefined;
}

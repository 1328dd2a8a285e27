/** Logs of machines in blocks that no pointer leads to any more: text that begins, goes on and ends as these do. */
import { latin1 } from '../../../core/struct.ts';
import type { BlockSet, CarvedDisk, Wanted } from './carve.ts';
import { goesOn, guessText, HEAD_BYTES, LINE_BYTES } from './residue-content.ts';
import { textLength } from './residue-unowned.ts';
import type { Volume } from './volume.ts';

/** Blocks that one log is followed through: hosts begin a new one long before. */
const MAX_BLOCKS = 64;

/** Whether a block begins with a log. */
export function isLog(head: Uint8Array): boolean {
  return guessText(latin1(head, 0, Math.min(head.length, HEAD_BYTES)))?.ending === '.log';
}

/**
 * The logs that begin in `blocks`, each with the name of the one missing file of its length where nothing else has that.
 * `following` are the blocks that a file may go on in behind one; those that are used are entered in `owned`.
 */
export async function logsIn(
  volume: Volume,
  blocks: readonly number[],
  owned: BlockSet,
  wanted: readonly Wanted[],
  following: (block: number) => AsyncIterable<number>,
): Promise<CarvedDisk[]> {
  const out: CarvedDisk[] = [];
  for (const block of blocks) owned.add(block);
  for (const block of blocks) out.push(await logFrom(volume, block, owned, following));
  return out.map((log) => {
    const fits = wanted.filter(({ size }) => size === log.size);
    const isOnly = fits.length === 1 && out.filter(({ size }) => size === log.size).length === 1;
    return isOnly ? { ...log, wanted: fits[0], by: 'length' } : log;
  });
}

async function logFrom(
  { volume, geometry: { blockSize } }: Volume,
  first: number,
  owned: BlockSet,
  following: (block: number) => AsyncIterable<number>,
): Promise<CarvedDisk> {
  const bytes = new Uint8Array(blockSize);
  const blocks = [first];
  await volume.read(first * blockSize, bytes);
  const { machine } = guessText(latin1(bytes, 0, Math.min(blockSize, HEAD_BYTES))) ?? {};
  let last = textLength(bytes, []);
  if (last === blockSize) {
    for await (const block of following(first)) {
      const end = latin1(bytes, blockSize - LINE_BYTES, LINE_BYTES);
      await volume.read(block * blockSize, bytes);
      if (!goesOn(end, latin1(bytes, 0, Math.min(blockSize, HEAD_BYTES)))) break;
      last = textLength(bytes, []);
      owned.add(block);
      blocks.push(block);
      if (last < blockSize || blocks.length === MAX_BLOCKS) break;
    }
  }
  const size = (blocks.length - 1) * blockSize + last;
  const what = 'a log of a virtual machine';
  return { blocks, isThin: false, size, what, label: machine, ending: '.log', wanted: undefined };
}

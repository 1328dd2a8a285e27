/** The superblock: the newest of its copies whose checksum agrees. */
import { type Sum, type SumKind, sumOf } from '../../../codec/sums.ts';
import type { Source } from '../../../core/source.ts';
import type { Values } from '../../../core/struct.ts';
import { MAGIC, METADATA_UUID, SUM_BYTES, SUPER_BYTES, SUPER_PLACES, superBlock } from './structs.ts';

type SuperBlock = Values<typeof superBlock.fields>;

export interface Super {
  readonly block: SuperBlock;
  /** Bytes from the start of the device. */
  readonly at: number;
  /** What is wrong with it, or with the first copy, in words; undefined where nothing is. */
  readonly fault: string | undefined;
  readonly sum: Sum;
  readonly sumBytes: number;
  readonly uuid: string;
  /** What nodes carry. */
  readonly nodeUuid: string;
}

const KINDS: readonly [SumKind, number][] = [
  ['crc32c', 4],
  ['xxhash64', 8],
  ['sha256', 32],
  ['blake2b-256', 32],
];

export const SUM_NAMES: readonly string[] = KINDS.map(([kind]) => kind);

/** Reads the superblock of a device; undefined where no copy of it makes sense. */
export async function readSuper(source: Source): Promise<Super | undefined> {
  const found: (Super & { readonly agrees: boolean })[] = [];
  for (const at of SUPER_PLACES) {
    const one = await readAt(source, at);
    if (one !== undefined) found.push(one);
  }
  // The first of the newest: copies are written after it.
  const sound = found.filter(({ agrees }) => agrees);
  const list = sound.length > 0 ? sound : found;
  const [best] = [...list].sort((a, b) => b.block.generation - a.block.generation || a.at - b.at);
  if (best === undefined) return undefined;
  if (!best.agrees) return { ...best, fault: 'one whose checksum fails' };
  return { ...best, fault: best.at === SUPER_PLACES[0] ? undefined : faultOfFirst(found) };
}

function faultOfFirst(found: readonly (Super & { readonly agrees: boolean })[]): string {
  const first = found.find(({ at }) => at === SUPER_PLACES[0]);
  if (first === undefined) return 'none';
  return first.agrees ? `one of generation ${first.block.generation}` : 'one whose checksum fails';
}

/** Whether a checksum stored in front of `bytes` is the one of what follows it. */
export function agrees({ sum, sumBytes }: Pick<Super, 'sum' | 'sumBytes'>, bytes: Uint8Array): boolean {
  const own = sum(bytes.subarray(SUM_BYTES));
  for (let i = 0; i < sumBytes; i++) if (own[i] !== bytes[i]) return false;
  return true;
}

async function readAt(source: Source, at: number): Promise<(Super & { readonly agrees: boolean }) | undefined> {
  if (at + SUPER_BYTES > source.size) return undefined;
  const raw = new Uint8Array(SUPER_BYTES);
  const gaps = await source.read(at, raw);
  const block = superBlock.decode(raw);
  if (gaps.length > 0 || block.magic !== MAGIC || block.place !== at) return undefined;
  if (superBlock.violations(block).length > 0) return undefined;
  const [kind, sumBytes] = KINDS[block.sumType];
  const sum = await sumOf(kind);
  const own = Buffer.from((block.incompatible & METADATA_UUID) !== 0 ? block.metadataUuid : block.fsid);
  const uuid = Buffer.from(block.fsid).toString('hex');
  const base = { block, at, fault: undefined, sum, sumBytes, uuid, nodeUuid: own.toString('hex') };
  return { ...base, agrees: agrees(base, raw) };
}

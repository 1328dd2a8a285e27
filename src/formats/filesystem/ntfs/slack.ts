/** Names behind the entries of directories: of files that are gone and whose records other files have now. */
import type { Facts } from '../../../core/node.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Census, Known } from './census.ts';
import { type Name, nameIn } from './file.ts';
import { fixUp } from './fixup.ts';
import { NAMES } from './indexes.ts';
import type { Stream } from './stream.ts';
import {
  FILE_NAME_BYTES,
  fileName,
  INDEX_ALLOCATION,
  INDEX_BLOCK_NODE,
  INDEX_ENTRY_HEAD,
  indexBlock,
  indexEntry,
  nodeHeader,
  timeOf,
} from './structs.ts';
import type { Volume } from './volume.ts';

const MAX_NODE = 65_536;
/** Index blocks are looked for at each of these steps. */
const STEP = 512;
const MAX_SLACK = 1_000_000;
/** Years that a file's times may be of, as seconds since 1970: from 1980 to 2100. */
const FIRST_TIME = 315_532_800;
const LAST_TIME = 4_102_444_800;

export interface Slack extends Known {
  readonly facts: Facts;
}

/** Entries that indexes no longer hold, of files that no record is left of. */
export async function* slackOf(volume: Volume, census: Census): AsyncGenerator<Slack> {
  const seen = new Set<string>();
  const budget = { bytes: 2 * volume.source.size };
  for (const directory of census.known.values()) {
    if (!directory.isDirectory || !directory.isLive || volume.cx.signal.aborted) continue;
    const record = await volume.records.raw(directory.number);
    const stream = record === undefined ? undefined : volume.stream(await volume.file(record), INDEX_ALLOCATION, NAMES);
    if (stream === undefined) continue;
    for await (const block of blocksOf(volume, stream, budget)) {
      for (let inner = 0; inner + STEP <= block.length; inner += STEP) {
        for (const one of leftIn(block, inner, directory.number)) {
          const key = `${one.number}/${one.sequence}/${one.names[0].name}`;
          if (seen.has(key) || isKnown(census, one) || seen.size > MAX_SLACK) continue;
          seen.add(key);
          yield one;
        }
      }
    }
  }
}

/** What is set aside of an index, in stretches; `budget` is what is read of all of them. */
async function* blocksOf(volume: Volume, stream: Stream, budget: { bytes: number }): AsyncGenerator<Uint8Array> {
  const { extents } = stream;
  const source = volume.checked(stream);
  for (let i = 0; extents !== undefined && i < extents.n; i++) {
    if (extents.lcn[i] < 0) continue;
    const end = Math.min(source.size, extents.endOf(i) * volume.geometry.cluster);
    for (let at = extents.vcn[i] * volume.geometry.cluster; at < end && budget.bytes > 0; at += MAX_NODE) {
      const block = new Uint8Array(Math.min(MAX_NODE, end - at));
      await source.read(at, block);
      budget.bytes -= block.length;
      yield block;
    }
  }
}

/** Whether the file of an entry lives, or is told of by its own record. */
function isKnown(census: Census, { number, sequence, names }: Slack): boolean {
  const now = census.known.get(number);
  if (now === undefined) return false;
  if ((now.isLive ? now.sequence : now.sequence - 1) === sequence) return true;
  return now.names.some((one) => one.name === names[0].name && one.parent === names[0].parent);
}

/** What stands behind the entries of the block that starts at `from`; nothing where none does. */
function* leftIn(bytes: Uint8Array, from: number, directory: number): Generator<Slack> {
  if (bytes[from] !== 0x49 || bytes[from + 1] !== 0x4e || bytes[from + 2] !== 0x44 || bytes[from + 3] !== 0x58) return;
  const head = nodeHeader.decode(bytes, from + INDEX_BLOCK_NODE);
  const end = from + INDEX_BLOCK_NODE + head.allocated;
  if (head.used > head.allocated || end > bytes.length) return;
  const block = bytes.slice(from, end);
  const { usaAt, usaCount } = indexBlock.decode(block);
  if (fixUp(block, usaAt, usaCount) === undefined) return;
  const view = viewOf(block);
  // An entry that was written over at its start still has its name; entries stand at multiples of eight.
  for (let at = INDEX_BLOCK_NODE + head.used; at + INDEX_ENTRY_HEAD + FILE_NAME_BYTES <= block.length; at += 8) {
    const { record, recordHigh, sequence, keyLength } = indexEntry.decode(block, at);
    const key = at + INDEX_ENTRY_HEAD;
    const name = nameIn(block, view, key, Math.min(keyLength, block.length - key));
    if (name === undefined || name.isDos || name.parent !== directory || sequence === 0) continue;
    const facts = factsIn(block, key);
    if (facts === undefined) continue;
    yield { ...knownOf(name, record + recordHigh * 2 ** 32, sequence), facts };
  }
}

function knownOf(name: Name, number: number, sequence: number): Known {
  return { number, sequence, isLive: false, isDirectory: false, names: [name], at: -1 };
}

function factsIn(block: Uint8Array, at: number): Facts | undefined {
  const { created, modified, changed, accessed, size } = fileName.decode(block, at);
  const times = [created, modified, changed, accessed].map(timeOf);
  if (times.some((time) => time < FIRST_TIME || time > LAST_TIME) || !Number.isSafeInteger(size)) return undefined;
  if ((viewOf(block).getUint32(at + fileName.fields.flags.at, true) & 0x10000000) !== 0) return undefined;
  const details = { created: times[0], nameOnly: true };
  return { size, modified: times[1], changed: times[2], accessed: times[3], details };
}

/** The recycle bin: $R files hold what was thrown away, $I files beside them where it came from, and when. */
import { bytes8, struct, u32, u64, viewOf } from '../../../core/struct.ts';
import { type Entry, Index } from './indexes.ts';
import { DATA_ATTRIBUTE, nameOf, timeOf } from './structs.ts';
import type { Volume } from './volume.ts';

const BIN = /\/\$recycle\.bin\/S-[\d-]+$/i;
const HEAD = 24;
const information = struct('NTFS recycled file', HEAD, { version: u32(0), size: u64(8), deleted: bytes8(16) });
/** The path follows at once, or behind its length. */
const FIXED = 1;
const COUNTED = 2;
const MAX_INFORMATION = 65_536;
const MAX_RECYCLED = 100_000;

export interface Origin {
  readonly details: { readonly original: string; readonly deleted: number };
}

/** Whether a directory is one of a recycle bin, by its place. */
export function isRecycled(locator: string): boolean {
  return BIN.test(locator);
}

/** Where a recycled file came from; undefined where nothing says so. */
export async function originOf(volume: Volume, directory: number, entry: Entry): Promise<Origin | undefined> {
  if (!entry.name.startsWith('$R')) return undefined;
  let known = volume.recycled.get(directory);
  if (known === undefined) {
    known = originsIn(volume, directory);
    volume.recycled.set(directory, known);
  }
  return (await known).get(entry.name.slice(2));
}

async function originsIn(volume: Volume, directory: number): Promise<Map<string, Origin>> {
  const out = new Map<string, Origin>();
  const record = await volume.records.get(directory);
  if (record === undefined) return out;
  const index = new Index(volume, await volume.file(record), () => {});
  for await (const batch of index.batches()) {
    for (const { name, record: number } of batch) {
      if (!name.startsWith('$I') || out.size >= MAX_RECYCLED) continue;
      const origin = await originIn(volume, number);
      if (origin !== undefined) out.set(name.slice(2), origin);
    }
  }
  return out;
}

async function originIn(volume: Volume, number: number): Promise<Origin | undefined> {
  const record = await volume.records.get(number);
  const stream = record === undefined ? undefined : volume.stream(await volume.file(record), DATA_ATTRIBUTE);
  if (stream === undefined || stream.size < HEAD + 4 || stream.size > MAX_INFORMATION) return undefined;
  const bytes = new Uint8Array(stream.size);
  if ((await volume.checked(stream).read(0, bytes)).length > 0) return undefined;
  const { version, deleted } = information.decode(bytes);
  if (version !== FIXED && version !== COUNTED) return undefined;
  const from = version === FIXED ? HEAD : HEAD + 4;
  const room = (bytes.length - from) >>> 1;
  const count = version === FIXED ? room : Math.min(room, viewOf(bytes).getUint32(HEAD, true));
  const original = nameOf(bytes, from, count).split('\0')[0];
  return original === '' ? undefined : { details: { original, deleted: timeOf(deleted) } };
}

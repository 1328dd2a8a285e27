/** Opens a disk from files in memory and compares every byte with the truth, grade by grade. */
import type { Cx, Format } from '../../src/core/format.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { type Node, NotThis } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { CERTAINTY_NAMES, RunList } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';

export interface Judged {
  readonly node: Node | undefined;
  readonly codes: readonly string[];
  /** Bytes by grade, and how many of those are wrong. Zeros of the truth that are missing are not counted as lost. */
  readonly right: Record<string, number>;
  readonly wrong: Record<string, number>;
  /** Bytes of the truth that are not zero and are missing. */
  readonly lost: number;
  readonly size: number;
}

/** What a format may touch, where `files` lie beside what is opened. */
export function cxOf(name: string, files: Readonly<Record<string, Uint8Array | Source>>): Cx {
  const sourceOf = (of: Uint8Array | Source): Source => (of instanceof Uint8Array ? new MemorySource(of) : of);
  return {
    source: name,
    self: `${name}::x`,
    signal: new AbortController().signal,
    damage: (at, code, expected, actual, effect) => ({ code, at: `${name}@${at}`, expected, actual, effect }),
    siblings: async ({ name: wanted }) =>
      wanted !== undefined && files[wanted] !== undefined ? [{ source: sourceOf(files[wanted]), locator: wanted }] : [],
  };
}

/** Opens `name` of `files` and judges it against `truth`; what the truth has beyond the disk's end is lost. */
export async function judge(
  format: Format,
  files: Readonly<Record<string, Uint8Array>>,
  name: string,
  truth: Uint8Array,
): Promise<Judged> {
  const right: Record<string, number> = {};
  const wrong: Record<string, number> = {};
  const nothing = { node: undefined, codes: [], right, wrong, lost: filled(truth), size: 0 };
  const cx = cxOf(name, files);
  const source = new MemorySource(files[name]);
  if ((await format.probe(source, cx)) === 0) return nothing;
  let node: Node;
  try {
    node = await format.open(source, cx);
  } catch (error) {
    if (error instanceof NotThis) return nothing;
    throw error;
  }
  const bytes = await node.bytes!();
  const had = new Uint8Array(Math.min(bytes.size, truth.length));
  await bytes.read(0, had);
  const list = new RunList();
  let at = 0;
  let lost = filled(truth.subarray(had.length));
  while (at < had.length) {
    list.clear();
    const reached = await flatten(bytes, at, had.length, list);
    for (let i = 0; i < list.n; i++) {
      const grade = CERTAINTY_NAMES[list.certainty(i)];
      const end = at + list.length[i];
      const expected = truth.subarray(at, end);
      if (list.certainty(i) === 0) lost += filled(expected);
      else {
        const bad = differing(had.subarray(at, end), expected);
        wrong[grade] = (wrong[grade] ?? 0) + bad;
        right[grade] = (right[grade] ?? 0) + expected.length - bad;
      }
      at = end;
    }
    if (at !== reached) throw new Error(`runs end at ${at}, not ${reached}`);
  }
  return { node, codes: node.damage.map(({ code }) => code), right, wrong, lost, size: bytes.size };
}

/** Bytes that are stated or verified and wrong: there must be none. */
export function lies({ wrong }: Judged): number {
  return (wrong.stated ?? 0) + (wrong.verified ?? 0);
}

const ZEROS = new Uint8Array(512);

/** Sectors' worth of bytes that are not zero. */
function filled(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.length; at += 512) {
    const sector = bytes.subarray(at, at + 512);
    if (Buffer.compare(sector, ZEROS.subarray(0, sector.length)) !== 0) count += sector.length;
  }
  return count;
}

function differing(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return 0;
  let count = 0;
  for (let i = 0; i < a.length; i++) count += Number(a[i] !== b[i]);
  return count;
}

/** Made stores as evidence, and the comparison of everything that is read with the truth about them. */
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, RunList, ZERO } from '../../src/core/run.ts';
import type { NamedSource } from '../../src/stack/evidence.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import type { Made, TruthFile } from '../make/types.ts';
import { brokenInvariants } from '../suites/check-source.ts';

/** Files up to this size are compared in every byte; larger ones at the borders of all their extents. */
const WHOLE = 24 * 1024 * 1024;
const PROBE = 4096;

/** A made store in memory, one source per member. */
export function evidenceOf(made: Made): NamedSource[] {
  const pieces = made.members.map((): { at: number; bytes: Uint8Array }[] => []);
  for (const { member, at, bytes } of made.writes()) pieces[member].push({ at, bytes });
  return made.members.map(({ size }, i) => ({ name: `m${i}.img`, source: new MemorySource(pieces[i], size) }));
}

/** Reads a store through the whole stack and answers every departure from the truth, as sentences. */
export async function departures(made: Made, evidence: NamedSource[] = evidenceOf(made)): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack(evidence, { only: true });
  const root = await home(stack);
  if (root.kind !== 'filesystem') return [`no file system, but ${root.kind}`];
  for (const d of root.damage) out.push(`volume: ${d.code} ${d.expected} / ${d.actual}`);
  const found = new Map<string, Node>();
  await collect(stack, root, '', found);
  const sources = new Map(evidence.map((e, i) => [e.source, i]));
  for (const file of made.truth.files) {
    if (file.path === '/') continue;
    const key = keyOf(file);
    const node = found.get(key);
    found.delete(key);
    if (node === undefined) out.push(`${file.path}: not listed`);
    else out.push(...(await compare(file, node, sources)).map((problem) => `${file.path}: ${problem}`));
  }
  for (const key of found.keys()) out.push(`${key}: listed, but never made`);
  return out;
}

/** Raw path: names that are not UTF-8 keep their bytes. */
function keyOf(file: TruthFile): string {
  const parts = file.path.split('/').map((part) => Buffer.from(part, 'utf8').toString('latin1'));
  if (file.rawName !== undefined) parts[parts.length - 1] = Buffer.from(file.rawName).toString('latin1');
  return parts.join('/');
}

async function collect(stack: Stack, node: Node, path: string, found: Map<string, Node>): Promise<void> {
  for await (const child of stack.children(node)) {
    const key = `${path}/${child.rawName}`;
    found.set(key, child);
    if (child.children !== undefined) await collect(stack, child, key, found);
  }
}

async function compare(file: TruthFile, node: Node, sources: ReadonlyMap<unknown, number>): Promise<string[]> {
  const out = node.damage.map((d) => `${d.code} ${d.expected} / ${d.actual}`);
  const { facts } = node;
  const same = (what: string, actual: unknown, expected: unknown): void => {
    if (actual !== expected) out.push(`${what} ${String(actual)}, not ${String(expected)}`);
  };
  same('kind', node.kind, file.kind);
  same('size', facts.size, file.size);
  same('mode', facts.mode, file.mode & 0o7777);
  same('uid', facts.uid, file.uid);
  same('gid', facts.gid, file.gid);
  same('mtime', facts.modified, file.mtime);
  same('ctime', facts.changed, file.ctime);
  same('atime', facts.accessed, file.atime);
  same('target', facts.target, file.target);
  if (file.kind === 'directory' || file.kind === 'rdm' || file.content === undefined) return out;
  const source = await node.bytes!();
  if (file.size <= WHOLE) {
    const there = new Uint8Array(file.size);
    out.push(...(await source.read(0, there)).map((gap) => `gap ${gap.code} at ${gap.offset}`));
    const first = firstDifference(there, file.content.read(0, file.size));
    if (first >= 0) out.push(`differs from byte ${first} on`);
    // In a store of thousands of alike files a sample of them stands for all.
    if (file.fdAddress % 97 === 4 || !file.path.includes('/many/')) out.push(...(await brokenInvariants(source)));
  }
  for (const extent of file.extents) {
    if (out.length > 5) break;
    for (const at of [extent.offset, extent.offset + Math.max(0, extent.length - PROBE)]) {
      const there = new Uint8Array(Math.min(PROBE, file.size - at));
      await source.read(at, there);
      if (firstDifference(there, file.content.read(at, there.length)) >= 0) out.push(`differs near ${at}`);
    }
    const list = new RunList(4);
    await flatten(source, extent.offset, extent.offset + extent.length, list);
    const state = list.state(0);
    if (state !== (extent.kind === 'data' ? DATA : ZERO))
      out.push(`${extent.kind} at ${extent.offset} is state ${state}`);
    if (list.certainty(0) < 3) out.push(`certainty ${list.certainty(0)} at ${extent.offset}: ${list.why(0)?.code}`);
    if (extent.kind === 'data' && (list.at[0] !== extent.at || sources.get(list.sourceOf(0)) !== extent.member)) {
      out.push(`byte ${extent.offset} at ${list.at[0]}, not ${extent.at} of member ${extent.member}`);
    }
  }
  return out;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (a[i] !== b[i]) return i;
  return -1;
}

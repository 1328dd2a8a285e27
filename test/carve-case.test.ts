/** Files by their content in a case: found once, listed and searched from then on, and never surer than they are. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Case } from '../src/case/case.ts';
import type { Node } from '../src/core/node.ts';
import { GUESSED, INFERRED, RunList } from '../src/core/run.ts';
import { carve } from '../src/jobs/carve.ts';
import { list } from '../src/jobs/list.ts';
import { SCAN } from '../src/jobs/scan.ts';
import { CARVED } from '../src/stack/carve.ts';
import { Stack } from '../src/stack/stack.ts';
import { build, salvor } from './cli/salvor.ts';
import { pngFile, tarFile, words } from './make/files.ts';
import { Served } from './serve/client.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-carve-case-'));
beforeAll(build);
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 1024 * 1024;
const PART = 256 * MIB;
const never = new AbortController().signal;

/** An image of more than two parts: pictures here and there, and an archive with one in it across their border. */
const image = join(root, 'disk.img');
const inner = pngFile(9, 70, 70);
const archive = tarFile([
  ['first', words(1, 60_000)],
  ['inner.png', inner],
]);
const at = { early: 5 * MIB, late: 2 * PART + MIB, archive: PART - 60 * 1024 };
{
  const fd = fs.openSync(image, 'w');
  fs.ftruncateSync(fd, 2 * PART + 4 * MIB);
  fs.writeSync(fd, pngFile(1, 90, 80), 0, undefined, at.early);
  fs.writeSync(fd, archive, 0, undefined, at.archive);
  fs.writeSync(fd, pngFile(2, 90, 80), 0, undefined, at.late);
  fs.closeSync(fd);
}
const name = (place: number, ending: string): string => `f${String(place).padStart(12, '0')}.${ending}`;
const names = [name(at.early, 'png'), name(at.archive, 'tar'), name(at.late, 'png')];

async function listed(stack: Stack): Promise<Node[]> {
  const folder = (await stack.child(stack.roots[0], CARVED))!;
  const out: Node[] = [];
  for await (const node of folder.children!()) out.push(node);
  return out;
}

async function gradesOf(node: Node): Promise<[number, string | undefined][]> {
  const runs = new RunList(16);
  const source = await node.bytes!();
  await source.runs(0, source.size, runs);
  return Array.from({ length: runs.n }, (_, i) => [runs.certainty(i), runs.why(i)?.code]);
}

test('a search that is stopped goes on, and finds what one search finds', async () => {
  // The picture in the archive is the first thing of the second part.
  expect(archive.indexOf(inner)).toBe(PART - at.archive);
  const stack = new Stack([image], { only: true });
  expect((await listed(stack)).map(({ rawName }) => rawName)).toEqual(names);
  const kept = Case.begin(join(root, 'case'), 'test', SCAN);
  const stop = new AbortController();
  const parts: number[] = [];
  const onProgress = ({ doneBytes }: { doneBytes: number }): void => {
    parts.push(doneBytes);
    stop.abort();
  };
  expect(await carve(kept, stack, { command: [], signal: stop.signal, onProgress })).toBe(false);
  const [{ source }] = await stack.files();
  expect(kept.carved(source)).toBeUndefined();
  expect(await carve(kept, stack, { command: [], signal: never, onProgress })).toBe(true);
  expect(parts).toEqual([PART, 2 * PART, 2 * PART + 4 * MIB]);
  expect(Array.from(kept.carved(source)!, (hit) => hit.at)).toEqual([at.early, at.archive, at.late]);
  kept.close();
  stack.close();
});

test('what was found is listed from the case, with the grades of a fresh look, and search knows it', async () => {
  const kept = Case.begin(join(root, 'case'), 'test', SCAN);
  const [fresh, known] = [new Stack([image], { only: true }), new Stack([image], { only: true, found: kept })];
  const [one, other] = [await listed(fresh), await listed(known)];
  expect(other.map(({ locator, facts }) => [locator, facts])).toEqual(
    one.map(({ locator, facts }) => [locator, facts]),
  );
  for (const [i, node] of other.entries()) expect(await gradesOf(node)).toEqual(await gradesOf(one[i]));
  expect((await gradesOf(other[0]))[0]).toEqual([INFERRED, 'carved.checksum']);
  await list(kept, known, { evidence: image, signal: never });
  expect(kept.nodes.of(image)).toMatchObject({ ended: true });
  const { rows } = kept.nodes.search({ text: '.png', limit: 10 });
  expect(rows.map((row) => [row.name, row.state, row.certainty])).toEqual([
    [names[0], 'carved', 'inferred'],
    [names[2], 'carved', 'inferred'],
  ]);
  kept.close();
  for (const stack of [fresh, known]) stack.close();
});

test('what is not there any more, because the disk below was not given, is a guess', async () => {
  const overlay = join(root, 'overlay.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', overlay]);
  const kept = Case.begin(join(root, 'layers'), 'test', SCAN);
  const both = new Stack([overlay, image], { only: true, found: kept });
  expect(await carve(kept, both, { command: [], signal: never })).toBe(true);
  const [png] = await listed(both);
  expect(await gradesOf(png)).toEqual([[INFERRED, 'carved.checksum']]);
  both.close();
  const alone = new Stack([overlay], { only: true, found: kept });
  const nodes = await listed(alone);
  expect(nodes.map(({ rawName }) => rawName)).toEqual(names);
  for (const node of nodes) expect(await gradesOf(node)).toEqual([[GUESSED, 'carved.changed']]);
  const bytes = await nodes[0].bytes!();
  expect((await bytes.read(0, new Uint8Array(512))).length).toBe(1);
  kept.close();
  alone.close();
});

test('salvor scan --carve keeps files in the case, and does nothing twice', async () => {
  const dir = join(root, 'cli');
  const { out, code } = await salvor('scan', image, '--case', dir, '--carve');
  expect(out).toMatch(/2 +PNG picture\n +1 +tar archive/);
  expect(code).toBe(0);
  const listing = await salvor('tree', `${image}/${CARVED}`, '--case', dir);
  for (const one of names) expect(listing.out).toContain(one);
  const below = await salvor('find', `${image}/${CARVED}`, '--case', dir, '--name', '*.tar');
  expect(below.out.trim()).toBe(`${image}/${CARVED}/${names[1]}`);
});

test('in the browser the scan looks for files, the tree shows them, and a search finds them', async () => {
  const served = await new Served().begin([image]);
  try {
    expect((await served.job('list')).state).toBe('done');
    const done = await served.job('scan', { carve: true });
    expect(done.said.at(-1)).toBe('By their content alone 3 files are known; they are below +carved.');
    expect((await served.get<{ files: { carved: boolean }[] }>('/api/case')).files).toMatchObject([{ carved: true }]);
    // The list from before has none of them.
    expect(await served.get('/api/search', { text: '.tar' })).toMatchObject({ rows: [], complete: false });
    expect((await served.job('list')).state).toBe('done');
    const found = await served.get<{ rows: { locator: string }[] }>('/api/search', { text: '.tar', state: 'carved' });
    expect(found.rows.map(({ locator }) => locator)).toEqual([`${image}/${CARVED}/${names[1]}`]);
    const { entries } = await served.get<{ entries: { name: string }[] }>('/api/tree', { parent: image });
    expect(entries.map((entry) => entry.name)).toContain(CARVED);
  } finally {
    await served.end();
  }
});

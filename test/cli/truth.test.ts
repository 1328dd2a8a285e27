/** The whole command line on real datastores, against an answer key that three other readers agree on. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type CorpusFile, type CorpusTruth, corpusAbsent, corpusImage, vmfsTruth } from '../corpus.ts';
import { build, hashed, json } from './salvor.ts';

const KINDS = { dir: 'directory', reg: 'file', symlink: 'symlink', sys: 'system' } as const;

interface Shown {
  readonly name: string;
  readonly locator: string;
  readonly kind: string;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly modified: number;
  readonly changed: number;
  readonly accessed: number;
  readonly target?: string;
  readonly damage: readonly unknown[];
  readonly children?: readonly Shown[];
}

interface Mapped {
  readonly size: number;
  readonly runs: readonly { offset: number; length: number; state: string; evidence?: string; at?: number }[];
}

beforeAll(build);

const reason = corpusAbsent === undefined ? '' : ` (${corpusAbsent})`;
if (corpusAbsent !== undefined) test.skip(`each real datastore${reason}`, () => {});

describe.each(vmfsTruth())('the real $name', (truth) => {
  const image = corpusImage(truth.name)!;
  const below = truth.files.filter((file) => file.path !== '/');

  test('every name, kind, size, mode, owner, link and time is that of the answer key', async () => {
    const root = await json<Shown>('tree', image);
    const shown = new Map(flat(root, '').map(([path, node]) => [path, facts(path, node)]));
    expect([...shown.keys()].sort()).toEqual(below.map((file) => file.path).sort());
    expect([...shown.values()].sort(byPath)).toEqual(below.map(expected).sort(byPath));
  });

  test('ls and stat say the same as tree', async () => {
    const root = await json<Shown>('tree', image);
    for (const [path, node] of flat(root, '')) {
      const { children, ...alone } = node;
      expect(await json(`stat`, `${image}::/${path}`)).toMatchObject(alone);
      if (children === undefined) continue;
      const { entries } = await json<{ entries: Shown[] }>('ls', `${image}::/${path}`);
      expect(entries).toEqual(children);
    }
  });

  test.each(truth.files)('cat gives the bytes of $path, and map leads to them on the image', async (file) => {
    const locator = file.path === '/' ? `${image}::/` : `${image}::/${file.path}`;
    const [read, mapped] = await Promise.all([hashed('cat', locator), json<Mapped>('map', locator)]);
    expect(read).toEqual({ sha256: file.sha256_own, code: 0 });
    expect(mapped.size).toBe(file.size);
    expect(traced(mapped, image)).toBe(file.sha256_own);
  });

  test('find finds each file by its name, and nothing that is damaged', async () => {
    const { matches } = await json<{ matches: Shown[] }>('find', image, '--type', 'file');
    const files = below.filter((file) => file.type === 'reg').map((file) => file.path.split('/').pop());
    expect(matches.map((match) => match.name)).toEqual(files);
    expect(await json('find', image, '--damaged')).toEqual({ matches: [], limited: false });
  });
});

describe.skipIf(corpusAbsent !== undefined)(`the real datastores together${reason}`, () => {
  test('a directory of all three lists the file systems to choose from', async () => {
    const images = vmfsTruth().map((one: CorpusTruth) => corpusImage(one.name)!);
    const { entries } = await json<{ entries: Shown[] }>('ls', ...images);
    expect(entries.map((entry) => entry.locator)).toEqual(images.map((image) => `${image}::vmfs`));
  });
});

function flat(node: Shown, above: string): [string, Shown][] {
  return (node.children ?? []).flatMap((child) => [
    [above + child.name, child],
    ...flat(child, `${above}${child.name}/`),
  ]);
}

function facts(path: string, node: Shown) {
  const { kind, size, mode, uid, gid, links, modified, changed, accessed, target, damage } = node;
  return { path, kind, size, mode, uid, gid, links, modified, changed, accessed, target, damage };
}

function expected(file: CorpusFile): ReturnType<typeof facts> {
  return {
    path: file.path,
    kind: KINDS[file.type],
    size: file.size,
    mode: Number(file.mode) & 0o7777,
    uid: file.uid!,
    gid: file.gid!,
    links: file.linkCount,
    modified: file.mtime!,
    changed: file.ctime!,
    accessed: file.atime!,
    target: file.linkTarget,
    damage: [],
  };
}

function byPath(a: { path: string }, b: { path: string }): number {
  return a.path < b.path ? -1 : 1;
}

/** SHA-256 of a thing read from the raw image by nothing but its map. */
function traced(mapped: Mapped, image: string): string {
  const file = openSync(image, 'r');
  const hash = createHash('sha256');
  let at = 0;
  for (const run of mapped.runs) {
    expect(run.offset).toBe(at);
    for (let done = 0; done < run.length; ) {
      const block = Buffer.alloc(Math.min(1 << 20, run.length - done));
      if (run.state === 'data') {
        expect(run.evidence).toBe(image);
        expect(readSync(file, block, 0, block.length, run.at! + done)).toBe(block.length);
      } else expect(run.state).toBe('zero');
      hash.update(block);
      done += block.length;
    }
    at += run.length;
  }
  closeSync(file);
  expect(at).toBe(mapped.size);
  return hash.digest('hex');
}

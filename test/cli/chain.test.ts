/** salvor chain and --parent, as a person runs them. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { disk } from '../make/disk/content.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { build, hashed, json, salvor } from './salvor.ts';

const MIB = 1024 * 1024;
const id = (n: number): Uint8Array => new Uint8Array(16).fill(n);
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-chain-'));
const at = (name: string): string => path.join(dir, name);

beforeAll(() => {
  build();
  const [base, top] = [disk(1, MIB, 6, 60), disk(2, MIB, 6, 30)];
  fs.writeFileSync(at('base.vdi'), makeVdi({ disk: base, uuid: id(1), modified: id(9) }).bytes);
  fs.writeFileSync(at('now=1.vdi'), makeVdi({ disk: top, type: 4, uuid: id(2), modified: id(8), link: id(7) }).bytes);
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

test('chain tells of a broken link, and prints the option that reads through another parent', async () => {
  const { out, code } = await salvor('chain', dir);
  expect(code).toBe(1);
  expect(out).toMatch(/BROKEN: the parent is not here/);
  const option = /--parent '([^']+)'/.exec(out)![1];
  expect(option).toBe(`${dir}/now%3D1.vdi=${dir}/base.vdi`);
  const chosen = await salvor('chain', dir, '--parent', option);
  expect(chosen.out).toMatch(/chosen with --parent/);
  expect(chosen.out).toMatch(/nothing of it is missing/);
  const [broken, whole] = [
    await hashed('cat', `${at('now=1.vdi')}::vdi`),
    await hashed('cat', `${at('now=1.vdi')}::vdi`, '--parent', option),
  ];
  expect(broken.sha256).not.toBe(whole.sha256);
  expect([broken.code, whole.code]).toEqual([1, 1]);
});

test('chain --json is one document', async () => {
  const { chains } = await json<{ chains: { missing: number; levels: { tie?: { how: string } }[] }[] }>('chain', dir);
  expect(chains.map(({ levels }) => levels.map(({ tie }) => tie?.how))).toEqual([[undefined], ['missing']]);
});

test('what a person got wrong is said', async () => {
  const unused = await salvor('cat', `${at('base.vdi')}::vdi`, '--parent', 'other.vdi=base.vdi', '--count', '1');
  expect(unused.err).toMatch(/was not used: no disk "other.vdi" was opened|unknown option/);
  const gone = await salvor('chain', at('now=1.vdi'), '--parent', 'now%3D1.vdi=gone.vdi');
  expect([gone.code, gone.err]).toEqual([2, expect.stringMatching(/gone.vdi/)]);
  const odd = await salvor('chain', dir, '--parent', 'nothing');
  expect(odd.code).toBe(2);
  const empty = fs.mkdtempSync(path.join(dir, 'empty-'));
  expect((await salvor('chain', empty)).code).toBe(3);
});

/** Commands on the bytes of a disk take an image as the disk that it is, whatever lies on it. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeImages } from '../make/images.ts';
import { small5 } from '../make/stores.ts';
import { build, salvor } from './salvor.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-alone-'));
const at = (name: string): string => path.join(root, name);
let image: string;

beforeAll(async () => {
  build();
  [image] = await writeImages(small5(), root);
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

test('a disk with a file system on it is converted and hashed whole', async () => {
  const size = fs.statSync(image).size;
  const wrote = await salvor('convert', image, at('disk.qcow2'), '--json');
  expect(JSON.parse(wrote.out)).toMatchObject({ size });
  const back = await salvor('convert', at('disk.qcow2'), at('back.raw'));
  expect(back.err).toBe('');
  expect(execFileSync('cmp', [image, at('back.raw')]).toString()).toBe('');
  const hashed = await salvor('hash', image, at('disk.qcow2'), at('back.raw'), '--json');
  const { same, hashes } = JSON.parse(hashed.out);
  expect(same).toBe(true);
  expect(hashes.map((one: { size: number }) => one.size)).toEqual([size, size, size]);
  const cut = ['--at', '1048576', '--length', '4096'];
  const cat = await salvor('cat', at('disk.qcow2'), ...cut);
  expect(cat).toEqual(await salvor('cat', image, ...cut));
  expect(cat.out).toHaveLength(4096);
  const map = JSON.parse((await salvor('map', at('disk.qcow2'), '--json')).out);
  expect(map.size).toBe(size);
  expect((await salvor('nbd', at('disk.qcow2'), '--run', 'true')).code).toBe(0);
});

test('an archive stands for the disk in it, and for none of several', async () => {
  if (!fs.existsSync(at('disk.qcow2'))) await salvor('convert', image, at('disk.qcow2'));
  const tar = (name: string, ...files: string[]): void => {
    execFileSync('tar', ['-C', root, '--format=ustar', '-cf', at(name), ...files]);
  };
  tar('one.ova', 'disk.qcow2');
  const one = await salvor('hash', at('one.ova'), '--json');
  expect(JSON.parse(one.out).hashes[0]).toMatchObject({ size: fs.statSync(image).size });
  fs.copyFileSync(at('disk.qcow2'), at('other.qcow2'));
  tar('two.ova', 'disk.qcow2', 'other.qcow2');
  const two = await salvor('convert', at('two.ova'), at('two.raw'));
  expect(two.code).toBe(2);
  expect(two.err).toContain('There are 2 disks: ');
  expect(two.err).toContain('/other.qcow2');
  fs.writeFileSync(at('none.txt'), 'text');
  tar('none.tar', 'none.txt');
  const none = await salvor('convert', at('none.tar'), at('none.raw'));
  expect(none.code).toBe(2);
  expect(none.err).toContain('No disk is in what was named');
  expect(fs.existsSync(at('none.raw'))).toBe(false);
});

/** Stores over which something new was made, by the programs that people use. */
import { spawnSync } from 'node:child_process';
import { makeStore } from '../../make/stores.ts';
import { type Case, laid, overlay, resize, userFiles } from '../case.ts';
import type { Damage, Group } from '../cell.ts';
import { PATH } from '../place.ts';
import { type Size, store, type Version } from '../store.ts';

const BAR = { bytes: 0.95 };

function run(program: string, ...args: string[]): void {
  const env = { PATH, LC_ALL: 'C', TZ: 'UTC', E2FSPROGS_FAKE_TIME: '1700000000' };
  const done = spawnSync(program, args, { env, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${done.stderr || done.stdout}`);
}

function byProgram(id: string, call: (image: string) => void, foreign: boolean): Damage {
  const make = async (version: Version, size: Size, dir: string, seed: number): Promise<Case> => {
    const one = await laid(store(version, size), dir, seed);
    call(one.images[0]);
    resize(one, 0);
    one.foreign = foreign;
    return one;
  };
  return { id, bar: BAR, make };
}

/** A new datastore with one small file, made over the old one; all of the old one is wanted. */
function newStore(id: string, other: (version: Version) => Version): Damage {
  const make = async (version: Version, size: Size, dir: string, seed: number): Promise<Case> => {
    const one = await laid(store(version, size), dir, seed);
    const old = new Set(one.files.map(({ file }) => file.path));
    const fresh = makeStore(other(version), {
      name: 'fresh',
      seed: seed + 1,
      label: 'fresh',
      time: 1_710_000_000,
      members: [{ pes: 4, wrap: version === 3 ? 'mbr' : 'gpt' }],
      entries: [{ path: '/readme.txt', kind: 'file', content: 'a new datastore\n' }],
    });
    overlay(one, fresh.writes());
    one.files.push(...userFiles(fresh));
    one.wanted = (path) => old.has(path);
    return one;
  };
  return { id, bar: BAR, make };
}

/** A disk that is new to a system, as it looks after its first partition was made. */
function newTable(image: string): void {
  run('sgdisk', '-Z', image);
  run('sgdisk', '-o', '-U', UUID, '-n', '1:0:0', '-u', `1:${UUID}`, image);
}

const UUID = '5a1c0de5-0000-4000-8000-000000000001';

export const formatted: Group = {
  id: '4',
  title: 'Formatted over',
  damages: [
    newStore('same-version', (version) => version),
    newStore('other-version', (version) => (version === 5 ? 6 : 5)),
    byProgram('ntfs', (image) => run('faketime', '-f', '2023-11-14 22:13:20', 'mkntfs', '-q', '-F', '-Q', image), true),
    byProgram(
      'ext4',
      (image) => run('mke2fs', '-q', '-F', '-t', 'ext4', '-U', UUID, '-E', `nodiscard,hash_seed=${UUID}`, image),
      true,
    ),
    byProgram('fresh-gpt', newTable, false),
  ],
};

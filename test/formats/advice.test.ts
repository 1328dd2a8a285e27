/** What is advised is what helps: a host mounts no volume that lacks a header. */
import { expect, test } from 'vitest';
import { adviceIn, diagnose } from '../../src/stack/diagnosis.ts';
import { makeStore } from '../make/stores.ts';
import { opened } from './gone.ts';

const VERSIONS = [3, 5, 6] as const;
const LVM_HEADER = 0x100000;
const FS_HEADER = 0x1100000 + 0x200000;

test.each(VERSIONS)('VMFS%i: a volume is mounted by its name where its headers are there', async (version) => {
  const made = makeStore(version, {
    name: `advice${version}`,
    seed: 5,
    label: 'store',
    members: [{ pes: 1 }],
    entries: [{ path: '/last', kind: 'file', content: 'the newest file\n' }],
  });
  const wiped = { member: 0, at: 0, length: 512, bytes: new Uint8Array(512) };
  const adviceOf = async (...at: readonly number[]): Promise<readonly string[]> => {
    const changes = at.map((one) => ({ ...wiped, at: one }));
    return adviceIn((await diagnose(opened(made, changes))).layers);
  };
  expect(await adviceOf()).toEqual([expect.stringContaining("esxcfg-volume -M 'store'")]);
  expect(await adviceOf(LVM_HEADER)).toEqual([]);
  expect(await adviceOf(FS_HEADER)).toEqual([]);
});

/** Small files of a machine that nothing names any more are known by what they begin with, and logs by how they go on. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { GUESSED } from '../../src/core/run.ts';
import { goesOn, guessOf } from '../../src/formats/filesystem/vmfs/residue-content.ts';
import { home } from '../../src/stack/home.ts';
import type { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { Eraser } from '../make/damage.ts';
import { makeStore } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { below, expectNoLie, opened, runsOf } from './gone.ts';

const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

const XML = `<?xml version="1.0"?>
<Foundry>
<VM>
<VMId type="string">52 0e 3f</VMId>
<vmxPathName type="string">web.vmx</vmxPathName></VM></Foundry>
`;
const HEAD = `2023-11-20T08:11:12.345Z| vmx| I125: Log for VMware ESX pid=2101533 version=7.0.3
2023-11-20T08:11:12.361Z| vmx| I125: DICT --- CONFIGURATION /vmfs/volumes/store/web/web.vmx
`;
const LINE = '2023-11-20T08:12:00.000Z| vcpu-0| I125: Guest: toolsd started\n';
/** Too long for one sub-block of any version. */
const LOG = HEAD + LINE.repeat(1500);
const DESCRIPTOR = `# Disk DescriptorFile
version=3
CID=a1b2c3d4
parentCID=ffffffff
createType="vmfs"
RW 8192 VMFS "web-flat.vmdk"
changeTrackPath="web-ctk.vmdk"
`;

function tracking(): Uint8Array {
  const out = new Uint8Array(40_000);
  out.set([0xa2, 0x72, 0x19, 0xf6, 1]);
  out.set(seeded(7, 39_000).read(0, 39_000), 1000);
  return out;
}

function storeOf(version: Version): Made {
  return makeStore(version, {
    name: `logs${version}`,
    seed: 5,
    members: [{ pes: 2 }],
    entries: [
      { path: '/web', kind: 'directory' },
      { path: '/web/web.vmdk', kind: 'file', content: DESCRIPTOR },
      { path: '/web/web.vmxf', kind: 'file', content: XML },
      { path: '/web/web-ctk.vmdk', kind: 'file', content: tracking() },
      { path: '/web/vmware.log', kind: 'file', content: LOG },
      { path: '/last', kind: 'file', content: 'the newest file\n' },
    ],
  });
}

/** All that is listed of what is gone. */
async function listed(stack: Stack): Promise<Map<string, Node>> {
  const out = new Map([...(await below(stack, '+deleted')), ...(await below(stack, '+orphan'))]);
  const carved = (await stack.child(await home(stack), '+carved'))!;
  for await (const node of stack.children(carved)) out.set(`+carved/${node.rawName}`, node);
  return out;
}

async function textOf(node: Node): Promise<string> {
  const source = await node.bytes!();
  const bytes = new Uint8Array(source.size);
  expect(await source.read(0, bytes)).toEqual([]);
  return Buffer.from(bytes).toString('latin1');
}

test('first bytes tell what a file is that has no name', () => {
  expect(guessOf(Buffer.from(XML))).toMatchObject({ stem: 'web', ending: '.vmxf' });
  expect(guessOf(tracking())).toMatchObject({ stem: undefined, ending: '-ctk.vmdk' });
  expect(guessOf(Buffer.from(DESCRIPTOR))).toMatchObject({ stem: 'web', tracking: 'web-ctk.vmdk' });
  expect(goesOn('... half a li', `ne\n${LINE.repeat(3)}`)).toBe(false);
  expect(goesOn(LINE.slice(0, 30), LINE.slice(30) + LINE.repeat(3))).toBe(true);
  // The next log begins where the one before it ends.
  expect(goesOn(LINE, HEAD + LINE.repeat(3))).toBe(false);
});

test.each(VERSIONS)('VMFS%i: a log and what has no descriptor at all', async (version) => {
  const made = storeOf(version);
  const found = await listed(opened(made, new Eraser(made).directory('/web', 'C').changes()));
  const logs = [...found].filter(([path]) => path.endsWith('.log'));
  expect(logs.map(([path]) => path)).toHaveLength(1);
  const [[path, log]] = logs;
  expect(log.state).toBe(path.startsWith('+carved') ? 'carved' : 'orphan');
  expect(await textOf(log)).toBe(LOG);
  const [runs] = await runsOf(await log.bytes!());
  expect(runs.certainty(0)).toBe(GUESSED);
  for (const node of found.values()) await expectNoLie(node);
  // Inside a descriptor that was cleared nothing of it is left.
  if (version === 3) expect(await textOf([...found].find(([one]) => one.endsWith('web.vmxf'))![1])).toBe(XML);
});

test('VMFS6: pointer blocks of large blocks are known although their pointers are all the same', async () => {
  const size = 400 * 0x100000;
  const ranges = [{ kind: 'data', offset: 0, length: 8 * 0x100000 }] as const;
  const made = makeStore(6, {
    name: 'logs-large',
    seed: 6,
    members: [{ pes: 8 }],
    entries: [{ path: '/big-flat.vmdk', kind: 'file', content: seeded(3, size), ranges, force: 'lfb' }],
  });
  const found = await below(opened(made, new Eraser(made).file('/big-flat.vmdk', 'C').changes()), '+orphan');
  const [node] = found.values();
  const head = new Uint8Array(8 * 0x100000);
  expect(await (await node.bytes!()).read(0, head)).toEqual([]);
  expect(Buffer.compare(head, seeded(3, size).read(0, head.length))).toBe(0);
  await expectNoLie(node);
});

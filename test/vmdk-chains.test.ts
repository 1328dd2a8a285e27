/** Snapshots of VMDK disks, joined: as files beside each other, and inside a datastore. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { flatten } from '../src/core/resolve.ts';
import { CERTAINTY_NAMES, RunList } from '../src/core/run.ts';
import { locate } from '../src/stack/locate.ts';
import { Stack } from '../src/stack/stack.ts';
import { patched } from './make/content.ts';
import { qemu, qemuAbsent, rawDisk } from './make/disks.ts';
import { writeImages } from './make/images.ts';
import { seDelta } from './make/machine/se-delta.ts';
import { machine } from './make/machines.ts';
import { makeStore } from './make/stores.ts';

const MIB = 1024 * 1024;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-chains-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

interface Seen {
  readonly bytes: Uint8Array;
  readonly codes: string[];
  readonly missing: number;
  readonly grades: ReadonlySet<string>;
}

/** The disk at a locator below one of the given files. */
async function seen(given: readonly string[], inner: string, only = false): Promise<Seen> {
  const stack = new Stack(given, { only });
  try {
    const { node } = await locate(stack, inner);
    const source = await node.bytes!();
    const bytes = new Uint8Array(source.size);
    const gaps = await source.read(0, bytes);
    const grades = new Set<string>();
    const list = new RunList();
    for (let at = 0; at < source.size; ) {
      list.clear();
      at = await flatten(source, at, source.size, list);
      for (let i = 0; i < list.n; i++) grades.add(CERTAINTY_NAMES[list.certainty(i)]);
    }
    const missing = gaps.reduce((sum, gap) => sum + gap.length, 0);
    return { bytes, codes: node.damage.map(({ code }) => code), missing, grades };
  } finally {
    stack.close();
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

test.skipIf(qemuAbsent !== undefined)(
  'three snapshots with writes between them are what qemu-img makes of them',
  async () => {
    const at = (name: string): string => path.join(dir, name);
    fs.writeFileSync(at('raw'), rawDisk(24 * MIB, 8));
    qemu('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'vmdk',
      '-o',
      'subformat=twoGbMaxExtentSparse',
      at('raw'),
      at('d.vmdk'),
    ]);
    fs.rmSync(at('raw'));
    let parent = 'd.vmdk';
    for (const n of [1, 2, 3]) {
      const name = `d-00000${n}.vmdk`;
      qemu('qemu-img', ['create', '-q', '-f', 'vmdk', '-b', parent, '-F', 'vmdk', at(name)]);
      const writes = [0, 1, 2, 3].flatMap((i) => [
        '-c',
        `write -q -P ${n * 16 + i} ${(n * 7 + i * 5) * 300}k ${50 + i * 90}k`,
      ]);
      qemu('qemu-io', [...writes, at(name)]);
      parent = name;
    }
    for (const name of ['d.vmdk', 'd-000001.vmdk', 'd-000002.vmdk', 'd-000003.vmdk']) {
      qemu('qemu-img', ['convert', '-O', 'raw', at(name), at('flat')]);
      const found = await seen([at(name)], `${at(name)}::vmdk`);
      expect(found.codes, name).toEqual([]);
      expect([found.missing, same(found.bytes, fs.readFileSync(at('flat')))], name).toEqual([0, true]);
      expect(
        [...found.grades].filter((grade) => grade !== 'stated' && grade !== 'verified'),
        name,
      ).toEqual([]);
    }
    // A base that was written to after the snapshot has another content id: read through, and no more than inferred.
    const text = fs.readFileSync(at('d.vmdk'), 'latin1');
    fs.writeFileSync(at('d.vmdk'), text.replace(/^CID=.*$/m, 'CID=12345678'));
    const changed = await seen([at('d-000003.vmdk')], `${at('d-000003.vmdk')}::vmdk`);
    expect(changed.codes).toEqual(['chain.identity']);
    expect(changed.grades.has('inferred')).toBe(true);
    // A parent that is gone leaves what the layers above hold, and no zeros in its place.
    fs.rmSync(at('d-000001.vmdk'));
    const orphan = await seen([at('d-000003.vmdk')], `${at('d-000003.vmdk')}::vmdk`);
    expect(orphan.codes).toEqual(['chain.parent']);
    expect(orphan.missing).toBeGreaterThan(0);
  },
);

test('snapshots inside a datastore are read as the machine saw them', async () => {
  const made = machine({ name: 'web', seed: 31, disks: [{ bytes: 8 * MIB, fill: 0.5, thin: true }], snapshots: 2 });
  // A third one, of the kind that newer hosts make, on top of those.
  const top = seDelta((8 * MIB) / 512, 12);
  const below = made.entries.find(({ path: name }) => name.endsWith('web-000002.vmdk'))!;
  const cid = /^CID=(\w+)/m.exec(below.content as string)![1];
  const text = `# Disk DescriptorFile\nversion=1\nCID=0badcafe\nparentCID=${cid}\ncreateType="seSparse"\nparentFileNameHint="web-000002.vmdk"\n# Extent description\nRW ${(8 * MIB) / 512} SESPARSE "web-000003-sesparse.vmdk"\n\n# The Disk Data Base\n#DDB\n\nddb.grain = "8"\n`;
  const folder = below.path.replace(/[^/]*$/, '');
  const entries = [
    ...made.entries,
    { path: `${folder}web-000003.vmdk`, kind: 'file' as const, mode: 0o600, content: text },
    { path: `${folder}web-000003-sesparse.vmdk`, kind: 'file' as const, mode: 0o600, content: top.bytes },
  ];
  const store = makeStore(6, { seed: 6, members: [{ pes: 16 }], entries });
  await writeImages(store, dir);
  const [image] = fs.readdirSync(dir).map((name) => path.join(dir, name));
  const levels = [...made.disks[0].levels, patched(made.disks[0].levels.at(-1)!, top.patches)];
  const names = ['web.vmdk', 'web-000001.vmdk', 'web-000002.vmdk', 'web-000003.vmdk'];
  for (const [i, name] of names.entries()) {
    const found = await seen([image], `${image}::vmfs/web/${name}::vmdk`);
    const expected = levels[i].read(0, levels[i].size);
    expect(found.codes, name).toEqual([]);
    expect([found.missing, same(found.bytes, expected)], name).toEqual([0, true]);
  }
  // A delta alone is its own layer: what it does not hold is missing, not zeros.
  const alone = await seen([image], `${image}::vmfs/web/web-000001-delta.vmdk::vmdk`);
  expect(alone.missing).toBeGreaterThan(6 * MIB);
});

test('disks that were never written to are told apart by name', async () => {
  const text = (id: string, parent: string, hint: string, extent: string): string =>
    `# Disk DescriptorFile\nversion=1\nCID=${id}\nparentCID=${parent}\ncreateType="custom"\n${hint}# Extent description\n${extent}\n`;
  fs.writeFileSync(path.join(dir, 'other.vmdk'), text('fffffffe', 'ffffffff', '', 'RW 8 ZERO'));
  const child = path.join(dir, 'c.vmdk');
  fs.writeFileSync(child, text('1', 'fffffffe', 'parentFileNameHint="base.vmdk"\n', 'RW 8 VMFSSPARSE "c-delta.vmdk"'));
  const delta = new Uint8Array(5 * 512);
  const view = new DataView(delta.buffer);
  delta.set(Buffer.from('COWD'));
  for (const [i, word] of [1, 3, 8, 1, 4, 1, 5].entries()) view.setUint32(4 + i * 4, word, true);
  fs.writeFileSync(path.join(dir, 'c-delta.vmdk'), delta);
  const lost = await seen([child], `${child}::vmdk`);
  expect([lost.codes, lost.missing]).toEqual([['chain.parent'], 4096]);
  fs.writeFileSync(path.join(dir, 'base.vmdk'), text('fffffffe', 'ffffffff', '', 'RW 8 ZERO'));
  const torn = path.join(dir, 'torn.vmdk');
  fs.writeFileSync(torn, text('2', 'ffffffff', 'parentFileNameHint="base.vmdk"\n', 'RW 8 VMFSSPARSE "c-delta.vmdk"'));
  const doubted = await seen([torn], `${torn}::vmdk`);
  expect([doubted.codes, doubted.missing, [...doubted.grades]]).toEqual([['chain.identity'], 0, ['inferred']]);
  const found = await seen([child], `${child}::vmdk`);
  expect([found.codes, found.missing]).toEqual([[], 0]);
  // Where its text is lost, what stands in its place is not the disk's bytes: nothing is read as zeros behind their end.
  fs.writeFileSync(path.join(dir, 'base.vmdk'), new Uint8Array(546).fill(0xee));
  const blind = await seen([child], `${child}::vmdk`);
  expect([blind.codes, blind.missing, [...blind.grades]]).toEqual([['chain.parent'], 4096, ['missing']]);
});

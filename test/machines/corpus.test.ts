/** Configurations that real programs wrote, and what others read in them: libvirt's own answers, and plain XML readers. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dashed, hardDisks, type MachineModel, scsiOf } from '../../src/core/machine.ts';
import type { Node } from '../../src/core/node.ts';
import { machinesIn } from '../../src/stack/bootable.ts';
import { Stack } from '../../src/stack/stack.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus');
const absent = existsSync(join(CORPUS, 'images.tar.gz')) ? undefined : `${CORPUS} is not there`;

interface Entry {
  readonly id: string;
  readonly topic: string;
  readonly path: string;
  readonly notes: string;
  // biome-ignore lint/suspicious/noExplicitAny: the answer key has a shape of its own for each topic.
  readonly expected: any;
}

const entries: Entry[] =
  absent === undefined ? JSON.parse(readFileSync(join(CORPUS, 'manifest.json'), 'utf8')).entries : [];
const of = (topic: string): Entry[] => entries.filter((one) => one.topic === topic);
let dir = '';

beforeAll(() => {
  if (absent !== undefined) return;
  dir = mkdtempSync(join(tmpdir(), 'salvor-config-'));
  const args = ['-xzf', join(CORPUS, 'images.tar.gz'), '-C', dir, '--wildcards', 'config/*'];
  expect(spawnSync('tar', args).status).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function opened<T>(path: string, use: (node: Node | undefined, stack: Stack) => T | Promise<T>): Promise<T> {
  const stack = new Stack([join(dir, path)], { only: true });
  try {
    return await use(await stack.inside(stack.roots[0]), stack);
  } finally {
    stack.close();
  }
}

async function modelOf(path: string): Promise<MachineModel> {
  return opened(path, (node) => {
    expect(node?.machines, path).toHaveLength(1);
    return node!.machines![0];
  });
}

const base = (file: string): string =>
  file
    .split(/[\\/\]]/)
    .pop()!
    .trim();

/** What libvirt says of a machine, and Salvor of the same: without what only one of them tells. */
function comparable(model: MachineModel) {
  return {
    uuid: model.uuid?.value,
    memory: model.memory?.value,
    processors: model.processors?.value,
    firmware: model.firmware.value,
    disks: model.disks
      .filter(({ device }) => device !== 'floppy')
      .map(
        ({ device, bus, controller, unit, file }) =>
          `${device} ${bus}${controller}:${unit} ${device === 'disk' ? base(file) : ''}`,
      )
      .sort(),
    scsi: model.controllers
      .filter(({ bus, number, model: m }) => m && model.disks.some((d) => d.bus === bus && d.controller === number))
      .map(({ number, model: m }) => `${number} ${m!.value}`)
      .sort(),
    cards: model.cards.map(({ model: m, mac, link, network }) => ({
      model: m?.value,
      mac: mac?.value,
      link,
      network: network?.value,
    })),
    serials: model.serials.length,
  };
}

test.skipIf(absent !== undefined)('.vmx and what libvirt makes of it are the same machine', async () => {
  let compared = 0;
  for (const { path, expected } of of('config-vmx').filter((one) => one.expected.libvirt !== undefined)) {
    const [own, answer] = [await modelOf(path), await modelOf(path.replace(/vmx$/, 'xml'))];
    expect(own.name.value, path).toBe(answer.name.value);
    expect(comparable(own), path).toEqual(comparable(answer));
    const { libvirt } = expected;
    expect(own.memory!.value / 1024, path).toBe(Number(libvirt.memory));
    if (own.uuid !== undefined) expect(dashed(own.uuid.value)).toBe(libvirt.uuid);
    compared++;
  }
  expect(compared).toBeGreaterThanOrEqual(38);
});

test.skipIf(absent !== undefined)(
  'what libvirt refuses for a disk that is not there lacks that disk here',
  async () => {
    const refused = of('config-vmx').filter((one) => one.expected.libvirt === undefined);
    expect(refused.map(({ id }) => id)).toEqual([
      'vmx-libvirt-harddisk-ide-file-missing-datastore',
      'vmx-libvirt-harddisk-scsi-file-missing-file',
    ]);
    for (const { path, expected } of refused) {
      await opened(path, async (_, stack) => {
        const [machine] = await machinesIn(stack, undefined);
        expect(machine.disks[0].file).toBe(expected.vmdk_files[0]);
        expect(machine.disks[0].broken).toMatch(/is named by .* and missing$/);
      });
    }
  },
);

test.skipIf(absent !== undefined)(
  'every .ovf is read, or it is said what is wrong with it',
  async () => {
    const list = of('config-ovf');
    expect(list).toHaveLength(392);
    let read = 0;
    for (const { path, expected } of list) {
      await opened(path, (node) => {
        if (expected.xml_error !== undefined) {
          // Salvor may read more than a strict reader; it must not do so in silence.
          if (node !== undefined) expect(node.damage.length, path).toBeGreaterThan(0);
          return;
        }
        if (node === undefined) return expect(expected.systems.length, path).toBe(0);
        const models = node.machines!;
        // In the oldest form systems are called contents, which the answer key passes over.
        if (expected.systems.length === 0) {
          if (models.length > 0) expect(readFileSync(join(dir, path), 'utf8')).toMatch(/<(ovf:)?Content /);
          else expect(node.damage.length, path).toBeGreaterThan(0);
          return;
        }
        expect(
          models.map(({ name }) => name.value),
          path,
        ).toEqual(expected.systems.map((one: { name: string | null; id: string | null }) => one.name ?? one.id ?? ''));
        for (const [i, { hostresources }] of expected.systems.entries()) {
          // Of two with the same id the first one counts, so it comes last here.
          const files = new Map(expected.files.toReversed().map((f: { id: string; href: string }) => [f.id, f.href]));
          const disks = new Map(
            expected.disks.toReversed().map((d: { diskId: string; fileRef: string }) => [d.diskId, d.fileRef]),
          );
          const wanted = (hostresources as (string | null)[]).flatMap((resource) => {
            const name = resource ?? '';
            const [kind, id] = name
              .replace(/^ovf:/, '')
              .split('/')
              .filter((part) => part !== '');
            const file = files.get(kind === 'disk' ? disks.get(id) : id) as string | undefined;
            return file === undefined ? [] : [base(file.replace(/%20/g, ' '))];
          });
          const had = models[i].disks
            .filter(({ file }) => file !== '')
            .map(({ file }) => Buffer.from(file, 'latin1').toString('utf8'));
          for (const name of had) expect(wanted, path).toContain(name);
          if (hardDisks(models[i]).some(({ file }) => file !== '')) read++;
        }
      });
    }
    expect(read).toBeGreaterThan(250);
  },
  60_000,
);

test.skipIf(absent !== undefined)('every .vbox is read with its media, its chains and its snapshots', async () => {
  const list = of('config-vbox');
  expect(list).toHaveLength(5);
  for (const { path, expected } of list) {
    const model = await modelOf(path);
    expect(model.name.value).toBe(expected.machines[0].name);
    expect(model.snapshots.map(({ name, time }) => `${name} ${time}`).sort()).toEqual(
      expected.snapshots
        .map((s: { name: string; timeStamp: string }) => `${s.name} ${Date.parse(s.timeStamp) / 1000}`)
        .sort(),
    );
    const media = new Map<string, { location: string; parent: string | null }>(
      expected.harddisks.map((one: { uuid: string }) => [one.uuid, one]),
    );
    const current = hardDisks(model);
    expect(current).toHaveLength(2);
    for (const [i, disk] of current.entries()) {
      const chain: string[] = [];
      for (let at: string | null = expected.attached[i].image; at !== null; at = media.get(at)!.parent)
        chain.push(media.get(at)!.location);
      expect([disk.file, ...disk.chain], path).toEqual(chain);
    }
    expect(model).toMatchObject({ firmware: { value: 'bios' }, memory: { value: 192 * 2 ** 20 } });
    expect(model.cards.map(({ mac, model: m }) => [mac?.value, m?.value])).toEqual([['08:00:27:2a:58:9d', 'e1000']]);
  }
});

test('words of all platforms name the same controllers', () => {
  expect(['lsisas1068', 'LsiLogicSas', 'lsilogicsas'].map(scsiOf)).toEqual(['lsisas', 'lsisas', 'lsisas']);
});

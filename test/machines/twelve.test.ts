/** Twelve guests of which only disks are left: firmware, order of disks, system and bus are right on every platform. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MachineModel } from '../../src/core/machine.ts';
import { type MachinePlan, planMachine } from '../../src/export/index.ts';
import { machineWriters } from '../../src/formats/index.ts';
import { disksAlone } from '../../src/stack/bootable.ts';
import { guestOf } from '../../src/stack/guest/index.ts';
import { Stack } from '../../src/stack/stack.ts';
import { ext2progsAbsent } from '../make/ext.ts';
import { linuxGuests, type MadeGuest, Workshop } from '../make/guests.ts';
import { windowsGuests } from '../make/guests-windows.ts';
import { mountAbsent } from '../make/mounted.ts';
import { ntfs3gAbsent } from '../make/ntfs.ts';

const absent =
  ext2progsAbsent ??
  mountAbsent('xfs') ??
  mountAbsent('btrfs') ??
  ntfs3gAbsent ??
  (has('mcopy') ? undefined : 'mtools is not installed');
if (absent !== undefined) console.log(`Guests are not made: ${absent}.`);
const TARGETS = ['kvm', 'virtualbox', 'vmware', 'proxmox'] as const;

function has(command: string): boolean {
  return spawnSync('which', [command]).status === 0;
}

let dir = '';
beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-twelve-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

interface Planned {
  readonly stack: Stack;
  readonly plans: ReadonlyMap<string, MachinePlan>;
}

async function planned(made: MadeGuest, files: readonly string[]): Promise<Planned> {
  const stack = new Stack(
    files.map((name) => join(made.dir, name)),
    { only: true },
  );
  const machine = (await disksAlone(stack, stack.roots))!;
  const guest = await guestOf(stack, machine);
  const plans = TARGETS.map((target) => {
    const writer = machineWriters.find(({ platform }) => platform.target === target)!;
    return [target, planMachine(machine, guest, writer, '/x')] as const;
  });
  expect(guest.hostname?.value, made.name).toBe(made.host);
  return { stack, plans: new Map(plans) };
}

/** What a written configuration says, as its own reader has it. */
async function readAgain({ texts }: MachinePlan): Promise<MachineModel> {
  const folder = fs.mkdtempSync(join(dir, 'again-'));
  fs.writeFileSync(join(folder, texts[0].name), texts[0].text);
  const stack = new Stack([join(folder, texts[0].name)], { only: true });
  const node = await stack.inside(stack.roots[0]);
  expect(node?.damage, texts[0].text).toEqual([]);
  stack.close();
  return node!.machines![0];
}

const noVirsh = has('virsh') ? undefined : 'virsh is not installed';
if (noVirsh !== undefined) console.log(`Domains are not defined: ${noVirsh}.`);

/** libvirt itself takes it. */
function defined({ texts }: MachinePlan): void {
  if (noVirsh !== undefined) return;
  const file = join(dir, 'domain.xml');
  fs.writeFileSync(file, texts[0].text);
  const done = spawnSync('virsh', ['-c', 'test:///default', 'define', '--validate', file], { encoding: 'utf8' });
  expect(done.status, done.stderr).toBe(0);
}

function permutations(files: readonly string[]): string[][] {
  if (files.length < 2) return [[...files]];
  return files.flatMap((one) => permutations(files.filter((other) => other !== one)).map((rest) => [one, ...rest]));
}

const makers = [...linuxGuests, ...windowsGuests];

describe.skipIf(absent !== undefined)('from disks alone', () => {
  test.each(makers.map((make, i) => [i + 1, make] as const))('guest %i', async (_, make) => {
    const made = make(new Workshop(fs.mkdtempSync(join(dir, 'guest-'))));
    for (const files of permutations(made.files)) {
      const { stack, plans } = await planned(made, files);
      for (const target of TARGETS) {
        const plan = plans.get(target)!;
        const [word, storage] = made[target];
        const got = {
          firmware: plan.target.firmware,
          order: plan.disks.map(({ node }) => node.name),
          guest: plan.target.guest,
          storage: plan.target.storage,
          localTime: plan.target.localTime,
        };
        const { firmware, order, localTime = false } = made;
        expect(got, `${made.name} on ${target}, given as ${files.join(' ')}`).toEqual({
          firmware,
          order,
          guest: word,
          storage,
          localTime,
        });
        // Every disk says why it stands where it does.
        const reasons = plan.target.decisions
          .filter(({ what }) => what.startsWith('disk '))
          .map(({ reason }) => reason);
        if (files.length > 1) expect(reasons.slice(1).join()).not.toContain('nothing says');
        const model = await readAgain(plan);
        expect(model.firmware.value).toBe(firmware);
        if (target === 'kvm') defined(plan);
        const read = model.disks.filter(({ device }) => device === 'disk').map((one) => one.file.split('/').pop());
        expect(model.cards.map(({ mac }) => mac?.value)).toEqual(made.macs ?? [undefined]);
        expect(read).toEqual(plan.target.disks.map(({ file }) => file));
      }
      stack.close();
    }
  });
});

/** Configurations of which parts cannot be read, or which are larger than any machine: what is said of that. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { data, missing, segments } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { ovf } from '../../src/formats/machine/ovf.ts';
import { vbox } from '../../src/formats/machine/vbox.ts';
import { vmx } from '../../src/formats/machine/vmx.ts';
import { cxOf } from '../formats/judged.ts';

/** A text with a hole that could not be read. */
function torn(text: string, at: number, length: number): Source {
  const whole = new MemorySource(Buffer.from(text));
  return segments([
    data(whole, 0, at, STATED),
    missing(length, { what: 'test', code: 'dead-sector' }),
    data(whole, at + length, text.length - at - length, STATED),
  ]);
}

const VMX = 'config.version = "8"\nvirtualHW.version = "19"\ndisplayName = "web"\nmemSize = "512"\n';

test('a list of snapshots that cannot be read whole is said, and leaves the configuration stated', async () => {
  const vmsd = `snapshot.numSnapshots = "2"\nsnapshot0.uid = "1"\nsnapshot0.displayName = "a"\nsnapshot1.uid = "2"\n`;
  const opened = await vmx.open!(
    new MemorySource(Buffer.from(VMX)),
    cxOf('m.vmx', { 'm.vmsd': torn(vmsd, vmsd.length - 20, 12) }),
  );
  expect(opened.damage).toMatchObject([{ code: 'vmx.snapshots', actual: expect.stringContaining('12 (0xc) bytes') }]);
  expect(opened.machines![0]).toMatchObject({ memory: { certainty: STATED }, snapshots: [{ id: '1', name: 'a' }] });
  const long = new MemorySource(Buffer.from(vmsd + '# more\n'.repeat(200_000)));
  const cut = await vmx.open!(new MemorySource(Buffer.from(VMX)), cxOf('m.vmx', { 'm.vmsd': long }));
  expect(cut.damage).toMatchObject([{ code: 'vmx.snapshots', actual: expect.stringContaining('more than the') }]);
});

const ENVELOPE = '<Envelope><VirtualSystem id="a"><VirtualHardwareSection/></VirtualSystem></Envelope>';
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');

test('hashes of an appliance that cannot be read whole are said', async () => {
  const list = `SHA256(a.ovf)= ${sha(ENVELOPE)}\nSHA256(a.vmdk)= ${sha('x')}\n`;
  const opened = await ovf.open!(
    new MemorySource(Buffer.from(ENVELOPE)),
    cxOf('a.ovf', { 'a.mf': torn(list, list.length - 30, 4) }),
  );
  expect(opened.damage).toMatchObject([{ code: 'ovf.manifest', actual: expect.stringContaining('dead-sector') }]);
  expect(opened.notices).toContain('its manifest agrees with the description (SHA256)');
  expect(opened.machines![0].name).toMatchObject({ value: 'a', certainty: STATED });
});

test('the hash of a description is not reckoned of more than is read of one, nor after a stop', async () => {
  const begin = Buffer.from(ENVELOPE);
  let asked = 0;
  const endless = new MemorySource([{ at: 0, bytes: begin }], 2 ** 40);
  const counted: Source = {
    size: endless.size,
    read: (at, into) => {
      asked += into.length;
      return endless.read(at, into);
    },
    runs: (from, end, out) => endless.runs(from, end, out),
  };
  const list = new MemorySource(Buffer.from(`SHA256(a.ovf)= ${sha(ENVELOPE)}\n`));
  const opened = await ovf.open!(counted, cxOf('a.ovf', { 'a.mf': list }));
  expect(asked).toBeLessThan(16 * 2 ** 20);
  expect(opened.damage.map(({ code }) => code)).not.toContain('ovf.manifest');
  const stopped = { ...cxOf('a.ovf', { 'a.mf': list }), signal: AbortSignal.abort() };
  expect((await ovf.open!(new MemorySource(begin), stopped)).damage).toEqual([]);
});

test('an appliance gives each disk no more parents than a chain may have, and says so', async () => {
  const count = 1000;
  const files = Array.from({ length: count }, (_, i) => `<File id="f${i}" href="d${i}.vmdk"/>`);
  const disks = Array.from(
    { length: count },
    (_, i) => `<Disk diskId="d${i}" fileRef="f${i}" parentRef="d${(i + 1) % count}"/>`,
  );
  const items = Array.from(
    { length: 500 },
    (_, i) =>
      `<Item><ResourceType>${i % 2 === 0 ? 17 : 21}</ResourceType><HostResource>/disk/d${i}</HostResource></Item>`,
  );
  const system = `<VirtualSystem id="a"><Machine><Hardware><Firmware type="EFI"/></Hardware></Machine><VirtualHardwareSection>${items.join('')}</VirtualHardwareSection></VirtualSystem>`;
  const text = `<Envelope><References>${files.join('')}</References><DiskSection>${disks.join('')}</DiskSection>${system.repeat(200)}</Envelope>`;
  const opened = await ovf.open!(new MemorySource(Buffer.from(text)), cxOf('a.ovf', {}));
  const [first] = opened.machines!;
  expect(Math.max(...first.disks.map(({ chain }) => chain.length))).toBe(256);
  expect(opened.machines!.at(-1)!.disks[3].chain).toBe(opened.machines![0].disks[3].chain);
  expect(first.serials).toHaveLength(64);
  expect(first.firmware).toMatchObject({ value: 'efi', from: 'vbox:Machine/Hardware/Firmware' });
  expect(opened.damage.map(({ code }) => code)).toContain('ovf.parent');
});

test('of very many snapshots of VirtualBox the first are read, and it is said that there are more', async () => {
  const id = (i: number): string => `{00000000-0000-0000-0000-${String(i + 1).padStart(12, '0')}}`;
  const list = Array.from({ length: 40_000 }, (_, i) => `<Snapshot uuid="${id(i)}" name="${i}"/>`).join('');
  const text = `<VirtualBox><Machine name="m"><Hardware/>${list}</Machine></VirtualBox>`;
  const opened = await vbox.open!(new MemorySource(Buffer.from(text)), cxOf('m.vbox', {}));
  expect(opened.machines![0].snapshots).toHaveLength(2048);
  expect(opened.damage.map(({ code }) => code)).toEqual(['vbox.snapshots']);
});

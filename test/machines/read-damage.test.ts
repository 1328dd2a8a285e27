/** Configurations of which parts cannot be read, or which are larger than any machine: what is said of that. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { data, missing, segments } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { ovf } from '../../src/formats/machine/ovf.ts';
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

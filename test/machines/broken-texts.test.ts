/** Configurations that were cut off, saved in other characters, encrypted or lost: what is read of them, and what is said. */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatSizes, parseLog } from '../../src/formats/machine/log.ts';
import { machinesIn } from '../../src/stack/bootable.ts';
import type { Machine } from '../../src/stack/machines.ts';
import { Stack } from '../../src/stack/stack.ts';

const VMX = `.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "Büro|22 srv"
guestOS = "windows2019srv-64"
firmware = "efi"
memSize = "8192"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "srv.vmdk"
scsi0:1.present = "TRUE"
scsi0:1.fileName = "srv_1.vmdk"
`;

async function machine(bytes: Uint8Array, others: Readonly<Record<string, string>> = {}): Promise<Machine | undefined> {
  const more = Object.entries(others).map(([name, text]) => ({ name, source: new MemorySource(Buffer.from(text)) }));
  const stack = new Stack([{ name: 'srv.vmx', source: new MemorySource(bytes) }, ...more]);
  const [first] = await machinesIn(stack, undefined);
  stack.close();
  return first;
}

const codes = (node: Node): string[] => node.damage.map(({ code }) => code);

test('a .vmx that is cut off at any byte says so, and names no disk that it did not name', async () => {
  const whole = Buffer.from(VMX);
  for (let length = 0; length < whole.length; length++) {
    const found = await machine(whole.subarray(0, length));
    if (found === undefined) continue;
    for (const { file } of found.model.disks) expect(['', 'srv.vmdk', 'srv_1.vmdk'], `${length}`).toContain(file);
    const isBetween = whole[length - 1] === 0x0a || whole[length] === 0x0a;
    if (!isBetween) expect(codes(found.node), `${length}`).toContain('vmx.text');
    if (codes(found.node).length > 0) expect(found.model.name.certainty).toBeLessThan(3);
  }
});

test('a .vmx in UTF-16, with zeros in it, or encrypted', async () => {
  for (const swapped of [false, true]) {
    const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(VMX, 'utf16le')]);
    const found = (await machine(swapped ? wide.swap16() : wide))!;
    expect([found.name, found.model.disks.length]).toEqual(['Büro" srv', 2]);
    expect(found.node.damage[0].actual).toContain('UTF-16, which VMware does not read');
  }
  const holed = Buffer.concat([Buffer.from(VMX.slice(0, 120)), Buffer.alloc(512), Buffer.from(VMX.slice(120))]);
  expect((await machine(holed))!.node.damage[0].actual).toContain('bytes that no such text has');
  const sealed = `.encoding = "UTF-8"\nencryption.keySafe = "vmware:key/list/(x)"\nencryption.data = "QQ=="\ndisplayName = "secret"\n`;
  const { model, node } = (await machine(Buffer.from(sealed)))!;
  expect(node.notices!.join()).toContain('encrypted');
  expect([model.memory, model.processors]).toEqual([undefined, undefined]);
  expect(model.firmware.from).toContain('outside of its encryption');
});

test('a .vmsd that is cut off, and one whose snapshots are each other’s parents', async () => {
  const vmsd = [
    '.encoding = "UTF-8"',
    'snapshot.numSnapshots = "2"',
    'snapshot.current = "2"',
    ...[1, 2].flatMap((n) => [`snapshot${n - 1}.uid = "${n}"`, `snapshot${n - 1}.parent = "${3 - n}"`]),
    '',
  ].join('\n');
  const looped = (await machine(Buffer.from(VMX), { 'srv.vmsd': vmsd }))!;
  expect(looped.model.snapshots.map(({ id, parent }) => [id, parent])).toEqual([
    ['1', '2'],
    ['2', '1'],
  ]);
  expect(codes(looped.node)).toEqual([]);
  const torn = (await machine(Buffer.from(VMX), { 'srv.vmsd': vmsd.slice(0, -8) }))!;
  expect(codes(torn.node)).toEqual(['vmx.snapshots']);
});

test('dumps in logs of every age are read: with values in quotes and without, paths of both kinds', () => {
  const heads = [
    'Jan 24 23:13:15.438: vmx| ',
    '2013-02-11T09:12:30.123Z| vmx| ',
    '2014-08-01T09:12:30.123Z| vmx| I120: ',
    '2019-08-01T09:12:30.123Z| vmx| I125: ',
    '2023-08-01T09:12:30.123Z In(05) vmx - ',
    '2024-08-01T09:12:30.123Z In(05) vmx ',
  ];
  for (const head of heads)
    for (const quote of ['"', '']) {
      const log = [
        'DICT --- GLOBAL SETTINGS C:\\ProgramData\\VMware\\settings.ini ',
        'DICT          displayName = none of the machine',
        'DICT --- CONFIGURATION C:\\VMs\\srv\\srv.vmx ',
        `DICT       config.version = ${quote}8${quote}`,
        `DICT          displayName = ${quote}Old server (2)${quote}`,
        `DICT     scsi0:0.fileName = ${quote}srv-000001.vmdk${quote}`,
        `DICT     annotation = ${quote}${quote}`,
        'DICT --- USER DEFAULTS ',
        'DICT              memsize = 1',
        "DISKLIB-LINK  : Opened 'C:\\VMs\\srv\\srv-000001.vmdk' (0xa): twoGbMaxExtentSparse, 100 sectors / 0 MB.",
        "DISKLIB-LINK  : Opened 'C:\\VMs\\srv\\srv.vmdk' (0xe): vmfs, 4096 sectors / 2 MB.",
        '',
      ];
      const text = log.map((line) => (line === '' ? '' : head + line)).join('\r\n');
      const { dump, parents } = parseLog(text);
      expect(dump?.whole, head).toBe(true);
      expect(dump && [...dump.values]).toEqual([
        ['config.version', '8'],
        ['displayname', 'Old server (2)'],
        ['scsi0:0.filename', 'srv-000001.vmdk'],
        ['annotation', ''],
      ]);
      expect([...parents]).toEqual([['srv-000001.vmdk', 'srv.vmdk']]);
      expect([...flatSizes(text)]).toEqual([['srv-flat.vmdk', 2 * 1024 * 1024]]);
    }
});

test('a .conf of Proxmox that is cut off in a line, or ends in zeros, is in doubt', async () => {
  const conf = 'memory: 4096\nname: web\nscsi0: local-lvm:vm-100-disk-0,size=8G\n';
  const read = async (text: string): Promise<Machine> => {
    const stack = new Stack([{ name: '100.conf', source: new MemorySource(Buffer.from(text)) }]);
    const [found] = await machinesIn(stack, undefined);
    stack.close();
    return found;
  };
  expect(codes((await read(conf)).node)).toEqual([]);
  for (const torn of [conf.slice(0, -3), conf.slice(0, -12), `${conf}${'\0'.repeat(40)}`]) {
    const { node, model } = await read(torn);
    expect(codes(node)).toEqual(['proxmox.torn']);
    expect(model.disks[0].file === '' || model.name.certainty < 3).toBe(true);
  }
});

test('texts of hardly anything but blanks are read at once', async () => {
  const blanks = ' '.repeat(900_000);
  const before = performance.now();
  const found = (await machine(Buffer.from(`${VMX}annotation = "${blanks}x"\n`)))!;
  expect(found.model.disks.length).toBe(2);
  parseLog(`vmx| DICT --- CONFIGURATION\nvmx| DICT a = ${blanks}x\nvmx| DICT b = "${blanks}x"${blanks}\n`);
  const conf = Buffer.from(`name: x\nscsi0: local:100/x.raw\ndescription: a${blanks}x\n`);
  const stack = new Stack([{ name: '100.conf', source: new MemorySource(conf) }]);
  await machinesIn(stack, undefined);
  stack.close();
  expect(performance.now() - before).toBeLessThan(5000);
});

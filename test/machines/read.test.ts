/** Configurations of all platforms as texts: what is read in them, and that none of them does harm. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Damage, sentence } from '../../src/core/damage.ts';
import type { MachineModel } from '../../src/core/machine.ts';
import type { Node } from '../../src/core/node.ts';
import { bootable, machinesIn } from '../../src/stack/bootable.ts';
import { locate } from '../../src/stack/locate.ts';
import type { Machine } from '../../src/stack/machines.ts';
import { Stack } from '../../src/stack/stack.ts';
import { pack } from '../make/archive/tar.ts';
import { missing } from '../make/check/peers.ts';
import { ext2progsAbsent, makeExt } from '../make/ext.ts';
import { makeLvm2 } from '../make/lvm2.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'salvor-machines-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let folders = 0;
/** A new folder with these files. */
function folder(files: Readonly<Record<string, string | Uint8Array>>): string {
  const name = join(dir, String(folders++));
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(name, file)), { recursive: true });
    writeFileSync(join(name, file), content);
  }
  return name;
}

async function node(name: string, content: string | Uint8Array, others: Record<string, string | Uint8Array> = {}) {
  const stack = new Stack([join(folder({ [name]: content, ...others }), name)]);
  const opened = await stack.inside(stack.roots[0]);
  return opened as Node;
}

async function model(name: string, content: string | Uint8Array, others = {}): Promise<MachineModel> {
  return (await node(name, content, others)).machines![0];
}

async function machines(files: Readonly<Record<string, string | Uint8Array>>): Promise<Machine[]> {
  return machinesIn(new Stack([folder(files)]), undefined);
}

const VMX = ['config.version = "8"', 'virtualHW.version = "19"', 'guestOS = "debian11-64"'];

test('.vmx: code pages, escapes, the last of several keys, and snapshots beside it', async () => {
  const lines = ['.encoding = "windows-1252"', ...VMX, 'displayName = "M\xfcller |22x|22"', 'memSize = "512"'];
  lines.push('scsi0:0.fileName = "M\xfcller.vmdk"', 'scsi0:0.present = "TRUE"', 'MEMSIZE = "1024"', 'firmware = "efi"');
  const vmsd = [
    'snapshot.lastUID = "2"',
    'snapshot.numSnapshots = "1"',
    'snapshot.current = "1"',
    'snapshot0.uid = "1"',
    'snapshot0.displayName = "before"',
    'snapshot0.createTimeHigh = "377230"',
    'snapshot0.createTimeLow = "-1"',
    'snapshot0.numDisks = "1"',
    'snapshot0.disk0.fileName = "M.vmdk"',
    'snapshot0.disk0.node = "scsi0:0"',
  ];
  const opened = await node('m.vmx', Buffer.from(lines.join('\n'), 'latin1'), { 'm.vmsd': vmsd.join('\n') });
  expect(opened.machines![0]).toMatchObject({
    name: { value: 'Müller "x"', from: 'displayName' },
    memory: { value: 1024 * 2 ** 20 },
    firmware: { value: 'efi' },
    disks: [{ slot: 'scsi0:0', file: Buffer.from('Müller.vmdk').toString('latin1'), bus: 'scsi' }],
    snapshots: [{ id: '1', name: 'before', current: true, time: Math.floor((377230 * 2 ** 32 + 2 ** 32 - 1) / 1e6) }],
  });
  expect(opened.notices?.join()).toContain('memsize stands there 2 times, with 2 values; the last one was taken');
});

test('an encrypted .vmx says so', async () => {
  const opened = await node('e.vmx', [...VMX, 'encryption.keySafe = "vmware:key/list/x"'].join('\n'));
  expect(opened.notices?.join()).toContain('encrypted');
});

const DOMAIN = `<domain type='kvm'>
  <name>web01</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
  <memory unit='GiB'>2</memory><vcpu>4</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <firmware><feature enabled='yes' name='secure-boot'/></firmware></os>
  <clock offset='localtime'/>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/web01.snap'/>
      <backingStore type='file'><format type='qcow2'/><source file='/var/lib/libvirt/images/web01.qcow2'/></backingStore>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/data'/><target dev='sdb' bus='scsi'/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <interface type='bridge'><mac address='52:54:00:AA:BB:CC'/><source bridge='br0'/><model type='virtio'/></interface>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm><serial type='pty'/>
  </devices>
</domain>`;
const UUID = '11111111222233334444555555555555';

test('libvirt: a domain, and what is known of it at a snapshot where its own file is gone', async () => {
  expect(await model('web01.xml', DOMAIN)).toMatchObject({
    name: { value: 'web01', certainty: 3 },
    uuid: { value: UUID },
    memory: { value: 2 * 2 ** 30 },
    processors: { value: 4 },
    firmware: { value: 'efi' },
    secureBoot: { value: true },
    board: { value: 'q35' },
    localTime: { value: true },
    tpm: { value: '2.0' },
    disks: [
      { slot: 'vda', bus: 'virtio', unit: 0, format: 'qcow2', chain: ['/var/lib/libvirt/images/web01.qcow2'] },
      { slot: 'sdb', bus: 'scsi', unit: 1, file: '/dev/vg/data' },
    ],
    cards: [{ mac: { value: '52:54:00:aa:bb:cc' }, model: { value: 'virtio' }, network: { value: 'br0' } }],
  });
  const state = `<domainsnapshot><name>s1</name><creationTime>1700000000</creationTime>${DOMAIN}</domainsnapshot>`;
  const alone = await machines({ 's1.xml': state });
  expect(alone.map(({ name, model: m }) => [name, m.copy])).toEqual([['web01', 'its state at the snapshot "s1"']]);
  expect(alone[0].model.snapshots).toMatchObject([{ name: 's1', time: 1_700_000_000 }]);
  const both = await machines({ 's1.xml': state, 'web01.xml': DOMAIN });
  expect(both.map(({ model: m }) => m.copy)).toEqual([undefined]);
  expect(await machines({ 'pom.xml': '<project><domain>x</domain></project>' })).toEqual([]);
});

test('disks are found by their base names, and never above what was given', async () => {
  const [machine] = await machines({ 'web01.xml': DOMAIN, 'web01.snap': Buffer.alloc(4096, 1) });
  expect(machine.disks[0].chain.map((n) => n.rawName)).toEqual(['web01.snap']);
  const evil = DOMAIN.replace('/var/lib/libvirt/images/web01.snap', '../../../../../../etc/passwd');
  const [hostile] = await machines({ 'web01.xml': evil });
  expect(hostile.disks[0].chain).toEqual([]);
  expect(hostile.disks[0].broken).toContain('missing');
});

const VBOX = `<?xml version="1.0"?><VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">
<Machine uuid="{${'a'.repeat(8)}-1111-2222-3333-444444444444}" name="win" OSType="Windows10_64">
<MediaRegistry><HardDisks><HardDisk uuid="{00000000-0000-0000-0000-000000000001}" location="C:\\VMs\\win\\win.vdi" format="VDI"/></HardDisks></MediaRegistry>
<Hardware><CPU count="2"/><Memory RAMSize="4096"/><Firmware type="EFI"/><Chipset type="ICH9"/><RTC localOrUTC="local"/>
<Network><Adapter slot="0" enabled="true" MACAddress="080027AABBCC" type="82540EM"><NAT/></Adapter></Network>
<StorageControllers><StorageController name="SATA" type="AHCI"><AttachedDevice type="HardDisk" port="1" device="0">
<Image uuid="{00000000-0000-0000-0000-000000000001}"/></AttachedDevice><AttachedDevice type="HardDisk" port="0" device="0">
<Image uuid="{00000000-0000-0000-0000-000000000002}"/></AttachedDevice></StorageController></StorageControllers>
</Hardware></Machine></VirtualBox>`;

test('VirtualBox: storage inside the hardware, a medium that no registry has, the settings before the last change', async () => {
  const opened = await node('win.vbox', VBOX);
  expect(opened.machines![0]).toMatchObject({
    firmware: { value: 'efi' },
    family: { value: 'windows' },
    disks: [
      { slot: 'SATA 1:0', bus: 'sata', unit: 1, file: 'C:\\VMs\\win\\win.vdi' },
      { unit: 0, file: '' },
    ],
    cards: [{ mac: { value: '08:00:27:aa:bb:cc' }, link: 'nat' }],
  });
  expect(opened.damage.map(sentence).join()).toContain('uuid:00000000000000000000000000000002 at SATA 0:0 in none');
  expect(opened.notices?.join()).toMatch(
    /^it names disks by full paths \(C:.*win\.vdi\): VirtualBox looks for them there/,
  );
  const relative = await node('win.vbox', VBOX.replace('C:\\VMs\\win\\win.vdi', 'win.vdi'));
  expect(relative.notices).toEqual([]);
  const both = await machines({ 'win.vbox': VBOX, 'win.vbox-prev': VBOX });
  expect(both.map(({ config }) => config.name)).toEqual(['win.vbox']);
  const [previous] = await machines({ 'win.vbox-prev': VBOX, 'win.vbox': VBOX.slice(0, 150), 'win.vdi': 'x' });
  expect(previous.model.copy).toBe('its settings before the last change');
  expect(previous.disks[0].chain.map((n) => n.rawName)).toEqual(['win.vdi']);
});

test.skipIf(missing('qemu-img') !== undefined)(
  'VirtualBox: a disk that was renamed, or that no registry lists, is known by what it says of itself',
  async () => {
    const place = folder({ 'win.vbox': VBOX, 'Snapshots/note.txt': 'x' });
    const file = join(place, 'Snapshots', 'elsewhere.vdi');
    expect(spawnSync('qemu-img', ['create', '-q', '-f', 'vdi', file, '4M']).status).toBe(0);
    const stack = new Stack([file]);
    const own = (await stack.inside(stack.roots[0]))!.identities![0].slice('uuid:'.length);
    const text = VBOX.replaceAll('00000000-0000-0000-0000-000000000002', own);
    writeFileSync(join(place, 'win.vbox'), text);
    const [machine] = await machinesIn(new Stack([place]), undefined);
    expect(machine.disks.map(({ chain }) => chain[0]?.rawName)).toEqual([undefined, 'elsewhere.vdi']);
    expect(machine.disks[0].broken).toContain('win.vdi');
  },
);

const CONF = `#a note
boot: order=scsi1;ide2
bios: ovmf
cores: 2
sockets: 2
efidisk0: local-lvm:vm-102-disk-1,efitype=4m,pre-enrolled-keys=1,size=4M
ide2: none,media=cdrom
memory: 4096
name: mail
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1
ostype: win11
parent: vor
scsi0: local-lvm:vm-102-disk-0,size=32G
scsi1: local:102/vm-102-disk-2.qcow2,size=8G
scsihw: virtio-scsi-single
smbios1: uuid=11111111-2222-3333-4444-555555555555
tpmstate0: local-lvm:vm-102-disk-3,size=4M,version=v2.0

[vor]
memory: 2048
scsi0: local-lvm:vm-102-disk-0,size=32G
scsihw: lsi
snaptime: 1700000000
`;

test('Proxmox: its words, and what its snapshots were', async () => {
  expect(await model('102.conf', CONF)).toMatchObject({
    name: { value: 'mail' },
    firmware: { value: 'efi' },
    secureBoot: { value: true },
    processors: { value: 4 },
    memory: { value: 4096 * 2 ** 20 },
    family: { value: 'windows' },
    tpm: { value: '2.0' },
    disks: [
      { slot: 'scsi1', file: '102/vm-102-disk-2.qcow2', controller: 1, unit: 0 },
      { slot: 'ide2', device: 'cdrom', file: '' },
      { slot: 'scsi0', file: 'vm-102-disk-0' },
    ],
    cards: [{ mac: { value: 'bc:24:11:00:00:01' }, model: { value: 'virtio' }, network: { value: 'vmbr0' } }],
    snapshots: [{ name: 'vor', current: true, time: 1_700_000_000, disks: [{ slot: 'scsi0', file: 'vm-102-disk-0' }] }],
  });
  const [machine] = await machines({
    '102.conf': CONF,
    'vm-102-disk-0.raw': Buffer.alloc(512),
    'vm-102-disk-2.qcow2': 'x',
  });
  expect(machine.disks.map(({ chain }) => chain[0]?.rawName)).toEqual(['vm-102-disk-2.qcow2', 'vm-102-disk-0.raw']);
  expect(
    await machines({ 'sshd.conf': 'Port: 22\nname: x\nmemory: 1\n', 'resolv.conf': 'nameserver 1.1.1.1\n' }),
  ).toEqual([]);
});

function ovf(disk: string): string {
  return `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="r">
<References><File ovf:id="f1" ovf:href="${disk}"/></References><DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="1"/></DiskSection>
<VirtualSystem ovf:id="app"><Info/><VirtualHardwareSection><Info/>
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>5</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>`;
}
const sha = (data: string | Uint8Array, how = 'sha256'): string => createHash(how).update(data).digest('hex');

test('OVF and OVA: the manifest tells what was changed', async () => {
  const text = ovf('a.vmdk');
  const disk = Buffer.alloc(5000, 7);
  const list = `SHA256(a.ovf)= ${sha(text)}\nSHA1(a.vmdk)= ${sha(disk, 'sha1')}\nSHA512(b.iso)= ${sha('x', 'sha512')}\n`;
  const opened = await node('a.ovf', text, { 'a.mf': list, 'a.vmdk': disk, 'b.iso': 'y' });
  expect(opened.notices).toContain('its manifest agrees with the description (SHA256)');
  expect(opened.damage).toEqual([]);
  const found: Damage[] = [];
  for await (const one of opened.check!(new AbortController().signal)) found.push(one);
  expect(found.map(({ expected, actual }) => [expected.slice(-8), actual])).toEqual([['of b.iso', sha('y', 'sha512')]]);
  const changed = await node('a.ovf', `${text} `, { 'a.mf': list });
  expect(changed.damage).toMatchObject([{ code: 'ovf.manifest', actual: sha(`${text} `) }]);
  const archive = pack([
    { name: 'a.ovf', bytes: Buffer.from(text) },
    { name: 'a.mf', bytes: Buffer.from(list) },
    { name: 'a.vmdk', bytes: disk },
  ]);
  const [machine] = await machines({ 'a.ova': archive });
  expect(machine.model.disks).toMatchObject([{ bus: 'scsi', controller: 0, unit: 0, file: 'a.vmdk' }]);
  expect(machine.disks[0].chain[0].locator).toMatch(/a\.ova::tar\/a\.vmdk$/);
});

test('disks that are nothing but bytes: an image, a file inside a file system, a logical volume', async () => {
  const part = new Uint8Array(2 ** 20).fill(65);
  const xml = DOMAIN.replace('web01.snap', 'web01.img').replaceAll("type='qcow2'", "type='raw'");
  const conf = 'name: mail\nmemory: 512\nscsi0: local-lvm:vm-102-disk-0,size=1M\n';
  const [pv] = makeLvm2(4, 1, [{ name: 'vm-102-disk-0', type: 'linear', content: part, on: [0] }]);
  const cases: [string, Stack, RegExp][] = [
    ['image', new Stack([folder({ 'web01.xml': xml, 'web01.img': part })]), /web01\.img$/],
    [
      'volume',
      new Stack([join(folder({ '102.conf': conf }), '102.conf'), join(folder({ 'pv.img': pv }), 'pv.img')]),
      /vm-102-disk-0$/,
    ],
  ];
  if (ext2progsAbsent === undefined) {
    const from = folder({ 'etc/libvirt/qemu/web01.xml': xml, 'var/lib/libvirt/images/web01.img': part });
    makeExt(join(dir, 'host.img'), '8M', from, ['-t', 'ext4']);
    cases.push(['file', new Stack([join(dir, 'host.img')], { only: true }), /images\/web01\.img::@0$/]);
  }
  for (const [what, stack, locator] of cases) {
    const [machine] = await machinesIn(stack, undefined);
    const { disks } = await bootable(stack, machine);
    expect(
      disks.map(({ node: disk }) => disk.locator),
      what,
    ).toEqual([expect.stringMatching(locator)]);
    const got = new Uint8Array(4096);
    expect(await disks[0].source.read(8192, got)).toEqual([]);
    expect(
      got.every((byte) => byte === 65),
      what,
    ).toBe(true);
    expect((await locate(stack, disks[0].node.locator)).node.facts.size, what).toBe(part.length);
    stack.close();
  }
});

test('a descriptor that is torn is no disk of its own bytes', async () => {
  const vmx = [...VMX, 'scsi0:0.fileName = "a.vmdk"', 'scsi0:0.present = "TRUE"'].join('\n');
  const stack = new Stack([folder({ 'a.vmx': vmx, 'a.vmdk': '# Disk Desc' })]);
  const [machine] = await machinesIn(stack, undefined);
  const { disks, lost } = await bootable(stack, machine);
  expect([disks.length, lost.length]).toEqual([0, 1]);
});

const deep = (n: number): string => `<domain type='kvm'>${'<a>'.repeat(n)}${'</a>'.repeat(n)}</domain>`;
const HOSTILE: Record<string, string> = {
  'deep.xml': deep(200_000),
  'bomb.xml': `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><domain type='kvm'><name>&b;</name></domain>`,
  'file.xml': `<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><domain type='kvm'><name>&a;</name></domain>`,
  'wide.xml': `<domain type='kvm'><devices>${"<disk device='disk'/>".repeat(199_000)}</devices></domain>`,
  'many.xml': `<domain type='kvm'><devices>${'<disk/>'.repeat(300_000)}</devices></domain>`,
  'torn.xml': DOMAIN.slice(0, 900),
  'proto.xml': `<domain type='kvm'><__proto__ x='1'/><constructor/><name>p</name></domain>`,
  'counts.xml': `<domain type='kvm'><name>c</name><vcpu>99999999999999</vcpu><memory>999999999999999</memory></domain>`,
  'close.xml': `<domain type='kvm'></a></b></c>`,
  'empty.vbox': '<VirtualBox>',
  'loop.vbox': VBOX.replace(
    '</HardDisks>',
    '<HardDisk uuid="{00000000-0000-0000-0000-000000000002}" location="../../../etc/shadow"><HardDisk uuid="{00000000-0000-0000-0000-000000000002}"/></HardDisk></HardDisks>',
  ),
  'null.ovf': `<Envelope>${'\0'.repeat(1000)}`,
  'path.ovf': ovf('../../../../etc/passwd'),
  'huge.conf': `memory: 99999999999999999999\ncores: 0\nscsi99: a:b\nname: x\nnet0: virtio=zz\n`.repeat(2000),
  'huge.vmx': [...VMX, ...Array.from({ length: 9000 }, (_, i) => `scsi${i % 99}:${i}.fileName = "x.vmdk"`)].join('\n'),
};

test.each(Object.keys(HOSTILE))('hostile: %s', async (name) => {
  const begun = performance.now();
  const opened = await node(name, HOSTILE[name]);
  const [first] = opened?.machines ?? [];
  if (/^(deep|bomb|file|many|torn|close|empty|null)/.test(name))
    expect(opened.damage.map(sentence).join()).toMatch(/xml/);
  if (/^(bomb|file|deep|many|empty|null)/.test(name)) expect(first).toBeUndefined();
  if (name === 'torn.xml')
    expect(first).toMatchObject({ name: { value: 'web01', certainty: 2 }, memory: { value: 2 ** 31, certainty: 2 } });
  if (name === 'proto.xml') expect(opened.damage.length).toBeGreaterThan(0);
  if (name === 'counts.xml') expect([first.processors, first.memory]).toEqual([undefined, undefined]);
  expect(first?.disks.length ?? 0).toBeLessThanOrEqual(1024);
  for (const disk of first?.disks ?? []) {
    const [machine] = await machines({ [name]: HOSTILE[name].slice(0, 100_000) });
    for (const { chain } of machine?.disks ?? []) expect(chain.map((n) => n.locator).join()).not.toMatch(/\/etc\//);
    if (disk !== undefined) break;
  }
  expect(performance.now() - begun).toBeLessThan(5000);
});

test.skipIf(missing('qemu-img') !== undefined)('a lost .vmx gets the name that a .vmxf says it had', async () => {
  const vmxf = (name: string): string =>
    `<?xml version="1.0"?>\n<Foundry>\n<VM>\n<VMId type="string">52 1c 96 94</VMId>\n<vmxPathName type="string">${name}</vmxPathName></VM></Foundry>\n`;
  for (const [said, name] of [
    ['mail server.vmx', 'mail server.vmx'],
    ['../../etc/mail.vmx', 'old.vmx'],
  ]) {
    const place = folder({ 'old.vmxf': vmxf(said) });
    expect(
      spawnSync('qemu-img', [
        'create',
        '-q',
        '-f',
        'vmdk',
        '-o',
        'subformat=monolithicFlat',
        join(place, 'mail.vmdk'),
        '4M',
      ]).status,
    ).toBe(0);
    // As qemu writes it, without a zero at the start: that is no fault of the descriptor.
    const descriptor = join(place, 'mail.vmdk');
    writeFileSync(descriptor, readFileSync(descriptor, 'latin1').replace(/^CID=.*$/m, 'CID=3598414'), 'latin1');
    const machines = await machinesIn(new Stack([place]), undefined);
    expect(machines.map(({ config }) => config.rawName)).toEqual([name]);
    expect(machines[0].disks[0].chain[0].rawName).toBe('mail.vmdk');
  }
});

import { createHash } from 'node:crypto';
import { slice } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { VERIFIED } from '../../src/core/run.ts';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { vmfs } from '../../src/formats/filesystem/vmfs/index.ts';
import { FS_HEADER_AT, fsHeader } from '../../src/formats/filesystem/vmfs/structs.ts';
import { vmx } from '../../src/formats/machine/vmx.ts';
import { entryStruct, gpt, header } from '../../src/formats/volume/gpt.ts';
import { bootRecord, mbr, entryStruct as mbrEntry } from '../../src/formats/volume/mbr.ts';
import { vmfsLvm } from '../../src/formats/volume/vmfs-lvm/index.ts';
import * as lvm from '../../src/formats/volume/vmfs-lvm/structs.ts';
import { machine } from '../make/machines.ts';
import { small3, small5, small6 } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { checkFormat, type Fixture } from '../suites/check-format.ts';
import { evidenceOf } from './stores.ts';

const text = (value: string): MemorySource => new MemorySource(Buffer.from(value));
const disk = (made: Made): Fixture => ({ name: made.name, source: evidenceOf(made)[0].source });
const partition = (made: Made): Fixture => {
  const { partitionStart, partitionBytes } = made.truth.members[0];
  const whole = disk(made);
  return { name: `${made.name} partition`, source: slice(whole.source, partitionStart, partitionBytes, VERIFIED) };
};
const volume = (made: Made): Fixture => {
  const { partitionStart } = made.truth.members[0];
  const source = slice(disk(made).source, partitionStart + 0x1100000, made.truth.volumeSize, VERIFIED);
  return { name: `${made.name} volume`, source };
};

const onMbr = small3({ members: [{ pes: 4, wrap: 'mbr' }] });
const onGpt = small5({ members: [{ pes: 4, wrap: 'gpt' }] });
const six = small6();

const content = (made: ReturnType<typeof machine>, path: string): Uint8Array => {
  const entry = made.entries.find((e) => e.path.endsWith(path))!;
  const { content: given } = entry;
  if (typeof given === 'string') return Buffer.from(given);
  return given instanceof Uint8Array ? given : given!.read(0, given!.size);
};
const web = machine({ name: 'web', seed: 5, disks: [{ bytes: 8 * 0x100000, fill: 0.5, partitioned: true }] });
const flat = content(web, 'web-flat.vmdk');
const descriptor: Fixture = {
  name: 'web.vmdk',
  source: new MemorySource(content(web, 'web.vmdk')),
  siblings: { 'web-flat.vmdk': new MemorySource(flat) },
  sha256: createHash('sha256').update(flat).digest('hex'),
};
const pieces: Fixture = {
  name: 'pieces.vmdk',
  source: text(
    '# Disk DescriptorFile\r\nversion=1\r\nCID=fffffffe\r\nparentCID=ffffffff\r\ncreateType="custom"\r\n' +
      'RW 4 FLAT "a.bin" 1\r\nRW 2 ZERO\r\nRDONLY 3 FLAT "a.bin" 0\r\n',
  ),
  siblings: { 'a.bin': new MemorySource(flat.subarray(0, 4096)) },
  sha256: createHash('sha256')
    .update(flat.subarray(512, 5 * 512))
    .update(new Uint8Array(1024))
    .update(flat.subarray(0, 3 * 512))
    .digest('hex'),
};
const config: Fixture = { name: 'web.vmx', source: new MemorySource(content(web, 'web.vmx')) };
const prose: Fixture = { name: 'prose', source: text('Dear reader,\nthis = "not a machine".\n'.repeat(40)) };
const nothing: Fixture = { name: 'nothing', source: new MemorySource(new Uint8Array(0)) };
const zeros: Fixture = { name: 'zeros', source: new MemorySource([], 64 * 0x100000) };
const plain = [prose, nothing, zeros];

checkFormat(mbr, {
  fixtures: [{ ...disk(onMbr), children: ['p1'] }],
  others: [...plain, partition(six), descriptor, config],
  tables: [
    { at: 0, table: bootRecord },
    { at: 446, table: mbrEntry },
  ],
});
checkFormat(gpt, {
  fixtures: [{ ...disk(onGpt), children: ['p1'] }],
  others: [...plain, disk(onMbr), partition(six), descriptor, config],
  tables: [
    { at: 512, table: header },
    { at: 1024, table: entryStruct },
  ],
});
checkFormat(vmfsLvm, {
  fixtures: [partition(onMbr), partition(onGpt), partition(six)],
  others: [...plain, disk(onGpt), volume(six), descriptor, config],
  tables: [
    { at: lvm.HEADER_AT, table: lvm.deviceHeader },
    { at: lvm.HEADER_AT + 512, table: lvm.volumeDescriptor },
    { at: lvm.HEADER_AT + 4096, table: lvm.volumeDescriptor },
    { at: 0x180600, table: lvm.peEntry },
    { at: 0x182000, table: lvm.peEntry },
  ],
});
checkFormat(vmfs, {
  fixtures: [volume(onMbr), volume(onGpt), volume(six)],
  others: [...plain, disk(onGpt), partition(six), descriptor, config],
  tables: [{ at: FS_HEADER_AT, table: fsHeader }],
});
checkFormat(vmdk, { fixtures: [descriptor, pieces], others: [...plain, disk(onGpt), config], tables: [] });
checkFormat(vmx, { fixtures: [config], others: [...plain, disk(onGpt), descriptor], tables: [] });

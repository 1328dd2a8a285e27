/** .vmx: the configuration that makes files a virtual machine. Source: vmconfig.md section 1. */
import { type KeyValues, parseKeyValues } from '../../codec/keyvalue.ts';
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { type DiskReference, NotThis } from '../../core/node.ts';
import { readText } from '../text.ts';
import { hardwareOf } from './hardware.ts';
import { mender } from './mend.ts';
import { isMachine } from './sources.ts';

const MOST = 1024 * 1024;
const SLOT = /^((?:scsi|sata|nvme|ide)\d+:\d+)\.filename$/;

export const vmx: Format = {
  id: 'vmx',
  layer: 'machine',
  title: 'VMware machine configuration',
  spec: 'vmconfig.md section 1',
  gaps: [
    'Texts in encodings other than UTF-8 keep their raw bytes in names.',
    'Lists of snapshots (.vmsd) are read, and not made anew.',
  ],
  names: ['.vmx', '.vmtx'],
  mender,
  async probe(source) {
    if (source.size === 0 || source.size > MOST) return 0;
    return isMachine(parseKeyValues((await readText(source, MOST)).raw)) ? 90 : 0;
  },
  async open(source, cx) {
    const text = await readText(source, MOST);
    const values = parseKeyValues(text.raw);
    if (!isMachine(values)) throw new NotThis('no config.version, guestOS or virtualHW.version in it');
    const rawName = values.get('displayname') ?? '';
    const effect = 'settings that stood there are not known';
    return {
      name: printable(rawName),
      rawName,
      locator: cx.self,
      kind: 'machine',
      state: 'live',
      format: vmx.title,
      facts: { size: source.size, details: details(values) },
      damage: text.gaps.map((gap) => cx.damage(gap.offset, 'vmx.unreadable', 'readable text', gap.code, effect)),
      disks: disksOf(values),
      hardware: hardwareOf(values),
    };
  },
};

function details(values: KeyValues): Record<string, string | number> {
  const value = (key: string): string => printable(values.get(key.toLowerCase()) ?? '');
  return {
    guestOS: value('guestOS'),
    memory: `${value('memSize') || '32'} MiB`,
    processors: Number(value('numvcpus') || 1),
    firmware: value('firmware') || 'bios',
    hardware: value('virtualHW.version'),
  };
}

/** The disks that are present, in the order of their slots. CD-ROMs are none. */
function disksOf(values: KeyValues): DiskReference[] {
  const out: DiskReference[] = [];
  for (const [key, file] of values) {
    const slot = SLOT.exec(key)?.[1];
    if (slot === undefined || file === '') continue;
    const absent = values.get(`${slot}.present`)?.toLowerCase() === 'false';
    const type = (values.get(`${slot}.devicetype`) ?? '').toLowerCase();
    const isDisk = !type.includes('cdrom') && /\.vmdk$/i.test(file);
    if (!absent && isDisk) out.push({ slot, file });
  }
  return out.sort((a, b) => a.slot.localeCompare(b.slot, 'en', { numeric: true }));
}

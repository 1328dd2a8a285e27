import { dice } from '../content.ts';

/** One level of a disk's chain: the flat base or a snapshot's delta. */
export interface Level {
  descriptor: string;
  extent: string;
  cid: string;
  parent?: Level;
}

/** A disk as the texts need it. */
export interface ChainText {
  node: string;
  sectors: number;
  thin: boolean;
  levels: Level[];
}

/** Eight hex digits from a seed. */
export function hex8(seed: number): string {
  return (dice(seed)(0xffffffff) >>> 0).toString(16).padStart(8, '0');
}

function lines(list: readonly string[]): string {
  return `${list.join('\n')}\n`;
}

/** Geometry rule of vmdk.md 10.1 for SCSI disks. */
function geometry(sectors: number): [number, number, number] {
  const gib = 2 * 1024 * 1024;
  const [heads, perTrack] = sectors < gib ? [64, 32] : sectors <= 2 * gib ? [128, 32] : [255, 63];
  return [Math.min(65535, Math.floor(sectors / (heads * perTrack))), heads, perTrack];
}

/** Disk descriptor; "# Extent description" stands right above the extent line (the trap in vmdk.md 2). */
export function descriptorText(disk: ChainText, level: Level): string {
  const child = level.parent !== undefined;
  const head = [
    '# Disk DescriptorFile',
    'version=1',
    'encoding="UTF-8"',
    `CID=${level.cid}`,
    `parentCID=${level.parent?.cid ?? 'ffffffff'}`,
    'isNativeSnapshot="no"',
    `createType="${child ? 'vmfsSparse' : 'vmfs'}"`,
  ];
  if (level.parent !== undefined) head.push(`parentFileNameHint="${level.parent.descriptor}"`);
  head.push('# Extent description', `RW ${disk.sectors} ${child ? 'VMFSSPARSE' : 'VMFS'} "${level.extent}"`, '');
  const long = `ddb.longContentID = "${hex8(1)}${hex8(2)}${hex8(3)}${level.cid}"`;
  if (child) return lines([...head, '# The Disk Data Base', '#DDB', '', long]);
  const [cylinders, heads, perTrack] = geometry(disk.sectors);
  const ddb = ['ddb.adapterType = "lsilogic"', `ddb.geometry.cylinders = "${cylinders}"`];
  ddb.push(`ddb.geometry.heads = "${heads}"`, `ddb.geometry.sectors = "${perTrack}"`, long);
  if (disk.thin) ddb.push('ddb.thinProvisioned = "1"');
  ddb.push(`ddb.uuid = "60 00 C2 9${level.cid[0]} ${pairs(`${level.cid}${hex8(7)}${hex8(8)}`)}"`);
  return lines([...head, '# The Disk Data Base', '#DDB', '', ...ddb, 'ddb.virtualHWVersion = "13"']);
}

function pairs(hex: string): string {
  const bytes = hex.match(/../g)!;
  return `${bytes.slice(0, 4).join(' ')}-${bytes.slice(4, 12).join(' ')}`;
}

function uuid(seed: number): string {
  const hex = `564d${hex8(seed ^ 1)}${hex8(seed ^ 2)}${hex8(seed ^ 3)}${hex8(seed ^ 4)}`.slice(0, 32);
  const bytes = hex.match(/../g)!;
  return `${bytes.slice(0, 8).join(' ')}-${bytes.slice(8).join(' ')}`;
}

/** What the .vmx and the log say about a machine. */
export interface MachineText {
  name: string;
  seed: number;
  disks: ChainText[];
  snapshots: number;
  time: number;
}

function settings(m: MachineText): [string, string][] {
  const bridges = [0, 4, 5, 6, 7].flatMap((n): [string, string][] =>
    n === 0
      ? [['pciBridge0.present', 'TRUE']]
      : [
          [`pciBridge${n}.present`, 'TRUE'],
          [`pciBridge${n}.virtualDev`, 'pcieRootPort'],
          [`pciBridge${n}.functions`, '8'],
        ],
  );
  const disks = m.disks.flatMap((d): [string, string][] => [
    [`${d.node}.fileName`, d.levels.at(-1)!.descriptor],
    [`${d.node}.deviceType`, 'scsi-hardDisk'],
    [`${d.node}.present`, 'TRUE'],
  ]);
  const mac = hex8(m.seed ^ 9).match(/../g)!;
  return [
    ['.encoding', 'UTF-8'],
    ['config.version', '8'],
    ['virtualHW.version', '13'],
    ['nvram', `${m.name}.nvram`],
    ...bridges,
    ['vmci0.present', 'TRUE'],
    ['hpet0.present', 'TRUE'],
    ['displayName', m.name],
    ['guestOS', 'windows9srv-64'],
    ['memSize', '4096'],
    ['numvcpus', '2'],
    ['scsi0.virtualDev', 'lsisas1068'],
    ['scsi0.present', 'TRUE'],
    ...disks,
    ['ethernet0.virtualDev', 'vmxnet3'],
    ['ethernet0.networkName', 'VM Network'],
    ['ethernet0.addressType', 'generated'],
    ['ethernet0.generatedAddress', `00:0c:29:${mac.slice(0, 3).join(':')}`],
    ['ethernet0.present', 'TRUE'],
    ['floppy0.present', 'FALSE'],
    ['uuid.bios', uuid(m.seed)],
    ['uuid.location', uuid(m.seed)],
    ['extendedConfigFile', `${m.name}.vmxf`],
  ];
}

/** Escapes of .vmx values (vmconfig.md 1). */
function escaped(value: string): string {
  return value.replace(/[|"\n]/g, (c) => `|${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** The .vmx. */
export function vmxText(m: MachineText): string {
  return lines(settings(m).map(([key, value]) => `${key} = "${escaped(value)}"`));
}

/** The .vmsd: each snapshot names the descriptor that was active before it (vmconfig.md 1). */
export function vmsdText(m: MachineText): string {
  if (m.snapshots === 0) return '.encoding = "UTF-8"\n';
  const out = ['.encoding = "UTF-8"', `snapshot.lastUID = "${m.snapshots}"`, `snapshot.current = "${m.snapshots}"`];
  for (let s = 0; s < m.snapshots; s++) {
    const micro = BigInt(m.time + 3600 * s) * 1_000_000n;
    out.push(`snapshot${s}.uid = "${s + 1}"`, `snapshot${s}.filename = "${m.name}-Snapshot${s + 1}.vmsn"`);
    if (s > 0) out.push(`snapshot${s}.parent = "${s}"`);
    out.push(`snapshot${s}.displayName = "before update ${s + 1}"`, `snapshot${s}.description = ""`);
    out.push(`snapshot${s}.createTimeHigh = "${micro >> 32n}"`);
    out.push(
      `snapshot${s}.createTimeLow = "${BigInt.asIntN(32, micro)}"`,
      `snapshot${s}.numDisks = "${m.disks.length}"`,
    );
    for (const [d, disk] of m.disks.entries()) {
      out.push(`snapshot${s}.disk${d}.fileName = "${disk.levels[s]!.descriptor}"`);
      out.push(`snapshot${s}.disk${d}.node = "${disk.node}"`);
    }
  }
  return lines([...out, `snapshot.numSnapshots = "${m.snapshots}"`]);
}

/** A vmware.log with the dump of the configuration and the chains that were opened (vmdk.md 9). */
export function logText(m: MachineText): string {
  const stamp = `${new Date(m.time * 1000).toISOString().slice(0, 23)}Z| vmx| I125: `;
  const out = [
    'Log for VMware ESX pid=68211 version=6.5.0 build=build-5969303 option=Release',
    'DICT --- CONFIGURATION',
  ];
  for (const [key, value] of settings(m)) out.push(`DICT ${key.padStart(26)} = "${escaped(value)}"`);
  for (const disk of m.disks) {
    for (const [i, level] of [...disk.levels.entries()].reverse()) {
      const size = i === 0 ? disk.sectors * 512 : 0;
      out.push(
        `DISKLIB-VMFS  : "${level.extent}" : open successful (10) size = ${size}, hd = 0. Type ${i === 0 ? 3 : 8}`,
      );
      const type = i === 0 ? 'vmfs' : 'vmfsSparse';
      const half = `${disk.sectors} sectors / ${(disk.sectors / 2097152).toFixed(1)} GB`;
      out.push(`DISKLIB-DSCPTR: Opened [0]: "${level.extent}" (0xe)`);
      out.push(`DISKLIB-LINK  : Opened '${level.descriptor}' (0xe): ${type}, ${half}.`);
    }
  }
  return lines(out.map((line) => stamp + line));
}

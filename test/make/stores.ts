import { exactly, seeded } from './content.ts';
import { type MachineSpec, machineEntries } from './machines.ts';
import type { Content, Made } from './types.ts';
import {
  type EntrySpec,
  type MemberSpec,
  makeVmfs3,
  makeVmfs5,
  makeVmfs6,
  type Range,
  type StoreSpec,
} from './vmfs.ts';

const MIB = 0x100000;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const LFB = 512 * MIB;

type Version = 3 | 5 | 6;

const MAKERS = { 3: makeVmfs3, 5: makeVmfs5, 6: makeVmfs6 } as const;

/** Makes a store of the given version. */
export function makeStore(version: Version, spec: StoreSpec): Made {
  return MAKERS[version](spec);
}

/** Names that have broken other tools, and one that is not UTF-8 (0xE9 is é in Latin-1). */
function awkward(): EntrySpec[] {
  const names = [
    'Büro Zürich',
    'ファイル サーバー',
    '+deleted',
    '100% voll',
    'a::b',
    'x@4096',
    'q'.repeat(127),
    ' leading blank',
    'tab\there',
  ];
  const list = names.map(
    (name, i): EntrySpec => ({ path: `/names/${name}`, kind: 'file', content: seeded(900 + i, 300 + i * 400) }),
  );
  const raw = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x2e, 0x76, 0x6d, 0x78);
  const path = `/names/${new TextDecoder().decode(raw)}`;
  return [...list, { path, rawName: raw, kind: 'file', content: exactly('latin\n') }];
}

/** Thirty names whose hashes fall into one bucket of a VMFS6 directory: three chained link groups. */
const SAME_BUCKET = [
  0, 7416, 50436, 58050, 77663, 84194, 115626, 117037, 144207, 186909, 213517, 228384, 244693, 279466, 298226, 311751,
  318358, 351126, 468297, 486817, 495246, 501535, 517005, 519039, 532027, 532533, 543956, 546764, 559665, 580082,
];

function range(kind: Range['kind'], from: number, to: number, unit: number): Range {
  return { offset: from * unit, length: (to - from) * unit, kind };
}

/** One of every kind of file; `unit` is the file block size. */
function everyKind(version: Version, unit: number): EntrySpec[] {
  const six = version === 6;
  const file = (path: string, size: number, more: Partial<EntrySpec> = {}): EntrySpec => ({
    path: `/kinds/${path}`,
    kind: 'file',
    content: seeded(size + path.length, size),
    ...more,
  });
  const list: EntrySpec[] = [
    file('empty', 0),
    file('one-byte', 1),
    file('inline-limit', six ? 3584 : 1024),
    file('above-inline', six ? 3585 : 1025),
    file('sub-block', six ? 65536 : version === 5 ? 8192 : 65536),
    file('above-sub-block', 65537),
    file('blocks', 3 * unit + 77),
    file('block-exact', 2 * unit),
    file('holes', 7 * unit + 9, {
      ranges: [
        range('hole', 0, 2, unit),
        range('data', 2, 3, unit),
        range('hole', 3, 6, unit),
        { offset: 6 * unit, length: unit + 9, kind: 'data' },
      ],
    }),
    file('all-hole', 5 * unit, { ranges: [range('hole', 0, 5, unit)] }),
    file('tbz', 6 * unit, { ranges: [range('data', 0, 2, unit), range('tbz', 2, 5, unit), range('data', 5, 6, unit)] }),
    file('all-tbz', 3 * unit, { ranges: [range('tbz', 0, 3, unit)] }),
    file('indirect', 9 * unit + 1, { force: 'indirect' }),
    file('indirect-holes', 2100 * unit, {
      force: 'indirect',
      ranges: [range('data', 1, 3, unit), range('tbz', 1023, 1025, unit), range('data', 2099, 2100, unit)],
    }),
    file('cow', 3 * unit, { force: 'cow' }),
    file('wrapped', 24 * unit, { place: 'wrap' }),
    { path: '/kinds/link', kind: 'symlink', target: 'blocks' },
    { path: '/kinds/long-link', kind: 'symlink', target: `../${'deep/'.repeat(50)}end` },
    { path: '/kinds/lun-rdm.vmdk', kind: 'rdm', size: 40 * GIB },
    { path: '/kinds/folder', kind: 'directory' },
    { path: '/kinds/folder/sub', kind: 'directory' },
  ];
  for (const i of SAME_BUCKET)
    list.push({ path: `/kinds/collisions/same bucket ${i}.log`, kind: 'file', content: `${i}\n` });
  list.push({ path: '/kinds/folder-in-blocks', kind: 'directory', force: 'direct' });
  for (let i = 0; i < 40; i++)
    list.push({ path: `/kinds/folder-in-blocks/${i}`, kind: 'file', content: `in blocks ${i}\n` });
  for (let i = 0; i < 150; i++) list.push({ path: `/kinds/folder/entry ${i}`, kind: 'file', content: `entry ${i}\n` });
  if (version === 3) return list;
  list.push(file('pb2', 4 * unit, { force: 'pb2' }));
  list.push(
    file('double', 614_400 * unit, {
      force: 'double',
      ranges: [range('data', 0, 1, unit), range('data', 400_000, 400_003, unit), range('data', 614_399, 614_400, unit)],
    }),
  );
  if (version === 5)
    list.push(
      file('double-pb', 3072 * unit, {
        force: 'double-pb',
        ranges: [range('data', 5, 7, unit), range('data', 3000, 3001, unit)],
      }),
    );
  if (six) list.push(...largeBlocks(), file('sub-blocks', 200_000, { force: 'sub-blocks' }));
  return list;
}

function largeBlocks(): EntrySpec[] {
  const lfb: EntrySpec = {
    path: '/kinds/lfb',
    kind: 'file',
    content: seeded(77, LFB + 40 * MIB),
    force: 'lfb',
    ranges: [range('data', 0, 8, MIB), range('tbz', 8, 500, MIB), range('data', 500, 516, MIB)],
  };
  const direct: EntrySpec = {
    path: '/kinds/lfb-direct',
    kind: 'file',
    content: largeDirect(),
    force: 'lfb-direct',
    ranges: [{ offset: 0, length: LFB + 100 * MIB + 5, kind: 'data' }],
  };
  return [lfb, direct];
}

/** Two large blocks, each written only near its start and end: they have no finer map, so zeros lie between. */
function largeDirect(): Content {
  const size = LFB + 100 * MIB + 5;
  const data = seeded(78, size);
  return {
    size,
    read(offset: number, length: number): Uint8Array {
      const out = new Uint8Array(length);
      for (const [from, to] of [
        [0, 4 * MIB],
        [LFB - MIB, LFB + 4 * MIB],
        [LFB + 90 * MIB, size],
      ] as const) {
        const first = Math.max(from, offset);
        const end = Math.min(to, offset + length);
        if (first < end) out.set(data.read(first, end - first), first - offset);
      }
      return out;
    },
  };
}

/** The machine with two disks and two snapshots in small3, small5 and small6; `unit` is the file block size. */
export function smallMachine(version: Version, unit: number = MIB): MachineSpec {
  const disks = [
    { bytes: 48 * MIB, fill: 0.4, thin: true, partitioned: true },
    { bytes: 32 * MIB, fill: 0.6, thin: false, partitioned: 'gpt' as const },
  ];
  return { name: `web0${version}`, seed: 40 + version, disks, snapshots: 2, blockSize: unit };
}

function small(version: Version, pes: number, more: Partial<StoreSpec> = {}): Made {
  const unit = more.blockSize ?? MIB;
  const entries = [...everyKind(version, unit), ...awkward(), ...machineEntries(smallMachine(version, unit))];
  return makeStore(version, {
    name: `small${version}`,
    seed: 1000 + version,
    label: `Small VMFS${version}`,
    members: [{ pes }],
    entries,
    ...more,
  });
}

/** VMFS5 with one of every kind of file, 1 GiB, on a GPT disk. */
export function small5(more: Partial<StoreSpec> = {}): Made {
  return small(5, 4, { members: [{ pes: 4, wrap: 'gpt' }], ...more });
}

/** VMFS6 with one of every kind of file, 4 GiB; .sbc.sf is mapped through .pb2.sf as on real volumes. */
export function small6(more: Partial<StoreSpec> = {}): Made {
  return small(6, 16, { members: [{ pes: 16, wrap: 'gpt' }], subBlocks: 5916, ...more });
}

/** VMFS3 with one of every kind of file, 1 GiB, in an MBR partition at sector 128. */
export function small3(more: Partial<StoreSpec> = {}): Made {
  return small(3, 4, { members: [{ pes: 4, wrap: 'mbr' }], ...more });
}

/** VMFS5 upgraded from VMFS3: larger blocks and 64 KiB sub-blocks. */
export function upgraded5(blockSize: number): Made {
  const pes = (4 * blockSize) / MIB;
  return small(5, pes, { name: `upgraded5-${blockSize / MIB}`, upgraded: true, blockSize, members: [{ pes }] });
}

function many(version: Version, n: number): Made {
  const entries = Array.from({ length: n }, (_, i): EntrySpec => {
    const sub = version === 6 ? 4000 : 1100;
    const content = i % 16 === 15 ? seeded(i, sub + (i % 900)) : `number ${i}\n`;
    return { path: `/many/file-${String(i).padStart(5, '0')}.txt`, kind: 'file', content };
  });
  const pes = version === 6 ? 16 : 4;
  return makeStore(version, { name: `many${version}-${n}`, seed: 2000 + version, members: [{ pes }], entries });
}

/** One VMFS5 directory with n files, over several FDC clusters and groups. */
export function many5(n: number = 16000): Made {
  return many(5, n);
}

/** One VMFS6 directory with n files: many colliding names, so link groups. */
export function many6(n: number = 16000): Made {
  return many(6, n);
}

/** n files right in the root directory, so that it takes several file blocks. */
export function flatRoot(version: Version, n: number = 9000): Made {
  const entries = Array.from(
    { length: n },
    (_, i): EntrySpec => ({ path: `/${i}.txt`, kind: 'file', content: `root ${i}\n` }),
  );
  return makeStore(version, { name: `flatroot${version}-${n}`, seed: 2500 + version, members: [{ pes: 16 }], entries });
}

/** A store that is one machine with one thick disk, written throughout. */
export function dense(version: Version, gib: number): Made {
  const pes = 4 * Math.ceil(gib * 1.02 + 1);
  const entries = machineEntries({ name: 'dense', seed: 3, disks: [{ gib, partitioned: true }] });
  return makeStore(version, { name: `dense${version}-${gib}`, seed: 3000 + version, members: [{ pes }], entries });
}

/** A thin disk of 20 GiB of which the guest has written one per cent. */
export function thin(version: Version): Made {
  const entries = machineEntries({
    name: 'thin',
    seed: 4,
    disks: [{ gib: 20, fill: 0.01, thin: true, partitioned: 'gpt' }],
  });
  return makeStore(version, { name: `thin${version}`, seed: 4000 + version, members: [{ pes: 8 }], entries });
}

/** Two thin disks that grew in turns, and one that wrapped round inside its cluster. */
export function fragmented(version: Version): Made {
  const disk = { bytes: 200 * MIB, fill: 0.8, thin: true, partitioned: true };
  const entries = [
    ...machineEntries({ name: 'left', seed: 5, disks: [disk] }),
    ...machineEntries({ name: 'right', seed: 6, disks: [disk] }),
    ...machineEntries({ name: 'wrapped', seed: 7, disks: [{ bytes: 90 * MIB }], place: 'wrap' }),
  ];
  return makeStore(version, {
    name: `fragmented${version}`,
    seed: 5000 + version,
    members: [{ pes: 8 }],
    entries,
    allocation: 'interleaved',
  });
}

/** A store over several devices, with files on each and across their edges. */
export function spanned(version: Version, members: number, wrap?: MemberSpec['wrap']): Made {
  const list = Array.from(
    { length: members },
    (_, i): MemberSpec => ({ pes: 2 + (i % 3), wrap: wrap ?? (i % 2 === 0 ? 'gpt' : 'bare') }),
  );
  const total = list.reduce((n, m) => n + m.pes, 0);
  const entries: EntrySpec[] = machineEntries({
    name: 'span',
    seed: 8,
    disks: [{ bytes: 64 * MIB, partitioned: true }],
  });
  let first = 0;
  for (const [i, m] of list.entries()) {
    first += m.pes;
    const edge = i === members - 1 ? 'end' : first / total - (4 * MIB) / (total * 256 * MIB);
    entries.push({
      path: `/edges/edge-${i}.bin`,
      kind: 'file',
      content: seeded(80 + i, 8 * MIB),
      force: 'direct',
      place: edge,
    });
  }
  return makeStore(version, { name: `spanned${version}-${members}`, seed: 6000 + version, members: list, entries });
}

/** 64 TiB, on one device or on 32: files at the very end of the volume and a thin 62 TiB disk with a few blocks. */
export function huge(version: 5 | 6, { members }: { members: 1 | 32 }): Made {
  const pes = (64 * TIB) / (256 * MIB) / members;
  const list = Array.from({ length: members }, (): MemberSpec => ({ pes, wrap: 'gpt' }));
  const at = [0.1, 0.3, 0.5, 0.7, 0.9].map(
    (place): EntrySpec => ({
      path: `/far/at-${place}.bin`,
      kind: 'file',
      content: seeded(place * 100, 3 * MIB + 11),
      place,
    }),
  );
  const entries: EntrySpec[] = [
    ...machineEntries({ name: 'web01', seed: 9, disks: [{ bytes: 24 * MIB, partitioned: true }] }),
    ...at,
    { path: '/far/end.bin', kind: 'file', content: seeded(91, 5 * MIB + 1), place: 'end' },
    ...machineEntries({
      name: 'monster',
      seed: 10,
      disks: [{ bytes: 62 * TIB, fill: 1e-6, thin: true, partitioned: 'gpt' }],
      place: 0.8,
    }),
  ];
  if (version === 6) {
    // 2 MiB written in one large block at 19.5 TiB; the rest of that block is to be zeroed.
    const ranges = [{ offset: 40_000 * LFB + 7 * MIB, length: 2 * MIB, kind: 'data' as const }];
    entries.push({
      path: '/far/large.bin',
      kind: 'file',
      content: seeded(92, 40_001 * LFB),
      ranges,
      force: 'lfb',
      place: 0.6,
    });
  }
  return makeStore(version, {
    name: `huge${version}-${members}`,
    seed: 7000 + version,
    members: list,
    entries,
    label: 'huge',
  });
}

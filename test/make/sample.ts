/** The sample datastore of `npm start`: two machines and a folder of small files on VMFS6, damaged in four ways. */
import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Bytes, utf8 } from './bytes.ts';
import { masked, patched, seeded } from './content.ts';
import { writeImages } from './images.ts';
import { machineEntries } from './machines.ts';
import type { Content, Made, TruthFile, Write } from './types.ts';
import { type EntrySpec, makeVmfs6 } from './vmfs.ts';

const MIB = 0x100000;
const NAME = 'datastore';
/** The file whose descriptor names another place as its own. */
const MOVED = '/web01/web01.nvram';
/** The disk of which one pointer leads out of the volume, and which of its blocks of 1 MiB that is. */
const CUT = '/db01/db01-flat.vmdk';

/** A file as `salvor recover` must bring it out, gaps filled with zeros. */
export interface SampleFile {
  /** Path inside the datastore as hexadecimal bytes: names need not be UTF-8. */
  rawPath: string;
  path: string;
  kind: string;
  size: number;
  sha256: string | null;
  /** [offset, length] in bytes of what cannot be had. */
  gaps: [number, number][];
  /** The best that may be said of any byte of it. */
  certainty: 'stated' | 'inferred';
}

/** What truth.json holds: what was made, and what was done to it. */
export interface SampleTruth {
  schema: 1;
  images: string[];
  damage: string[];
  files: SampleFile[];
}

export interface Sample {
  /** Paths of the images. */
  images: string[];
  truth: SampleTruth;
}

function note(path: string, content: string): EntrySpec {
  return { path: `/notes/${path}`, kind: 'file', content };
}

/** Names that have broken other tools; the last is not UTF-8 (0xE9 is é in Latin-1). */
function notes(): EntrySpec[] {
  const raw = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x2e, 0x74, 0x78, 0x74);
  return [
    { path: '/notes', kind: 'directory' },
    note('Büro Zürich – Übergabe.txt', 'Schlüssel liegt beim Empfang.\n'),
    note('ファイル サーバー.txt', 'サーバー室は二階\n'),
    note('100% sure: a::b @ 4096.txt', 'Every sign that locators use.\n'),
    note('+deleted', 'Not a virtual directory, only a file of that name.\n'),
    note(' leading blank', 'A blank comes first.\n'),
    note('tab\there.txt', 'A tab is in the name.\n'),
    note(`${'long '.repeat(24)}name`, 'Long, but legal.\n'),
    note('empty.txt', ''),
    { path: '/notes/inventory.bin', kind: 'file', content: seeded(77, 200_000) },
    { path: `/notes/${new TextDecoder().decode(raw)}`, rawName: raw, kind: 'file', content: 'latin\n' },
    { path: '/notes/newest.txt', kind: 'symlink', target: 'ファイル サーバー.txt' },
  ];
}

function datastore(): Made {
  const web = { bytes: 64 * MIB, fill: 0.5, thin: true, partitioned: 'gpt' as const };
  const database = { bytes: 160 * MIB, fill: 0.5, thin: false, partitioned: true };
  const entries = [
    ...machineEntries({ name: 'web01', seed: 21, disks: [web], snapshots: 1 }),
    ...machineEntries({ name: 'db01', seed: 22, disks: [database], force: 'indirect' }),
    ...notes(),
  ];
  const members = [{ pes: 4, wrap: 'gpt' as const }];
  return makeVmfs6({ name: NAME, seed: 2026, label: 'sample', members, entries, mounted: true });
}

/** Damage as bytes over a made store, and what it costs. */
interface Harm {
  patches: { at: number; bytes: Uint8Array }[];
  said: string[];
  /** Where the pointer was changed: [offset, length] in bytes of that disk. */
  gap: [number, number];
}

function place(made: Made, name: string): number {
  const found = made.truth.structures.find((s) => s.name === name);
  if (found === undefined) throw new Error(`the sample has no ${name}`);
  return found.at;
}

function fileOf(made: Made, path: string): TruthFile {
  const found = made.truth.files.find((file) => file.path === path);
  if (found === undefined) throw new Error(`the sample has no ${path}`);
  return found;
}

function harm(made: Made): Harm {
  const moved = place(made, `fd/${hex(fileOf(made, MOVED).fdAddress)}`);
  const cut = fileOf(made, CUT);
  // A written block in the middle of the disk, so that there is sound data on both sides.
  const extent = cut.extents.find((e) => e.kind === 'data' && e.offset >= cut.size / 2)!;
  const block = Math.floor((extent.offset + extent.length / 2) / MIB);
  const pointer = place(made, `pb:${CUT}#0`) + block * 8;
  const length = Math.min(MIB, cut.size - block * MIB);
  const table = place(made, 'gpt.primary');
  return {
    patches: [
      { at: table, bytes: new Uint8Array(33 * 512) },
      { at: moved + 4, bytes: new Bytes(8).u64(0, 0x7_2054_4000).data },
      // A written small file block (type 1) of cluster 60,000; this volume ends after cluster 1 (vmfs.md 9).
      { at: pointer, bytes: new Bytes(8).pair(0, ((60_000 << 15) | 1) >>> 0, 0).data },
    ],
    said: [
      `Bytes ${table} to ${table + 33 * 512}: the primary partition table is wiped. Its backup at the end of the disk is sound.`,
      'Heartbeat: a host that is gone still holds the datastore. Nothing is lost by that; ESXi would want to break it.',
      `Bytes ${moved + 4} to ${moved + 12}: the descriptor of ${MOVED} says that it lies elsewhere. Its bytes are all there, but no longer beyond doubt.`,
      `Bytes ${pointer} to ${pointer + 8}: pointer ${block} of ${CUT} leads out of the volume. Bytes ${block * MIB} to ${block * MIB + length} of that disk cannot be had.`,
    ],
    gap: [block * MIB, length],
  };
}

function hex(address: number): string {
  return `0x${address.toString(16).padStart(8, '0')}`;
}

/** The store with the damage in it. */
function damaged(made: Made, { patches }: Harm): Made {
  return {
    ...made,
    *writes(): Iterable<Write> {
      for (const write of made.writes()) {
        const bytes = Uint8Array.from(write.bytes);
        for (const patch of patches) {
          const from = Math.max(patch.at, write.at);
          const end = Math.min(patch.at + patch.bytes.length, write.at + bytes.length);
          if (from < end) bytes.set(patch.bytes.subarray(from - patch.at, end - patch.at), from - write.at);
        }
        yield { ...write, bytes };
      }
    },
  };
}

function sha256(content: Content): string {
  const hash = createHash('sha256');
  for (let at = 0; at < content.size; at += MIB) hash.update(content.read(at, Math.min(MIB, content.size - at)));
  return hash.digest('hex');
}

function expected(file: TruthFile, gap: [number, number]): SampleFile {
  const parent = file.path.slice(0, file.path.lastIndexOf('/') + 1);
  const raw = file.rawName === undefined ? utf8(file.path) : Buffer.concat([utf8(parent), file.rawName]);
  const out: SampleFile = {
    rawPath: Buffer.from(raw).toString('hex'),
    path: file.path,
    kind: file.kind,
    size: file.size,
    sha256: null,
    gaps: [],
    certainty: file.path === MOVED ? 'inferred' : 'stated',
  };
  if (file.kind === 'symlink') out.sha256 = createHash('sha256').update(file.target!).digest('hex');
  if (file.kind !== 'file') return out;
  const content = masked(file.content!, file.extents, file.size);
  if (file.path !== CUT) return { ...out, sha256: file.sha256 ?? sha256(content) };
  const lost = { at: gap[0], bytes: new Uint8Array(gap[1]) };
  return { ...out, sha256: sha256(patched(content, [lost])), gaps: [gap] };
}

function readme(truth: SampleTruth): string {
  const { files, damage } = truth;
  const counted = files.filter((f) => f.kind === 'file').length;
  return `This is a made datastore, and it is damaged on purpose.

${truth.images.join(', ')} is a disk with one VMFS6 datastore, "sample": the machine web01 with a snapshot, the
machine db01, and a folder of small files with awkward names; ${counted} files in all. It is made from format tables by
test/make/sample.ts, no real host ever wrote to it, and it is the same in every byte each time it is made.

What was done to it afterwards:

${damage.map((line, i) => `${i + 1}. ${line}`).join('\n')}

truth.json says what must come out: path, size and SHA-256 of every file, with zeros where bytes cannot be had.
Everything here can be deleted; npm start makes it again.
`;
}

/** Makes the sample in `dir`, over what an earlier one left there. truth.json is written last: with it, it is complete. */
export async function makeSample(dir: string): Promise<Sample> {
  mkdirSync(dir, { recursive: true });
  const image = join(dir, `${NAME}.img`);
  for (const old of [image, join(dir, 'truth.json')]) rmSync(old, { force: true });
  const made = datastore();
  const done = harm(made);
  const images = await writeImages(damaged(made, done), dir);
  const files = made.truth.files.filter((f) => f.kind !== 'system' && f.path !== '/').map((f) => expected(f, done.gap));
  const truth: SampleTruth = { schema: 1, images: images.map((path) => basename(path)), damage: done.said, files };
  writeFileSync(join(dir, 'README.txt'), readme(truth));
  writeFileSync(join(dir, 'truth.json.new'), `${JSON.stringify(truth, null, 1)}\n`);
  renameSync(join(dir, 'truth.json.new'), join(dir, 'truth.json'));
  return { images, truth };
}

if (import.meta.main) {
  const { truth } = await makeSample(process.argv[2] ?? 'sample');
  console.log(truth.damage.join('\n'));
}

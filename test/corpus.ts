/**
 * The real datastores beside this repository, unpacked once into a cache outside of it.
 * Run as a program it unpacks one of them: node test/corpus.ts IMAGE.gz TARGET SHA256
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { once } from './once.ts';

const CORPUS = join(import.meta.dirname, '..', '..', 'shared', 'corpus');
const CACHE = join(tmpdir(), 'salvor-corpus');
const BLOCK = 4096;

export type CorpusName = 'vmfs3' | 'vmfs5' | 'vmfs6';

/** One file as the answer key describes it; paths are relative to the root, which is '/'. */
export interface CorpusFile {
  readonly path: string;
  readonly type: 'dir' | 'reg' | 'symlink' | 'sys';
  readonly size: number;
  /** '0o644', with or without the bits of the kind. */
  readonly mode: string;
  readonly linkCount: number;
  readonly sha256_own: string;
  readonly mtime?: number;
  readonly ctime?: number;
  readonly atime?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly linkTarget?: string;
  /** Of its descriptor, in the logical volume, which starts at volumeDataOffset of the image. */
  readonly fdVolOffset: number;
}

export interface CorpusTruth {
  readonly name: CorpusName;
  readonly bytes: number;
  readonly sha256: string;
  readonly volumeDataOffset: number;
  readonly fdSize: number;
  readonly files: readonly CorpusFile[];
}

/** Why tests on real datastores cannot run here, or undefined where they can. */
export const corpusAbsent: string | undefined = existsSync(join(CORPUS, 'vmfs-truth.json'))
  ? undefined
  : `${CORPUS} is not there`;

/** The answer keys of the real datastores; empty where they are not there. */
export function vmfsTruth(): readonly CorpusTruth[] {
  if (corpusAbsent !== undefined) return [];
  return (JSON.parse(readFileSync(join(CORPUS, 'vmfs-truth.json'), 'utf8')) as { images: CorpusTruth[] }).images;
}

/** Path of an unpacked real datastore, to be read only; undefined where the corpus is not there. */
export function corpusImage(name: CorpusName): string | undefined {
  const truth = vmfsTruth().find((one) => one.name === name);
  if (truth === undefined) return undefined;
  mkdirSync(CACHE, { recursive: true });
  const target = join(CACHE, `${name}-${truth.sha256.slice(0, 16)}.img`);
  const there = (): boolean => statSync(target, { throwIfNoEntry: false })?.size === truth.bytes;
  once(`${target}.lock`, there, () => {
    const args = [import.meta.filename, join(CORPUS, `${name}.img.gz`), target, truth.sha256];
    const done = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${name}.img.gz could not be unpacked: ${done.stderr}`);
  });
  return target;
}

/** Unpacks to a sparse file, which gets its name only when its hash is what it should be. */
async function unpack(from: string, target: string, sha256: string): Promise<void> {
  const part = `${target}.${process.pid}.part`;
  const file = openSync(part, 'wx', 0o444);
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(BLOCK);
  let at = 0;
  try {
    for await (const chunk of createReadStream(from).pipe(
      createGunzip({ chunkSize: 1 << 20 }),
    ) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      for (let i = 0; i < chunk.length; i += BLOCK) {
        const block = chunk.subarray(i, i + BLOCK);
        if (!block.equals(zeros.subarray(0, block.length))) writeSync(file, block, 0, block.length, at + i);
      }
      at += chunk.length;
    }
    ftruncateSync(file, at);
    const found = hash.digest('hex');
    if (found !== sha256) throw new Error(`${from} has SHA-256 ${found}, not ${sha256}`);
    renameSync(part, target);
  } finally {
    closeSync(file);
    rmSync(part, { force: true });
  }
}

if (process.argv[1] === import.meta.filename) await unpack(process.argv[2], process.argv[3], process.argv[4]);

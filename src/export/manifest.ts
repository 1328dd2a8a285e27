/** manifest.json: what was copied, from where, how sure it is, and hashes to check it all again. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Damage } from '../core/damage.ts';
import { ExportError, reason } from './error.ts';

export const MANIFEST = 'manifest.json';

/** Bytes by how certain they are; the sum is the file's size. */
export interface CertaintyBytes {
  verified: number;
  stated: number;
  inferred: number;
  guessed: number;
  missing: number;
}

export interface FileEntry {
  /** Relative to the directory of the manifest, with '/'. */
  readonly path: string;
  readonly locator: string;
  readonly kind: string;
  /** Where it was found: 'live', or 'deleted' or 'orphan' for what nothing names any more. */
  readonly state?: string;
  /** Bytes. */
  readonly size: number;
  /** See src/codec/tree-hash.ts; null for directories. */
  readonly tree: string | null;
  readonly sha256: string | null;
  readonly mode: number | null;
  /** Seconds since 1970. */
  readonly modified: number | null;
  readonly certainty: { readonly worst: string; readonly bytes: CertaintyBytes };
  /** [offset, length] in bytes of what could not be had. */
  readonly gaps: readonly (readonly [number, number])[];
  readonly damage: readonly Damage[];
  /** Why bytes are inferred, guessed or missing. */
  readonly reasons: readonly { readonly code: string; readonly bytes: number }[];
  /** Large stretches of zeros that were left as holes, [offset, length], and the bytes on disk of all the rest. */
  readonly holes?: readonly (readonly [number, number])[];
  readonly written?: number;
  /** For a symbolic link that was made as one: its text. */
  readonly link?: string;
}

export interface MachineEntry {
  readonly name: string;
  /** Path of the configuration, or its locator where it was not copied. */
  readonly config: string;
  readonly disks: readonly {
    readonly slot: string;
    /** Path of the descriptor that the machine names; null where it is missing. */
    readonly path: string | null;
    /** Locators of the descriptors from that one down to the base. */
    readonly chain: readonly string[];
  }[];
  readonly note?: string;
}

/** A file that was not there, or not usable, and was made anew. Its bytes are inferred or guessed. */
export interface RegeneratedEntry {
  readonly path: string;
  /** What is wrong without it. */
  readonly lacks: string;
  /** The file that it takes the place of, which was recovered as it is. */
  readonly replaces?: string;
  /** What it was made from. */
  readonly from: readonly string[];
  /** Some of it is what hosts accept, and nothing that is left says it. */
  readonly assumed: boolean;
  readonly notes: readonly string[];
}

/** A file that ransomware was at. Its bytes were copied as they are; those taken for encrypted count as missing. */
export interface EncryptedEntry {
  readonly path: string;
  readonly what: string;
  /** 'unclear': noticed only, and no byte of it counts as missing. */
  readonly kind: 'regular' | 'start' | 'unclear';
  /** Bytes of each stripe, and from the start of one to the next. */
  readonly length: number;
  readonly period: number;
}

export interface EvidenceEntry {
  readonly path: string;
  readonly size: number;
  /** Device and inode numbers, and the time of the last change in milliseconds; absent for what is no file. */
  readonly device?: number;
  readonly inode?: number;
  readonly modified?: number;
  readonly block?: boolean;
}

export interface LeftOut {
  readonly kind: string;
  readonly count: number;
  readonly reason: string;
}

export interface Manifest {
  readonly schema: 1;
  readonly evidence: readonly EvidenceEntry[];
  readonly files: readonly FileEntry[];
  readonly machines: readonly MachineEntry[];
  /** Absent in manifests of versions that made nothing anew. */
  readonly regenerated?: readonly RegeneratedEntry[];
  readonly encrypted?: readonly EncryptedEntry[];
  readonly notes: readonly string[];
  readonly left_out: readonly LeftOut[];
}

/** Writes DIR/manifest.json in one step: it is there whole or not at all. */
export function writeManifest(dir: string, manifest: Manifest): void {
  const { files, ...rest } = manifest;
  const temporary = path.join(dir, '.salvor', 'manifest.tmp');
  const fd = fs.openSync(temporary, 'w', 0o644);
  try {
    // One file a line, written in pieces: the text of a large run is never in memory as one string.
    const { schema, evidence, ...last } = rest;
    let text = `{"schema":${schema},\n"evidence":${JSON.stringify(evidence)},\n"files":[`;
    for (const [i, file] of files.entries()) {
      text += `${i === 0 ? '\n' : ',\n'}${JSON.stringify(file)}`;
      if (text.length < 1024 * 1024) continue;
      fs.writeSync(fd, text);
      text = '';
    }
    fs.writeSync(fd, `${text}\n],\n${JSON.stringify(last).slice(1)}\n`);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(temporary, path.join(dir, MANIFEST));
}

/** The manifest of a directory. Throws ExportError('manifest') where there is none that makes sense. */
export function readManifest(dir: string): Manifest {
  const file = path.join(dir, MANIFEST);
  let manifest: Manifest;
  try {
    manifest = JSON.parse(fs.readFileSync(file, 'utf8')) as Manifest;
  } catch (error) {
    const why = `${file} cannot be read as a manifest: ${reason(error)}.`;
    throw new ExportError('manifest', `${why} Give the directory of a finished "salvor recover".`);
  }
  if (manifest?.schema !== 1 || !Array.isArray(manifest.files) || !manifest.files.every(isEntry)) {
    const found = JSON.stringify(manifest?.schema) ?? 'none';
    const why = `${file} is not a manifest of schema 1 (found schema ${found}, or entries without path and size).`;
    throw new ExportError('manifest', `${why} Use the version of salvor that wrote it.`);
  }
  return manifest;
}

function isEntry(entry: FileEntry): boolean {
  const inside = (name: unknown): boolean =>
    typeof name === 'string' &&
    name !== '' &&
    !name.split('/').some((part) => part === '' || part === '.' || part === '..');
  return (
    typeof entry === 'object' &&
    entry !== null &&
    inside(entry.path) &&
    Number.isSafeInteger(entry.size) &&
    entry.size >= 0
  );
}

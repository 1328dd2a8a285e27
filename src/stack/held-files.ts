/**
 * Files whose name was deleted while a process has them open: their bytes are there until it ends. A virtual disk that
 * was deleted under a running machine is such a file.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { isNamedLikeDisk } from '../formats/index.ts';
import { contentsOfFile, type DeviceContent } from './device-contents.ts';
import type { Places } from './devices.ts';

/** A file that no folder names any more. */
export interface HeldFile {
  /** Where it can be read: /proc/PID/fd/N. */
  readonly path: string;
  /** The name that it had. */
  readonly was: string;
  /** Bytes. */
  readonly size: number;
  /** The process that has it open, and its name. */
  readonly process: number;
  readonly command: string;
  readonly contents: readonly DeviceContent[];
}

/** What Linux puts behind the name of a file that has none. */
const GONE = ' (deleted)';
/** Memory that is shared and never was a file on a disk. */
const NO_FILES = /^\/(?:memfd:|SYSV|dev\/|\[)/;
/** No disk of a machine is smaller. */
const LEAST = 1024 * 1024;

/** Deleted files that processes of this host hold and that are disks by name or by content. Opens them read-only. */
export async function heldFiles({ proc }: Places): Promise<HeldFile[]> {
  const out: HeldFile[] = [];
  const met = new Set<string>();
  for (const id of namesIn(proc).filter((name) => /^\d+$/.test(name))) {
    if (Number(id) === process.pid) continue;
    for (const name of namesIn(path.join(proc, id, 'fd'))) {
      const found = held(path.join(proc, id, 'fd', name), met);
      if (found === undefined) continue;
      const contents = await contentsOfFile(found.path);
      if (contents.length === 0 && !isNamedLikeDisk(found.was)) continue;
      const command = textOf(path.join(proc, id, 'comm')) ?? 'a process';
      out.push({ ...found, process: Number(id), command, contents });
    }
  }
  return out;
}

/** What to do about one. */
export function heldWarning({ path: file, process: id }: HeldFile): string {
  return (
    `gone for good when process ${id} ends: do not shut that machine down; stop it from writing (kill -STOP ${id}), ` +
    `then: salvor image ${file} OUT`
  );
}

function held(file: string, met: Set<string>): Pick<HeldFile, 'path' | 'was' | 'size'> | undefined {
  try {
    const link = fs.readlinkSync(file);
    if (!link.endsWith(GONE) || NO_FILES.test(link)) return undefined;
    const stat = fs.statSync(file);
    const key = `${stat.dev}:${stat.ino}`;
    // A name that is followed by those words by chance has a file that is still there.
    if (!stat.isFile() || stat.nlink > 0 || stat.size < LEAST || met.has(key)) return undefined;
    met.add(key);
    return { path: file, was: link.slice(0, -GONE.length), size: stat.size };
  } catch {
    return undefined; // closed meanwhile, or of another user
  }
}

function textOf(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  } catch {
    return []; // processes of others
  }
}

/** Overlays: qcow2 files that take what a guest writes, over a disk that is served and only read. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Stack } from '../stack/stack.ts';
import { ExportError } from './error.ts';
import { isThere } from './output.ts';
import { checkPlace, realOut } from './place.ts';

/** The program that writes them, and what it is told before the disk below and the new file. */
const PROGRAM = 'qemu-img';
const CREATE: readonly string[] = `${PROGRAM} create -q -f qcow2 -F raw -b`.split(' ');
/** Milliseconds that it may take. */
const TIME = 60_000;

/** Throws ExportError where `file` is there already, or would lie on or in the evidence. */
export function checkNew(stack: Stack, file: string, next: string): void {
  if (isThere(file)) {
    throw new ExportError('exists', `${file} is there already, and nothing is ever overwritten. Give another name.`);
  }
  checkFolder(stack, path.dirname(path.resolve(file)), next);
}

/** Throws ExportError where a directory lies on or in the evidence. */
export function checkFolder(stack: Stack, folder: string, next: string): void {
  const { dir, ancestor } = realOut(folder);
  const opened = stack.evidence.opened.map((file) => file.identity);
  checkPlace(dir, ancestor, stack.evidence.directories, opened, undefined, next);
}

/** The command that makes an overlay. */
export function overlayCommand(uri: string, file: string): string[] {
  return [...CREATE, uri, file];
}

/** Makes a new overlay over what is served at `uri`. Throws ExportError. */
export async function createOverlay(uri: string, file: string): Promise<void> {
  // qemu-img writes over what is there: it gets a name of its own, and a link is made only where there is nothing.
  const folder = fs.mkdtempSync(path.join(path.dirname(path.resolve(file)), '.salvor-overlay-'));
  const part = path.join(folder, 'overlay');
  try {
    const [program, ...args] = overlayCommand(uri, part);
    await new Promise<void>((resolve, reject) => {
      execFile(program, args, { timeout: TIME }, (error, _, said) => {
        if (error === null) resolve();
        else reject(new ExportError('write', refusal(error, said)));
      });
    });
    fs.linkSync(part, file);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
    throw new ExportError('exists', `${file} is there already, and nothing is ever overwritten. Give another name.`);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function refusal(error: Error, said: string): string {
  if ((error as { code?: unknown }).code === 'ENOENT') {
    return `${PROGRAM} is not installed, and it is what makes overlays (Debian: apt install qemu-utils).`;
  }
  return `${PROGRAM} could not make the overlay: ${said.trim().split('\n').pop() || error.message}.`;
}

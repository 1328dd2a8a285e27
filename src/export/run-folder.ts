/** A folder for the sockets and passing files of one run, which nobody else can look into. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export interface RunFolder {
  readonly path: string;
  /** Removes it and all that is in it. */
  remove(): void;
}

/** Makes a new one, below the system's own place for such files or below `parent`. */
export function runFolder(parent: string = os.tmpdir()): RunFolder {
  const made = fs.mkdtempSync(path.join(parent, 'salvor-run-'));
  open.add(made);
  const remove = (): void => {
    fs.rmSync(made, { recursive: true, force: true });
    open.delete(made);
  };
  return { path: made, remove };
}

const open = new Set<string>();

/** Removes all folders of this process: for an end at which nothing else is done any more. */
export function removeRunFolders(): void {
  for (const made of open) fs.rmSync(made, { recursive: true, force: true });
}

/** Makes a directory that is to stay; one that is there must be empty. */
export function emptyFolder(dir: string): void {
  fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (fs.readdirSync(dir).length > 0) throw new Error(`${dir} is not empty, and nothing is ever overwritten`);
}

/** Writes a file that must not be there; its folder may be new. */
export function writeNew(file: string, bytes: Uint8Array): void {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  fs.writeFileSync(file, bytes, { flag: 'wx', mode: 0o600 });
}

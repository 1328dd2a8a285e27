/** One run at a time in a directory. A lock whose process is gone is nobody's. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { ExportError } from './error.ts';

/** Takes the lock of DIR/.salvor; answers how to give it back. Throws ExportError('busy'). */
export function takeLock(dir: string): () => void {
  return lockFile(path.join(dir, '.salvor', 'lock'), dir);
}

/** As takeLock, for `target` by the lock file of that path. */
export function lockFile(file: string, target: string): () => void {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      fs.writeFileSync(file, `${process.pid} ${startOf(process.pid)}\n`, { flag: 'wx', mode: 0o600 });
      return () => fs.rmSync(file, { force: true });
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
    const [pid, start] = fs.readFileSync(file, 'utf8').trim().split(' ');
    if (start !== undefined && start !== '' && startOf(Number(pid)) === start) {
      const next = 'Wait for it to end, or stop it; the same command goes on from there.';
      throw new ExportError('busy', `${target} is being written to by process ${pid}. ${next}`);
    }
    fs.rmSync(file, { force: true });
  }
  throw new ExportError('busy', `${file} cannot be taken. See whether another recovery writes to ${target}.`);
}

/** When a process started, in ticks: a number that comes back is not taken for the process that had it before. */
function startOf(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return '';
  }
}

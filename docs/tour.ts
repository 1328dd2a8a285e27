/** The tour of the README: its commands are run on the sample, and what they print stands below them. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { makeSample } from '../test/make/sample.ts';

const ROOT = path.join(import.meta.dirname, '..');

/** The text of a page with every block of `$ salvor …` commands run again on a fresh sample. */
export async function toured(page: string): Promise<string> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-tour-'));
  try {
    await makeSample(path.join(folder, 'sample'));
    return page.replace(/```\n(\$ salvor [\s\S]*?)```/g, (_, block: string) => {
      const commands = block.split('\n').filter((line) => line.startsWith('$ '));
      return `\`\`\`\n${commands.map((line) => `${line}\n${run(line.slice(2), folder)}`).join('')}\`\`\``;
    });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** What a command prints on standard output; exit codes other than 0 and 1 are faults of the page. */
function run(command: string, folder: string): string {
  const shell = `salvor() { "${process.execPath}" "${path.join(ROOT, 'bin', 'salvor.js')}" "$@"; }; ${command}`;
  const done = spawnSync('bash', ['-c', shell], { cwd: folder, encoding: 'utf8' });
  if (done.status !== 0 && done.status !== 1) throw new Error(`${command}: ${done.status} ${done.stderr}`);
  return done.stdout;
}

/** salvor verify: check a recovery again, against its manifest. */
import type { Command } from 'commander';
import { verify } from '../export/index.ts';
import { endOf, INTACT, interruptible, UNCERTAIN } from './command.ts';
import { counted, print, printJson, size } from './output.ts';
import { progressLine } from './progress.ts';

export function register(program: Command): void {
  program
    .command('verify')
    .summary('check a recovered directory again, against its manifest')
    .description('Reads every file that DIR/manifest.json names and compares size, hashes and gaps.')
    .argument('<dir>', 'directory that salvor recover wrote')
    .option('--json', 'one JSON document on standard output; progress as NDJSON on standard error')
    .addHelpText('after', '\nExamples:\n  salvor verify /mnt/rescue\n  salvor verify /mnt/rescue --json')
    .action((dir: string, options: { json?: boolean }) => run(dir, options.json === true));
}

async function run(dir: string, json: boolean): Promise<void> {
  const signal = interruptible();
  const line = progressLine(json);
  try {
    const result = await verify(dir, { signal, onProgress: (progress) => line.show(progress) });
    line.end();
    if (json) printJson({ ...result, manifest: undefined });
    else {
      for (const one of result.differences) print(`! ${one.path}: ${one.what} is ${one.actual}, not ${one.expected}`);
      for (const name of result.unknown) print(`? ${name} is not in the manifest`);
      const state =
        result.differences.length === 0 ? 'all as the manifest says' : `${result.differences.length} differ`;
      print(`${counted(result.files, 'file')}, ${size(result.bytes)}: ${state}.`);
    }
    process.exitCode = result.intact ? INTACT : UNCERTAIN;
  } catch (error) {
    line.end();
    process.exitCode = endOf(error);
  }
}

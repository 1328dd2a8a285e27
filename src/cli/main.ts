/** The command line. One file a command: this folder's listing is the manual. */
import { createRequire } from 'node:module';
import { Command } from 'commander';
import * as cat from './cat.ts';
import { fail, INTACT, USAGE } from './command.ts';
import * as devices from './devices.ts';
import * as find from './find.ts';
import * as inspect from './inspect.ts';
import * as ls from './ls.ts';
import * as map from './map.ts';
import * as stat from './stat.ts';
import * as tree from './tree.ts';

const commands = [devices, inspect, ls, tree, stat, find, cat, map];

const EXIT_CODES = `
A LOCATOR is the way to a thing: SOURCE::FORMAT/PATH, as printed by every command. '::/PATH' is a path
in the one file system of the sources. The evidence is only ever read.

Exit codes: 0 all of it intact, 1 something missing or uncertain, 2 wrong call or surroundings,
3 nothing found, 130 interrupted.`;

async function main(): Promise<void> {
  const program = new Command('salvor')
    .description('Recovers virtual machines from damaged storage: datastores, disks, and what is in them.')
    .version(createRequire(import.meta.url)('../../package.json').version, '-V, --version')
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', EXIT_CODES)
    .exitOverride();
  for (const command of commands) command.register(program);
  for (const command of program.commands) command.exitOverride();
  // A reader that stops early, such as head, is no error.
  process.stdout.on('error', () => process.exit(process.exitCode ?? INTACT));
  try {
    await program.parseAsync();
  } catch (error) {
    const { code, exitCode } = error as { code?: string; exitCode?: number };
    if (code?.startsWith('commander.') === true) process.exitCode = exitCode === 0 ? INTACT : USAGE;
    else fail(error);
  }
}

await main();

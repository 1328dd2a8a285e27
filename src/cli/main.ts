/** The command line. One file a command: this folder's listing is the manual. */
import { createRequire } from 'node:module';
import { Command } from 'commander';
import { fail, INTACT, USAGE } from './command.ts';

/** In the order of the help. Only the module of the command that was named is loaded: starting is part of the work. */
const commands: Readonly<Record<string, () => Promise<{ register(program: Command): void }>>> = {
  devices: () => import('./devices.ts'),
  inspect: () => import('./inspect.ts'),
  ls: () => import('./ls.ts'),
  tree: () => import('./tree.ts'),
  stat: () => import('./stat.ts'),
  check: () => import('./check.ts'),
  find: () => import('./find.ts'),
  timeline: () => import('./timeline.ts'),
  cat: () => import('./cat.ts'),
  map: () => import('./map.ts'),
  chain: () => import('./chain.ts'),
  image: () => import('./image.ts'),
  scan: () => import('./scan.ts'),
  plan: () => import('./plan.ts'),
  recover: () => import('./recover.ts'),
  convert: () => import('./convert.ts'),
  nbd: () => import('./nbd.ts'),
  dav: () => import('./dav.ts'),
  boot: () => import('./boot.ts'),
  hash: () => import('./hash.ts'),
  verify: () => import('./verify.ts'),
  serve: () => import('./serve.ts'),
};

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
  const named = process.argv[2] ?? '';
  const all = /^(-V|--version)$/.test(named) ? [] : Object.values(commands);
  for (const load of Object.hasOwn(commands, named) ? [commands[named]] : all) (await load()).register(program);
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

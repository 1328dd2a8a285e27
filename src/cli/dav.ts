/** salvor dav: evidence in a file manager, over WebDAV, to look and to copy out. */
import type { Command } from 'commander';
import { serveDav } from '../serve/dav/server.ts';
import type { Lost } from '../serve/nbd/exports.ts';
import { locate } from '../stack/locate.ts';
import type { Stack } from '../stack/stack.ts';
import { type CommonOptions, common, INTACT, port, UNCERTAIN, UsageError, withStack } from './command.ts';
import { lostOption } from './nbd.ts';
import { note, print, printJson, shown, size } from './output.ts';

interface Options extends CommonOptions {
  readonly port: number;
  readonly auth: boolean;
  readonly lost: Lost;
}

export function register(program: Command): void {
  common(program.command('dav'))
    .summary('show what is inside to file managers, read-only, over WebDAV')
    .description(
      'Serves the tree of the sources over WebDAV on the loopback address of this machine, until Ctrl-C: what "salvor ' +
        'ls" shows, with +deleted and +orphan, and behind +inside what is in the disks. Nobody can write to it. The ' +
        'password that is printed is asked for; the name may be anything. A folder that was recovered can be served, too.',
    )
    .argument('<source...>', 'images, disks or folders, or a locator inside them')
    .option('--port <n>', 'port to listen on; by default one that is free', port, 0)
    .option('--no-auth', 'ask for no password: every program of this machine may look (Windows takes none over http)')
    .addOption(lostOption())
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options) =>
      withStack(args, options, (stack, inner, signal) => dav(stack, inner, options, signal)),
    );
}

const EXAMPLES = `
Examples:
  salvor dav lun0.img
  salvor dav lun0.img lun1.img --port 8080
  salvor dav lun0.img::/web01 --lost zeros       zeros in place of what is missing; else the connection ends there

To open it, with the ADDRESS that is printed:
  Windows    salvor dav SOURCE --no-auth, then: net use Z: http://127.0.0.1:PORT/
  macOS      Finder, Go, Connect to Server: ADDRESS
  GNOME      Files, Other Locations: dav://127.0.0.1:PORT/
  Linux      mount -t davfs -o ro ADDRESS /mnt
  anywhere   rclone copy, cadaver, curl -u any:PASSWORD ADDRESS`;

async function dav(stack: Stack, inner: string | undefined, options: Options, signal: AbortSignal): Promise<number> {
  const found = inner === undefined ? undefined : await locate(stack, inner);
  if (found?.at !== undefined) throw new UsageError(`${inner} is one byte; name what it is in without @.`);
  let lost = 0;
  const serving = await serveDav(stack, {
    port: options.port,
    top: found?.node,
    isOpen: !options.auth,
    lost: options.lost,
    onLost: (locator, bytes) => {
      const got = options.lost === 'zeros' ? 'zeros were given in their place' : 'the connection was ended there';
      if (lost === 0) note(`${shown(locator)}: a read met ${size(bytes)} that are missing; ${got}.`);
      lost += bytes;
    },
  }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Port ${options.port} cannot be used: ${reason}. Leave --port out to take a free one.`);
  });
  const { address, token, port: bound } = serving;
  if (options.json === true) printJson({ address, port: bound, password: token, lost: options.lost });
  else {
    const secret =
      token === undefined ? 'No password is asked for: every program of this machine may look.' : `Password: ${token}`;
    print(`Serving read-only, as WebDAV: ${address}\n${secret}\nHow to open it: salvor dav --help. Ctrl-C ends it.`);
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await serving.close();
  if (lost > 0) note(`Reads met ${size(lost)} that are missing.`);
  return lost > 0 ? UNCERTAIN : INTACT;
}

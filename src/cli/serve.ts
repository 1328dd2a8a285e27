/** salvor serve: the same in a browser. */
import type { Command } from 'commander';
import { serve } from '../serve/server.ts';
import { programName } from './case.ts';
import { INTACT, interruptible, port, UsageError } from './command.ts';
import { note, print, printJson } from './output.ts';

interface Options {
  readonly port: number;
  readonly case?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('serve')
    .summary('look, preview, choose and recover in a browser on this machine')
    .description(
      'Serves the web interface and its HTTP API on the loopback address of this machine, until Ctrl-C. The address ' +
        'that is printed holds a token; nobody without it is answered. The API describes itself at /openapi.json.',
    )
    .argument('[source...]', 'images, disks or directories to open; without, they are chosen in the browser')
    .option('--port <n>', 'port to listen on; by default one that is free', port, 0)
    .option('--case <dir>', 'where findings are kept; by default NAME.salvor in the working directory')
    .option('--json', 'print the address as one JSON document')
    .addHelpText('after', EXAMPLES)
    .action((sources: string[], options: Options) => run(sources, options));
}

const EXAMPLES = `
Examples:
  salvor serve
  salvor serve lun0.img lun1.img --case /mnt/work/lun0`;

async function run(sources: readonly string[], options: Options): Promise<void> {
  const signal = interruptible();
  const serving = await serve({ port: options.port, program: programName() }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Port ${options.port} cannot be used: ${reason}. Leave --port out to take a free one.`);
  });
  if (sources.length > 0) {
    const opened = serving.workspace.open(sources, options.case);
    opened.catch((error: unknown) => note(`salvor: ${error instanceof Error ? error.message : String(error)}`));
  }
  if (options.json === true) printJson({ address: serving.address, port: serving.port });
  else print(`Open this address in a browser on this machine; Ctrl-C ends it:\n  ${serving.address}`);
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await serving.close();
  process.exitCode = INTACT;
}

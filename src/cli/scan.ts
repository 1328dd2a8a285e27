/** salvor scan: read everything once, and keep what was found. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Case } from '../case/case.ts';
import { caseDir } from '../case/place.ts';
import { quoted } from '../codec/shell.ts';
import { type CarveProgress, carve, kindsOf } from '../jobs/carve.ts';
import { type ScanProgress, type ScanReport, scan } from '../jobs/scan.ts';
import type { Stack } from '../stack/stack.ts';
import { beginCase } from './case.ts';
import { type CommonOptions, common, INTACT, INTERRUPTED, NOTHING, UsageError, withStack } from './command.ts';
import { note, print, printJson, shown, size } from './output.ts';
import { duration, lineOf } from './progress.ts';

interface Options extends CommonOptions {
  readonly threads: number;
  readonly carve?: boolean;
}

export function register(program: Command): void {
  common(program.command('scan'))
    .summary('read everything once and keep what was found in a case, for later commands')
    .description(
      'Reads all of the sources once and looks everywhere for the pieces of what Salvor knows. What it finds is kept ' +
        'in a case; later commands on the same sources use it. The same command again goes on where it was stopped.',
    )
    .argument('<source...>', 'images, disks or directories')
    .option('--threads <n>', 'threads that read', threads, 2)
    .option(
      '--carve',
      'then also look for files that are known by their content alone, in what live files leave free; from then on ' +
        'SOURCE/+carved lists them at once, and a search in the browser finds them',
    )
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options) =>
      withStack(args, options, async (stack, inner, signal) => {
        if (inner !== undefined) throw new UsageError(`${inner} leads inside; a scan reads whole sources.`);
        const kept = beginCase(caseDir(options.case, args), stack);
        try {
          return await run(stack, kept, options, args, signal);
        } finally {
          kept.close();
        }
      }),
    );
}

const EXAMPLES = `
Examples:
  salvor scan /dev/sdb                      findings go to ./sdb.salvor
  salvor scan lun0.img --case /mnt/work/lun0
  salvor scan disk.img --carve              then: salvor find disk.img/+carved --name '*.docx'
  salvor recover lun0.img --deep --out DIR  uses them`;

function threads(value: string): number {
  if (/^\d{1,2}$/.test(value) && Number(value) >= 1 && Number(value) <= 16) return Number(value);
  throw new InvalidArgumentError('Give a number from 1 to 16.');
}

async function run(
  stack: Stack,
  kept: Case,
  options: Options,
  sources: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const json = options.json === true;
  const report = await scanInto(kept, stack, options.threads, json, signal);
  if (signal.aborted) {
    note(`Stopped; ${size(report.before + report.swept)} are done. The same command goes on from there.`);
    return INTERRUPTED;
  }
  if (options.carve === true && !(await carveInto(kept, stack, json, signal))) {
    note(
      'Stopped in the search for files; what was looked through is kept. The same command again goes on from there.',
    );
    return INTERRUPTED;
  }
  const found = (await stack.files()).map((file) => {
    const carved = options.carve === true ? { carved: Object.fromEntries(kindsOf(kept, file)) } : {};
    return { source: file.locator, kinds: kept.kinds(file.source), ...carved };
  });
  if (json) printJson({ case: kept.dir, ...report, found });
  else
    print(
      [
        ...summary(report, kept),
        ...found.flatMap(lines),
        '',
        `Next: salvor inspect ${sources.map((one) => quoted(shown(one))).join(' ')}`,
      ].join('\n'),
    );
  const isAny = found.some(({ kinds, carved = {} }) => kinds.length > 0 || Object.keys(carved).length > 0);
  return isAny ? INTACT : NOTHING;
}

/** Looks for files by their content where that was not done yet. Whether it came to its end. */
async function carveInto(kept: Case, stack: Stack, json: boolean, signal: AbortSignal): Promise<boolean> {
  const line = lineOf(json, carveText);
  const command = process.argv.slice(2);
  try {
    return await carve(kept, stack, { command, signal, onProgress: (progress) => line.show(progress) });
  } finally {
    line.end();
  }
}

function carveText(p: CarveProgress): string {
  const percent = p.totalBytes === 0 ? 100 : Math.floor((p.doneBytes / p.totalBytes) * 100);
  return `Looking for files in ${size(p.doneBytes)} of ${size(p.totalBytes)} (${percent} %), ${p.files} found`;
}

/** Scans what of the sources was not scanned yet, with progress on standard error. */
export async function scanInto(
  kept: Case,
  stack: Stack,
  count: number,
  json: boolean,
  signal: AbortSignal,
): Promise<ScanReport> {
  const files = (await stack.files()).map((file) => file.source);
  const line = lineOf(json, text);
  kept.log(process.argv.slice(2), `scan of ${files.map((file) => file.path).join(', ')} begun`);
  try {
    const report = await scan(kept, files, { threads: count, signal, onProgress: (progress) => line.show(progress) });
    kept.log(process.argv.slice(2), report.whole ? 'scan ended' : 'scan stopped');
    return report;
  } finally {
    line.end();
  }
}

function text(p: ScanProgress): string {
  const percent = p.totalBytes === 0 ? 100 : Math.floor((p.doneBytes / p.totalBytes) * 100);
  const left = duration((p.totalBytes - p.doneBytes) / p.bytesPerSecond);
  return `Scanning ${size(p.doneBytes)} of ${size(p.totalBytes)} (${percent} %), ${size(p.bytesPerSecond)}/s, ${left} left, ${p.hits} pieces found`;
}

function summary(report: ScanReport, kept: Case): string[] {
  const rate = report.seconds > 0 ? `, ${size(report.swept / report.seconds)}/s` : '';
  const before = report.before > 0 ? `; ${size(report.before)} were done before` : '';
  const now =
    report.swept === 0
      ? 'Nothing was left to read'
      : `Read ${size(report.swept)} in ${duration(report.seconds)}${rate}`;
  return [`${now}${before}.`, `Kept in ${kept.dir}.`];
}

interface FoundIn {
  readonly source: string;
  readonly kinds: readonly { readonly kind: string; readonly count: number }[];
  /** Files by their content: kinds, and how many. */
  readonly carved?: Readonly<Record<string, number>>;
}

function lines({ source, kinds, carved = {} }: FoundIn): string[] {
  const all = [...kinds.map(({ kind, count }) => [kind, count] as const), ...Object.entries(carved)];
  if (all.length === 0) return [`${source}: nothing that Salvor knows`];
  return [`${source}:`, ...all.map(([kind, count]) => `  ${String(count).padStart(9)}  ${kind}`)];
}

/** salvor image: copy a device that may be failing, with a map of what could be had. */
import { createRequire } from 'node:module';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FileSource } from '../core/evidence.ts';
import { ExportError, type ImageProgress, type ImageReport, image } from '../export/index.ts';
import { useMapfileBeside } from '../stack/mapfile.ts';
import { INTACT, INTERRUPTED, interruptible, UNCERTAIN, USAGE } from './command.ts';
import { note, print, printJson, size } from './output.ts';
import { duration, lineOf } from './progress.ts';

interface Options {
  readonly sha256?: boolean;
  readonly retries: number;
  readonly skipSize: number;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('image')
    .summary('copy a failing device, good areas first, with a map of what could be had')
    .description(
      'Copies a device or file to a new raw file: large blocks first, passing over what fails; then the failed areas ' +
        'from both sides; then sector by sector. OUT.map says what is had, in the format of GNU ddrescue; the same ' +
        'command again goes on from it, also from a map that ddrescue wrote. OUT.json holds hashes in the end.',
    )
    .argument('<device>', 'device or file to copy; it is only ever read')
    .argument('<out>', 'file to write, on another disk; one that is there is only gone on with, never overwritten')
    .option('--sha256', 'also SHA-256 of the whole image')
    .addOption(new Option('--retries <n>', 'times that bad sectors are tried again').argParser(retries).default(1))
    .addOption(
      new Option('--skip-size <bytes>', 'what is passed over after an error; each further error doubles it')
        .argParser(skipSize)
        .default(65536),
    )
    .option('--json', 'one JSON document on standard output; progress as NDJSON on standard error')
    .addHelpText('after', EXAMPLES)
    .action((device: string, out: string, options: Options) => run(device, out, options));
}

const EXAMPLES = `
Examples:
  salvor image /dev/sdb /mnt/rescue/sdb.img
  salvor image /dev/sdb /mnt/rescue/sdb.img --retries 3     again later: goes on, and tries bad sectors 3 times
  salvor recover /mnt/rescue/sdb.img --out /mnt/files       uses sdb.img.map: what was not had is named, not zero

Exit codes: 0 all was read, 1 something could not be read, 2 wrong call or surroundings, 130 interrupted.`;

function retries(value: string): number {
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('Give a number of times, 0 or more.');
}

function skipSize(value: string): number {
  if (/^\d{1,10}$/.test(value) && Number(value) >= 512 && Number(value) <= 2 ** 30) return Number(value);
  throw new InvalidArgumentError('Give bytes from 512 to 1073741824.');
}

async function run(name: string, out: string, options: Options): Promise<void> {
  const json = options.json === true;
  const signal = interruptible();
  const line = lineOf(json, text);
  const device = new FileSource(name);
  try {
    const said = useMapfileBeside(device);
    if (said !== undefined) note(said);
    const report = await image(device, out, {
      sha256: options.sha256 === true,
      retries: options.retries,
      skip: options.skipSize,
      version: createRequire(import.meta.url)('../../package.json').version as string,
      command: process.argv.slice(2),
      signal,
      onProgress: (progress) => line.show(progress),
    });
    line.end();
    if (json) printJson(report);
    else print(summary(report).join('\n'));
    process.exitCode = report.lost > 0 ? UNCERTAIN : INTACT;
  } catch (error) {
    line.end();
    if (!(error instanceof ExportError)) throw error;
    note(`salvor: ${error.message}`);
    process.exitCode = error.code === 'interrupted' ? INTERRUPTED : USAGE;
  } finally {
    device.close();
  }
}

function text(p: ImageProgress): string {
  const percent = p.totalBytes === 0 ? 100 : Math.floor((p.hadBytes / p.totalBytes) * 100);
  const rate = `${size(p.bytesPerSecond)}/s`;
  if (p.phase === 'hash') return `Reading the image back for its hashes: ${size(p.position)}, ${rate}`;
  const verb = { copy: 'Copying', trim: 'Trimming', scrape: 'Scraping', retry: 'Retrying' }[p.phase];
  const rest = p.totalBytes - p.hadBytes - p.badBytes;
  const left = p.bytesPerSecond > 0 ? `${duration(rest / p.bytesPerSecond)} left, ` : '';
  const errors = p.errors > 0 ? `${p.errors} errors, ${size(p.badBytes)} bad` : 'no errors';
  const amount = `${size(p.hadBytes)} of ${size(p.totalBytes)} (${percent} %)`;
  return `${verb}, pass ${p.pass}: ${amount}, ${rate}, ${left}${errors}, at ${p.position}`;
}

function summary(report: ImageReport): string[] {
  const { lost, image: file } = report;
  const ranges = `${report.lost_ranges} range${report.lost_ranges === 1 ? '' : 's'}`;
  const state = lost === 0 ? 'All of it was read.' : `${size(lost)} in ${ranges} could not be read.`;
  const again = lost === 0 ? [] : ['The same command again tries the bad sectors once more.'];
  return [
    `Copied ${size(report.had)} of ${size(report.size)} to ${file}. ${state}`,
    ...again,
    `Map: ${file}.map. Hashes: ${file}.json.`,
  ];
}

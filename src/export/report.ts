/** The report: one page that a person can hand over, with everything in it, and the same as JSON. */
import { size } from '../stack/words.ts';
import type { FileEntry, Manifest } from './manifest.ts';
import { doubtOf, isDoubtful, recoveryLines } from './told.ts';

/** Files of one recovery that the page lists; the JSON beside it has all. */
const MAX_FILES = 5000;

export interface ReportEvidence {
  readonly path: string;
  readonly size: number;
  /** BLAKE3 over the first and the last 64 KiB. */
  readonly edges: string;
  readonly registered: string;
  /** What the scan found: kinds, with how many pieces; absent where it was not scanned. */
  readonly found?: readonly { readonly kind: string; readonly count: number }[];
}

export interface Report {
  readonly schema: 1;
  readonly program: string;
  readonly made: string;
  readonly evidence: readonly ReportEvidence[];
  /** The lines of the diagnosis, with their depth; `!` at the start of what is wrong. */
  readonly diagnosis: readonly { readonly depth: number; readonly text: string; readonly wrong: boolean }[];
  readonly alarms: readonly string[];
  readonly recoveries: readonly { readonly out: string; readonly command: string; readonly manifest: Manifest }[];
  /** Machines that were started, with what was seen of them; the screen is a PNG as base64. */
  readonly boots: readonly { readonly at: string; readonly said: string; readonly screen?: string }[];
  readonly commands: readonly string[];
  readonly custody: {
    readonly count: number;
    readonly broken?: string;
    readonly entries: readonly { readonly at: string; readonly program: string; readonly said: string }[];
  };
}

const STYLE = `
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1f24;background:#fff}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #ccd}table{border-collapse:collapse;width:100%;font-size:13px}
td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #e3e6ea;vertical-align:top;overflow-wrap:anywhere}
code,.mono{font:12.5px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}.wrong{color:#a11212}p.lead{font-size:17px}
.box{background:#f4f6f8;padding:.75rem 1rem;border-radius:6px;white-space:pre-wrap}`;

/** The page: no script, nothing from anywhere else. */
export function reportHtml(report: Report): string {
  const parts = [
    `<h1>Recovery report</h1><p class="lead">Made ${text(report.made)} by ${text(report.program)}.</p>`,
    '<p>The evidence was only read. Every byte is graded: verified (a checksum or a second copy agrees), stated (live metadata says so and its own checks passed), inferred (stale, partial or rebuilt metadata says so), guessed (content suggests so), missing (could not be had; named, never silent zeros).</p>',
    ...report.alarms.map((alarm) => `<p class="wrong"><strong>${text(alarm)}</strong></p>`),
    '<h2>Evidence</h2>',
    table(
      ['Path', 'Size', 'BLAKE3 of the first and last 64 KiB', 'Taken up', 'Scan'],
      report.evidence.map((one) => [
        one.path,
        `${one.size} (${size(one.size)})`,
        one.edges,
        one.registered,
        scanText(one),
      ]),
    ),
    '<h2>What was found</h2>',
    ...report.diagnosis.map(
      ({ depth, text: line, wrong }) =>
        `<div class="${wrong ? 'wrong' : ''}" style="margin-left:${Math.min(depth, 12) * 1.25}rem">${text(line)}</div>`,
    ),
    ...report.recoveries.flatMap(recovery),
    ...(report.boots.length === 0 ? [] : ['<h2>Machines that were started</h2>', ...report.boots.map(boot)]),
    '<h2>How to do it again</h2>',
    `<div class="box mono">${report.commands.map(text).join('\n')}</div>`,
    '<h2>What was done</h2>',
    `<p class="${report.custody.broken === undefined ? '' : 'wrong'}">${text(report.custody.broken ?? `The log of ${report.custody.count} entries is as it was written: each carries the SHA-256 of the one before.`)}</p>`,
    table(
      ['When', 'Program', 'What'],
      report.custody.entries.map(({ at, program, said }) => [at, program, said]),
    ),
  ];
  const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width"><title>Recovery report</title><style>${STYLE}</style></head><body>${parts.join('\n')}</body></html>\n`;
}

function boot({ at, said, screen }: Report['boots'][number]): string {
  const isPlain = screen !== undefined && /^[A-Za-z0-9+/=]+$/.test(screen);
  const picture = isPlain
    ? `<img alt="The last screen of the machine" style="max-width:100%" src="data:image/png;base64,${screen}">`
    : '';
  return `<p>${text(at)}: ${text(said)}</p>${picture}`;
}

function scanText({ found }: ReportEvidence): string {
  if (found === undefined) return 'not scanned whole';
  return found.map(({ kind, count }) => `${count} × ${kind}`).join(', ') || 'nothing known';
}

function recovery({ out, command, manifest }: Report['recoveries'][number]): string[] {
  const files = manifest.files.filter((file) => file.kind !== 'directory');
  const doubtful = files.filter(isDoubtful);
  const sound = files.filter((file) => !isDoubtful(file));
  const shown = [...doubtful, ...sound].slice(0, MAX_FILES);
  return [
    `<h2>Recovered to ${text(out)}</h2>`,
    `<p class="mono">${text(command)}</p>`,
    ...recoveryLines(manifest, out).map((line) => `<div>${text(line)}</div>`),
    '<h3>Files, those less than whole and stated first</h3>',
    table(['Path', 'Size', 'Certainty', 'What is wrong', 'Hash', 'Where it was'], shown.map(fileRow)),
    ...(shown.length < files.length
      ? [`<p>and ${files.length - shown.length} more; the JSON report has all.</p>`]
      : []),
  ];
}

function fileRow(file: FileEntry): string[] {
  const hash = file.sha256 !== null ? `sha256 ${file.sha256}` : file.tree !== null ? `tree ${file.tree}` : '';
  const wrong = isDoubtful(file) ? doubtOf(file) : '';
  return [file.path, size(file.size), file.certainty.worst, wrong, hash, file.locator];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${text(cell)}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table>`;
}

const SIGNS: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function text(value: string): string {
  return value.replace(/[&<>"']/g, (sign) => SIGNS[sign]);
}

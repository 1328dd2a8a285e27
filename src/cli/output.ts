/** What commands print: one JSON document or plain text on stdout, everything else on stderr. */
import type { Damage } from '../core/damage.ts';
import type { Node } from '../core/node.ts';

/** A line for the person beside the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 1)}\n`);
}

/** A node as JSON: times are seconds since 1970, sizes bytes, modes numbers. */
export function nodeJson(node: Node): Record<string, unknown> {
  const { name, locator, kind, state, format, facts, damage, notices, disks, disk } = node;
  const { details, target, ...plain } = facts;
  return {
    name,
    locator,
    kind,
    state,
    ...(format !== undefined && { format }),
    ...plain,
    ...(target !== undefined && { target }),
    ...(details !== undefined && { details }),
    ...(disks !== undefined && { disks }),
    ...(disk !== undefined && { disk }),
    ...(notices !== undefined && notices.length > 0 && { notices }),
    damage,
  };
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A size for people: 1.5 GiB. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(Number.isInteger(value) || value >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

/** A time for people, in UTC: 2021-08-11 07:37. */
export function time(seconds: number | undefined): string {
  if (seconds === undefined) return '-'.padEnd(16);
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
}

const LETTERS: Readonly<Record<string, string>> = {
  directory: 'd',
  filesystem: 'd',
  symlink: 'l',
  rdm: 'r',
  system: 's',
};

/** Kind and mode as ls shows them: drwxr-xr-x. */
export function modeText(node: Node): string {
  const letter = LETTERS[node.kind] ?? '-';
  const mode = node.facts.mode;
  if (mode === undefined) return `${letter}---------`;
  return letter + [6, 3, 0].map((shift) => triple((mode >> shift) & 7)).join('');
}

function triple(bits: number): string {
  return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`;
}

/** Damages as indented sentences, the first few of each kind. */
export function damageLines(damage: readonly Damage[], indent: string): string[] {
  const shown = damage.slice(0, 20).map((d) => {
    return `${indent}! ${d.at}: expected ${d.expected}, found ${d.actual}; ${d.effect} (${d.code})`;
  });
  if (damage.length > 20) shown.push(`${indent}! and ${damage.length - 20} more; --json has them all`);
  return shown;
}

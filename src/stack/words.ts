/** How nodes, sizes and times are put for people, and for programs as JSON: the same on every surface. */
import { type Damage, sentence } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES } from '../core/run.ts';

/** A node as JSON: times are seconds since 1970, sizes bytes, modes numbers. */
export function nodeJson(node: Node): Record<string, unknown> {
  const { name, locator, kind, state, format, facts, damage, notices, machines, disk } = node;
  // Built without spreading: this is done for every entry of a listing.
  const out: Record<string, unknown> = { name, locator, kind, state };
  if (format !== undefined) out.format = format;
  Object.assign(out, facts);
  if (machines !== undefined) out.machines = graded(machines);
  if (disk !== undefined) out.disk = disk;
  if (notices !== undefined && notices.length > 0) out.notices = notices;
  out.damage = damage;
  return out;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** The same with grades by their names. */
export function graded(value: unknown): unknown {
  const name = (key: string, one: unknown): unknown =>
    key === 'certainty' && typeof one === 'number' ? CERTAINTY_NAMES[one] : one;
  return JSON.parse(JSON.stringify(value, name));
}

/** A size for people: 1.5 GiB. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(Number.isInteger(value) || value >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

/** So many of something: 1 file, 2 files, 3 directories. */
export function counted(n: number, what: string): string {
  return `${n} ${n === 1 ? what : what.endsWith('y') ? `${what.slice(0, -1)}ies` : `${what}s`}`;
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
    return `${indent}! ${sentence(d)}`;
  });
  if (damage.length > 20) shown.push(`${indent}! and ${damage.length - 20} more; --json has them all`);
  return shown;
}

/** Text that people may see, safe on any screen: a locator holds host paths, and a path can hold anything. */
export function shown(text: string): string {
  return /^[ -~]*$/.test(text) ? text : printable(Buffer.from(text, 'utf8').toString('latin1'));
}

/** A time for people, in UTC with seconds: 2021-08-11 07:37:29 UTC. */
export function timeInFull(seconds: number): string {
  const moment = new Date(seconds * 1000);
  if (Number.isNaN(moment.getTime())) return `${seconds} seconds after 1970, which is no date`;
  return `${moment.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

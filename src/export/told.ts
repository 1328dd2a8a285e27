/** What came of a recovery, in the sentences that a person reads on any surface. */
import { quoted } from '../codec/shell.ts';
import { counted, size } from '../stack/words.ts';
import type { Manifest } from './manifest.ts';
import type { Estimate } from './options.ts';

/** Files that are not whole and stated, the worst first; the first few by name. */
const NAMED = 12;

/** A finished recovery, the worst first; `out` is the directory as it was typed. */
export function recoveryLines(manifest: Manifest, out: string): string[] {
  const regenerated = new Set(manifest.regenerated?.map((one) => one.path));
  const files = manifest.files.filter((file) => file.kind !== 'directory' && !regenerated.has(file.path));
  const doubtful = files.filter(isDoubtful);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const lost = files.reduce((sum, file) => sum + file.certainty.bytes.missing, 0);
  const lines = [`Recovered ${counted(files.length, 'file')}, ${size(bytes)}, to ${out}.`];
  if (doubtful.length === 0) lines.push('All of them are whole, and live metadata says so that passed its checks.');
  else {
    lines.push(
      `${files.length - doubtful.length} are whole and stated; ${doubtful.length} are not, ${size(lost)} are missing:`,
    );
    for (const file of doubtful.slice(0, NAMED)) lines.push(`  ${file.path}: ${doubtOf(file)}`);
    if (doubtful.length > NAMED) lines.push(`  and ${doubtful.length - NAMED} more; manifest.json names them all`);
  }
  for (const { path, what } of (manifest.encrypted ?? []).slice(0, NAMED)) lines.push(`${path} ${what}.`);
  if (manifest.encrypted?.some(({ kind }) => kind !== 'unclear') === true) lines.push(ENCRYPTED);
  lines.push(...regeneratedLines(manifest));
  for (const machine of manifest.machines) lines.push(machineLine(machine, manifest));
  for (const one of manifest.left_out) lines.push(`Left out: ${one.count} of kind ${one.kind}, ${one.reason}.`);
  lines.push(
    ...manifest.notes.slice(0, NAMED),
    `Proof: ${out}/manifest.json. Check it again with: salvor verify ${quoted(out)}`,
  );
  return lines;
}

const ENCRYPTED = 'Encrypted stripes count as missing; the copies hold their bytes as they are, should a key turn up.';

function regeneratedLines({ regenerated = [] }: Manifest): string[] {
  if (regenerated.length === 0) return [];
  const lines = [
    `Made anew beside them, because machines lack them: ${counted(regenerated.length, 'file')}. Look at them before use:`,
  ];
  for (const { path, lacks, from, assumed, notes } of regenerated.slice(0, NAMED)) {
    const sources = [...from, ...(assumed ? ['assumptions that are marked in it'] : [])].join(', ');
    lines.push(`  ${path}: ${lacks}; from ${sources}`, ...notes.map((note) => `    ${note}`));
  }
  if (regenerated.length > NAMED) lines.push(`  and ${regenerated.length - NAMED} more; manifest.json names them all`);
  return lines;
}

type FileEntry = Manifest['files'][number];

/** Whether a file is less than whole and stated. */
export function isDoubtful(file: FileEntry): boolean {
  return !['verified', 'stated'].includes(file.certainty.worst) || file.gaps.length > 0;
}

/** What is wrong with a doubtful file, in a few words. */
export function doubtOf(file: FileEntry): string {
  const { bytes } = file.certainty;
  const parts = (['inferred', 'guessed', 'missing'] as const)
    .filter((grade) => bytes[grade] > 0)
    .map((grade) => `${size(bytes[grade])} ${grade}`);
  const codes = [...new Set([...file.reasons.map((r) => r.code), ...file.damage.map((d) => d.code)])];
  return `${parts.join(', ') || file.certainty.worst}${codes.length > 0 ? ` (${codes.slice(0, 4).join(', ')})` : ''}`;
}

function machineLine(machine: Manifest['machines'][number], manifest: Manifest): string {
  const byLocator = new Map(manifest.files.map((file) => [file.locator, file]));
  const chain = machine.disks.flatMap((disk) => disk.chain);
  const whole = machine.disks.every((disk) => disk.path !== null) && chain.every((l) => byLocator.get(l) !== undefined);
  const state = whole ? 'all its descriptors are here' : 'parts of its disks are missing';
  const what = `${machine.disks.length} disk${machine.disks.length === 1 ? '' : 's'}`;
  return `Machine "${machine.name}": ${what}, ${state}${machine.note === undefined ? '' : `; ${machine.note}`}.`;
}

/** What is there of a machine that is not whole. */
export function availabilityLine({ machine, bytes, missing, absent }: Estimate['availability'][number]): string {
  const whole = bytes === 0 ? 0 : Math.floor(((bytes - missing) / bytes) * 1000) / 10;
  const had =
    missing === 0
      ? `${size(bytes)} of it are here`
      : `${whole} % of ${size(bytes)} are here, ${size(missing)} are missing`;
  return `Machine "${machine}": ${had}${absent.length > 0 ? `; ${absent.join('; ')}` : ''}.`;
}

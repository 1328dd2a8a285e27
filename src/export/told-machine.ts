/** What came of a machine that was written for a platform, in the sentences that a person reads on any surface. */
import { quoted } from '../codec/shell.ts';
import type { Decision } from '../core/machine-writer.ts';
import { shown, size } from '../stack/words.ts';
import type { RecoveredMachine } from './machine.ts';

/** A machine that was written; `out` is the directory as it was typed. */
export function machineLines({ plan, manifest }: RecoveredMachine, out: string): string[] {
  const { machine, target, steps, later, writer } = plan;
  const lines = [`Wrote machine "${shown(machine.name)}" for ${writer.platform.title} to ${out}:`];
  for (const { path, size: bytes, certainty, kind } of manifest.files) {
    const grade =
      kind === 'disk' ? `, ${certainty.worst === 'missing' ? 'parts of it are missing' : certainty.worst}` : '';
    lines.push(`  ${shown(path)}, ${size(bytes)}${grade}`);
  }
  for (const lost of machine.lost) lines.push(`  ! ${shown(lost)}: it is without that disk`);
  lines.push('Chosen, and why:', ...target.decisions.map(decisionLine), 'Then:');
  lines.push(...stepLines(steps));
  if (later.length > 0) lines.push('To move to virtio, once it runs:');
  lines.push(...stepLines(later));
  lines.push(`Proof: ${out}/manifest.json. Check it again with: salvor verify ${quoted(out)}`);
  return lines;
}

/** What there is to do, in order. */
export function stepLines(steps: readonly string[]): string[] {
  return steps.map((step, i) => `  ${i + 1}. ${shown(step)}`);
}

/** One choice and its reason. */
export function decisionLine({ what, value, reason }: Decision): string {
  return `  ${shown(what)}: ${shown(value)} (${shown(reason)})`;
}

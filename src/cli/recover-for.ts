/** salvor recover --target: one machine, written for a platform. */
import { ExportError, type MachinePlan, type RecoveredMachine, recoverMachine } from '../export/index.ts';
import { machineWriters } from '../formats/index.ts';
import { guestOf } from '../stack/guest/index.ts';
import type { Stack } from '../stack/stack.ts';
import { INTACT, INTERRUPTED, NOTHING, UNCERTAIN, USAGE } from './command.ts';
import { counted, note, print, printJson, shown, size } from './output.ts';
import { pickMachine } from './pick.ts';
import { decisionLine } from './plan.ts';
import { progressLine } from './progress.ts';

interface Options {
  readonly out: string;
  readonly vm?: string;
  readonly target: string;
  readonly json?: boolean;
  readonly ova?: boolean;
}

/** Does it, and says what was done. Answers the exit code. */
export async function recoverFor(
  stack: Stack,
  inner: string | undefined,
  options: Options,
  signal: AbortSignal,
): Promise<number> {
  const json = options.json === true;
  const machine = await pickMachine(stack, inner, options.vm);
  const guest = await guestOf(stack, machine);
  const writer = machineWriters.find(({ platform }) => platform.target === options.target)!;
  const line = progressLine(json);
  try {
    const done = await recoverMachine(stack, machine, {
      out: options.out,
      writer,
      guest,
      archive: options.ova === true,
      command: process.argv.slice(2),
      signal,
      onPlan: (plan) => (json ? undefined : note(announce(plan))),
      onProgress: (progress) => line.show(progress),
    });
    line.end();
    if (json) printJson({ ...done.manifest, decisions: done.plan.target.decisions, steps: done.plan.steps });
    else print(summary(done, options.out).join('\n'));
    return worst(done);
  } catch (error) {
    line.end();
    if (!(error instanceof ExportError)) throw error;
    note(`salvor: ${error.message}`);
    if (error.code === 'interrupted') return INTERRUPTED;
    return error.code === 'nothing' ? NOTHING : USAGE;
  }
}

function announce({ machine, writer, disks }: MachinePlan): string {
  const bytes = disks.reduce((sum, { source }) => sum + source.size, 0);
  return `Machine "${shown(machine.name)}" for ${writer.platform.title}: ${counted(disks.length, 'disk')}, ${size(bytes)}.`;
}

function summary({ plan, manifest }: RecoveredMachine, out: string): string[] {
  const { machine, target, steps, later, writer } = plan;
  const lines = [`Wrote machine "${shown(machine.name)}" for ${writer.platform.title} to ${out}:`];
  for (const { path, size: bytes, certainty, kind } of manifest.files) {
    const grade =
      kind === 'disk' ? `, ${certainty.worst === 'missing' ? 'parts of it are missing' : certainty.worst}` : '';
    lines.push(`  ${shown(path)}, ${size(bytes)}${grade}`);
  }
  for (const lost of machine.lost) lines.push(`  ! ${shown(lost)}: it is without that disk`);
  lines.push('Chosen, and why:', ...target.decisions.map(decisionLine), 'Then:');
  lines.push(...steps.map((step, i) => `  ${i + 1}. ${shown(step)}`));
  if (later.length > 0) lines.push('To move to virtio, once it runs:');
  lines.push(...later.map((step, i) => `  ${i + 1}. ${shown(step)}`));
  lines.push(`Proof: ${out}/manifest.json. Check it again with: salvor verify ${out}`);
  return lines;
}

function worst({ plan, manifest }: RecoveredMachine): number {
  const disks = manifest.files.filter(({ kind }) => kind === 'disk');
  // An archive is never more than inferred, for the texts in it were made; that alone leaves nothing uncertain.
  const isMadeOnly = ({ certainty: { worst: grade }, reasons }: (typeof disks)[number]): boolean =>
    grade === 'inferred' && reasons.length > 0 && reasons.every(({ code }) => code === 'machine.written');
  const isWhole = disks.every((one) => ['verified', 'stated'].includes(one.certainty.worst) || isMadeOnly(one));
  return isWhole && plan.machine.lost.length === 0 ? INTACT : UNCERTAIN;
}

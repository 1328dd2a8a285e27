/** salvor recover --target: one machine, written for a platform. */
import { type MachinePlan, machineLines, type RecoveredMachine, recoverMachine } from '../export/index.ts';
import { machineWriters } from '../formats/index.ts';
import { guestOf } from '../stack/guest/index.ts';
import type { Stack } from '../stack/stack.ts';
import { endOf, INTACT, UNCERTAIN } from './command.ts';
import { counted, note, print, printJson, shown, size } from './output.ts';
import { pickMachine } from './pick.ts';
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
    else print(machineLines(done, options.out).join('\n'));
    return worst(done);
  } catch (error) {
    line.end();
    return endOf(error);
  }
}

function announce({ machine, writer, disks }: MachinePlan): string {
  const bytes = disks.reduce((sum, { source }) => sum + source.size, 0);
  const doubts = (machine.doubts ?? []).map((doubt) => `! ${shown(doubt)}\n`).join('');
  return `${doubts}Machine "${shown(machine.name)}" for ${writer.platform.title}: ${counted(disks.length, 'disk')}, ${size(bytes)}.`;
}

function worst({ plan, manifest }: RecoveredMachine): number {
  const disks = manifest.files.filter(({ kind }) => kind === 'disk');
  // An archive is never more than inferred, for the texts in it were made; that alone leaves nothing uncertain.
  const isMadeOnly = ({ certainty: { worst: grade }, reasons }: (typeof disks)[number]): boolean =>
    grade === 'inferred' && reasons.length > 0 && reasons.every(({ code }) => code === 'machine.written');
  const isWhole = disks.every((one) => ['verified', 'stated'].includes(one.certainty.worst) || isMadeOnly(one));
  return isWhole && plan.machine.lost.length === 0 && plan.machine.doubts === undefined ? INTACT : UNCERTAIN;
}

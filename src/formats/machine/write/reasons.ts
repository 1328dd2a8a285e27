/** Why a machine is what it is, as comments of what is written for it. */
import type { TargetMachine } from '../../../core/machine-writer.ts';
import { xmlText } from '../xml.ts';

/** The reason of a decision as a comment behind an element; '' where nothing was decided. */
export function xmlWhy(machine: TargetMachine, what: string): string {
  const found = machine.decisions.find((one) => one.what === what);
  if (found === undefined) return '';
  // Two dashes, or one at the end, may not stand in a comment.
  const text = xmlText(`${what}: ${found.reason}`)
    .replace(/-(?=-)/g, '- ')
    .replace(/-$/, '- ');
  return ` <!-- ${text} -->`;
}

/** All decisions as comments of a script or a configuration, a line each. */
export function reasonLines({ decisions }: TargetMachine): string[] {
  return decisions.map(({ what, value, reason }) => `# ${`${what}: ${value} (${reason})`.replace(/\p{Cc}+/gu, ' ')}`);
}

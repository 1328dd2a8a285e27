/** The product and its peers as programs on this machine. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender } from './measure.ts';

export const ROOT: string = join(import.meta.dirname, '..');
const LAUNCHER = join(ROOT, 'bin', 'salvor.js');
/** The Node that the project brings along: the launcher goes on in the same process. */
const NODE = join(ROOT, 'node_modules', '.bin', 'node');

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
process.env.PATH = env.PATH; // Debian keeps the VMFS tools in sbin

/** salvor with arguments, started through the launcher. Missing bytes or doubts are no failure of a benchmark. */
export function salvor(args: readonly string[], more: Partial<Contender> = {}): Contender {
  return { name: 'salvor', command: [NODE, LAUNCHER, ...args], ...more };
}

/** The same from the Node that the user has, which may have to start another one. */
export function salvorOnSystemNode(args: readonly string[]): Contender | undefined {
  const path = (process.env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'));
  const node = path.map((folder) => join(folder, 'node')).find(existsSync);
  return node === undefined ? undefined : { name: 'system', command: [node, LAUNCHER, ...args] };
}

/** Why a peer cannot be used here, or undefined where it can. */
export function whyNot(...programs: readonly string[]): string | undefined {
  for (const program of programs) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `${program} is not installed`;
    if (program.endsWith('-fuse') && !existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  }
  return undefined;
}

/** Whether this build has a command yet. */
export function knows(command: string): boolean {
  return spawnSync(NODE, [LAUNCHER, command, '--help'], { stdio: 'ignore' }).status === 0;
}

/** First line that a program prints, for the record. */
export function lineOf(program: string, ...args: string[]): string {
  const done = spawnSync(program, args, { encoding: 'utf8', env });
  return (done.stdout ?? '').split('\n')[0].trim();
}

/** Versions of everything that was compared. */
export function versions(): string[] {
  const packages = ['vmfs-tools', 'vmfs6-tools', 'coreutils'];
  const peers = packages.map((name) => {
    const version = lineOf('dpkg-query', '-W', '-f', `\${Version}`, name);
    return `${name} ${version === '' ? '(not installed)' : version}`;
  });
  const system = salvorOnSystemNode([]);
  const outside = system === undefined ? 'none' : lineOf(system.command[0], '--version');
  return [`Node ${lineOf(NODE, '--version')} (system: ${outside})`, ...peers];
}

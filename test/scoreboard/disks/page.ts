/** docs/scoreboard-disks.md, from all cells that have run. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../place.ts';
import { type DiskCell, SEED } from './cells.ts';
import type { DiskEntry } from './run.ts';
import { DISK_PROGRAMS, type DiskProgram, type DiskScore } from './work.ts';

export const DISK_PAGE: string = join(ROOT, 'docs', 'scoreboard-disks.md');

interface Known {
  readonly cell: DiskCell;
  readonly scores: Partial<Record<DiskProgram, DiskScore>>;
  readonly entry: DiskEntry;
}

const percent = (score: DiskScore): string =>
  `${score.filled === 0 ? 100 : Math.floor((score.right / score.filled) * 1000) / 10} %`;

/** A cell as the page shows it: whole, or how much came back, and what is wrong. */
function shown(score: DiskScore | undefined): string {
  if (score === undefined) return 'not run';
  if (score.whole) return 'whole';
  const note = score.note === undefined ? '' : `, ${score.note}`;
  if (score.right === 0 && score.wrong === 0) return `–${note}`;
  const wrong = score.wrong === 0 ? '' : `, ${Math.ceil(score.wrong / 1024)} KiB wrong`;
  return `${percent(score)}${wrong}${score.lies > 0 && score.note === undefined ? '!' : ''}${note}`;
}

function summary(known: readonly Known[]): string[] {
  const groups = [...new Set(known.map(({ cell }) => cell.group))];
  const count = (list: readonly Known[], program: DiskProgram, what: (score: DiskScore) => boolean): number =>
    list.filter(({ scores }) => scores[program] !== undefined && what(scores[program])).length;
  const rows = groups.map((group) => {
    const list = known.filter(({ cell }) => cell.group === group);
    const whole = DISK_PROGRAMS.map((program) => `${count(list, program, (score) => score.whole)}`);
    const lies = DISK_PROGRAMS.map((program) => `${count(list, program, (score) => score.lies > 0)}`);
    return `| ${[group, list.length, ...whole, ...lies].join(' | ')} |`;
  });
  return [
    '| format | cells | whole: Salvor | qemu-img convert | after check -r all | lies: Salvor | qemu-img convert | after check -r all |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ];
}

/** QCOW2 as layouts by damages, which is one line a layout. */
function matrix(known: readonly Known[]): string[] {
  const own = known.filter(({ cell }) => cell.group === 'qcow2');
  const damages = [...new Set(own.map(({ cell }) => cell.damage))];
  const layouts = [...new Set(own.map(({ cell }) => cell.layout))];
  const bar = own.filter(({ cell }) => cell.damage !== 'l2');
  const whole = bar.filter(({ scores }) => scores.salvor?.whole === true).length;
  const reasons = new Map<string, string[]>();
  for (const { cell, scores } of bar) {
    if (scores.salvor?.whole === true) continue;
    const because = cell.because ?? 'not explained';
    reasons.set(because, [...(reasons.get(because) ?? []), `${cell.layout}: ${cell.damage}`]);
  }
  return [
    'Guests are ext4, NTFS, XFS, or a partition table and random bytes.',
    `Without the column of L2 tables ${whole} of ${bar.length} are whole.${reasons.size > 0 ? ' The others:' : ''}`,
    ...[...reasons].map(([because, cells]) => `- ${cells.join('; ')}: ${because}.`),
    '',
    `| layout | ${damages.join(' | ')} |`,
    `| --- |${' --- |'.repeat(damages.length)}`,
    ...layouts.map((layout) => {
      const cells = damages.map((damage) =>
        shown(own.find(({ cell }) => cell.layout === layout && cell.damage === damage)?.scores.salvor),
      );
      return `| ${[layout, ...cells].join(' | ')} |`;
    }),
  ];
}

function listed(known: readonly Known[]): string[] {
  const others = known.filter(({ cell }) => cell.group !== 'qcow2');
  return [
    '| format | layout | damage | Salvor | qemu-img convert | after check -r all |',
    '| --- | --- | --- | --- | --- | --- |',
    ...others.map(({ cell, scores }) => {
      const cells = DISK_PROGRAMS.map((program) => shown(scores[program]));
      return `| ${[cell.group, cell.layout, cell.damage, ...cells].join(' | ')} |`;
    }),
  ];
}

/** Writes the page. `all` is how many cells there are. */
export function writeDiskPage(known: readonly Known[], all: number): void {
  const qemu =
    spawnSync('qemu-img', ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? 'qemu-img is not there';
  const commits = [...new Set(known.map(({ entry }) => entry.commit))].join(', ');
  const whens = known.map(({ entry }) => entry.when).sort();
  const lines = [
    '# Damaged virtual disks',
    '',
    'Written by `npm run scoreboard -- disks`; do not edit.',
    '',
    'Disks of many layouts, each with one of its structures gone: zeros or noise in its place. Whole is every byte of the',
    'disk right. A share is that of its sectors with something in them that came back right; the rest is missing, or wrong as',
    'the number behind it says. A lie is a wrong byte that nothing casts doubt on: of Salvor one that is called stated or',
    'verified, of qemu-img any in what it wrote without an error; `!` marks them. `qemu-img check -r all` worked on a copy.',
    '',
    `${known.length} cells have run${known.length < all ? `; of the ${all} in the list, some do not apply or have not run yet` : ''}. Seed ${SEED} (QCOW2: 7). ${whens[0] ?? ''} to ${whens.at(-1) ?? ''}, at`,
    `${commits}; ${qemu}; ${cpus().length} cores of ${cpus()[0]?.model ?? 'an unknown CPU'}.`,
    '',
    ...summary(known),
    '',
    '## QCOW2',
    '',
    ...matrix(known),
    '',
    '## The other formats',
    '',
    ...listed(known),
  ];
  writeFileSync(DISK_PAGE, `${lines.join('\n')}\n`);
}

/** docs/scoreboard.md, from all that is known. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { Bar, Cell, Group } from './cell.ts';
import { cells, GROUPS } from './cells.ts';
import type { Score } from './judge.ts';
import { PAGE, PATH } from './place.ts';
import { type Entry, isCurrent, load, type Subject } from './record.ts';
import { SEED } from './store.ts';
import { meets, percent, shareOf } from './work.ts';

const MIB = 0x100000;
const GIB = 1024 * MIB;
const HEAD = [
  '| damage | VMFS | vms | machines | files | right MiB | of MiB | bytes % | names % | lies | doubted | altered | s | bar | met | fuse: bytes %, names | PhotoRec: bytes %, wrong MiB |',
  '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
];

interface Row {
  readonly cell: Cell;
  readonly entry: Entry | undefined;
}

function barOf({ bytes, names, thin }: Bar): string {
  const share = thin === undefined ? `${bytes * 100}` : `${bytes * 100} thick, ${thin * 100} thin`;
  return names === undefined ? share : `${share} / ${names * 100}`;
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(bytes < MIB ? 3 : 1);
}

function namesOf(score: Score): string {
  return percent(score.nameable === 0 ? undefined : score.names / score.nameable);
}

function peer(cell: Cell, program: 'fuse' | 'photorec'): string {
  if (cell.size !== 5) return '';
  const entry = load(cell, program);
  if (entry === undefined) return 'not run';
  if (entry.score === undefined) return entry.note ?? '';
  const note = entry.note === undefined ? '' : ` (${entry.note})`;
  const last = program === 'fuse' ? namesOf(entry.score) : mib(entry.score.lies);
  return `${percent(shareOf(entry.score))}, ${last}${note}`;
}

function line({ cell, entry }: Row, now: Subject): string {
  const start = [cell.damage.id, `${cell.version}`, `${cell.size}`];
  const peers = [peer(cell, 'fuse'), peer(cell, 'photorec')];
  const score = entry?.score;
  if (entry === undefined || score === undefined) {
    return `| ${[...start, 'not run', ...Array(9).fill(''), barOf(cell.damage.bar), '', ...peers].join(' | ')} |`;
  }
  const isThin = cell.damage.bar.thin !== undefined;
  const apart = isThin ? ` (thick ${percent(shareOf(score.thick))}, thin ${percent(shareOf(score.thin))})` : '';
  const old = isCurrent(entry, 'salvor', now) ? '' : ` (at ${entry.commit})`;
  const doubt = (bytes: number): string => (bytes === 0 ? '0' : `${bytes}`);
  const middle = [
    score.machines.join(' / '),
    score.files.join(' / '),
    mib(score.right),
    mib(score.recoverable),
    percent(shareOf(score)) + apart,
    namesOf(score),
    score.lies === 0 ? '0' : `**${score.lies}**`,
    doubt(score.doubtfulWrong),
    doubt(score.altered),
    entry.seconds.toFixed(1),
    barOf(cell.damage.bar),
    (meets(cell, score) ? 'yes' : '**no**') + old,
  ];
  return `| ${[...start, ...middle, ...peers].join(' | ')} |`;
}

function summary(group: Group, rows: readonly Row[]): string {
  const own = rows.filter(({ cell }) => cell.group === group);
  const run = own.flatMap(({ cell, entry }) => (entry?.score === undefined ? [] : [{ cell, score: entry.score }]));
  const sum = (pick: (score: Score) => number): number => run.reduce((total, { score }) => total + pick(score), 0);
  const met = run.filter(({ cell, score }) => meets(cell, score)).length;
  const all = shareOf({ right: sum((s) => s.right), recoverable: sum((s) => s.recoverable) });
  const peers = (['fuse', 'photorec'] as const).map((program) => {
    const scores = own.flatMap(({ cell }) => load(cell, program)?.score ?? []);
    const total = (pick: (score: Score) => number): number => scores.reduce((n, s) => n + pick(s), 0);
    return percent(shareOf({ right: total((s) => s.right), recoverable: total((s) => s.recoverable) }));
  });
  const names = sum((s) => s.nameable);
  const cellsOf = [`${group.id}. ${group.title}`, `${run.length} of ${own.length}`, `${met}`, percent(all)];
  cellsOf.push(percent(names === 0 ? undefined : sum((s) => s.names) / names), `${sum((s) => s.lies)}`, ...peers);
  return `| ${cellsOf.join(' | ')} |`;
}

function versions(): string {
  const packages = ['vmfs-tools', 'vmfs6-tools', 'testdisk', 'e2fsprogs', 'ntfs-3g', 'xfsprogs', 'gdisk'];
  const known = packages.map((name) => {
    const done = spawnSync('dpkg-query', ['-W', '-f', `\${Version}`, name], { encoding: 'utf8', env: { PATH } });
    return `${name} ${done.status === 0 && done.stdout !== '' ? done.stdout : '(not installed)'}`;
  });
  return `Node ${process.version}, ${known.join(', ')}`;
}

function notes(rows: readonly Row[]): string {
  const list = rows.flatMap(({ cell, entry }) => {
    const liars = (entry?.score?.lies ?? 0) > 0 ? [`lies: ${entry!.score!.liars.join('; ')}`] : [];
    const note = entry?.note?.startsWith('exit') || entry?.score === undefined ? entry?.note : undefined;
    const all = [...liars, ...(note === undefined ? [] : [note])];
    return all.length === 0 ? [] : [`- ${cell.id}: ${all.join('; ').replace(/\s+/g, ' ')}`];
  });
  return list.length === 0 ? '' : `\n## Lies and crashes\n\n${list.join('\n')}\n`;
}

/** Writes the page. */
export function writePage(now: Subject): void {
  const rows = cells().map((cell): Row => ({ cell, entry: load(cell, 'salvor') }));
  const whens = rows.flatMap(({ entry }) => entry?.when ?? []).sort();
  const machine = `${cpus().length} cores of ${cpus()[0]?.model.trim()}, ${(totalmem() / GIB).toFixed(0)} GiB, Linux ${release()}`;
  const tables = GROUPS.map((group) => {
    const own = rows.filter(({ cell }) => cell.group === group);
    return `## ${group.id}. ${group.title}\n\n${[...HEAD, ...own.map((row) => line(row, now))].join('\n')}\n`;
  });
  const page = `# Scoreboard

Written by \`npm run scoreboard\`; do not edit. Each call works for at most ten minutes (SALVOR_SCOREBOARD_MINUTES) and goes
on where the last one stopped; a change in src/ makes cells old, which shows in the column "met" until they are run again.
\`npm run scoreboard -- 3/machine-A\` runs the cells whose names begin so; \`npm run scoreboard -- make 3/machine-A/v5/m5 DIR\`
writes the damaged images of one cell to DIR and prints the command that was run on them.

Each cell is a made datastore of 5 or 20 machines, whose disks hold ext4, NTFS and XFS made by mkfs and filled with seeded
files, some thick, some thin and grown in turns, some mapped through pointer blocks; then it is damaged. Salvor runs as
\`salvor recover IMAGE… --deep --out DIR\`. What it brings is held against what was there, in sectors of 512 bytes; sectors
of zeros count nowhere.

- machines, files: whole / in part / lost, of those that the damage is about. A machine is whole where its disks, their
  descriptors and its .vmx are, under their names; where texts were lost, where such a text is written anew and fits.
- of MiB: what physically survives in its place, found by reading the damaged images block by block; bytes %: how much of
  that came back, under whatever name. names %: files of which something survives and that came back under their name in
  their folder; where entries are deleted, unreadable or on a lost member, of those that are left.
- lies: bytes graded stated or verified that are not what was there. doubted: wrong ones graded inferred or guessed.
  altered: bytes that were changed in their own place (encrypted, wiped), given as the store holds them now.
- s: seconds of the whole program. A bar is bytes % / names %, and no lies.
- fuse is vmfs-fuse or vmfs6-fuse and a copy of all files, told where the partition starts; PhotoRec searches the whole image
  for all the kinds of files it knows, and all it brings counts where it is a piece of a machine's disk. Peers run on five machines only.

${machine}; ${versions()}. Seeds from ${SEED}. Cells run from ${whens[0] ?? '–'} to ${whens.at(-1) ?? '–'}, now at ${now.commit}.

| group | cells run | bars met | bytes % | names % | lies | fuse bytes % | PhotoRec bytes % |
| --- | --- | --- | --- | --- | --- | --- | --- |
${GROUPS.map((group) => summary(group, rows)).join('\n')}

${tables.join('\n')}${notes(rows)}`;
  writeFileSync(PAGE, page);
}

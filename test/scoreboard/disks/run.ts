/** npm run scoreboard -- disks [CELL…]: damaged virtual disks, Salvor and qemu-img on them, and docs/scoreboard-disks.md. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, ROOT } from '../place.ts';
import { type Subject, subject } from '../record.ts';
import { type DiskCell, diskCells } from './cells.ts';
import { DISK_PAGE, writeDiskPage } from './page.ts';
import { DISK_PROGRAMS, type DiskProgram, type DiskScore, workOnDisk } from './work.ts';

const PLACE = join(CACHE, 'disks');

/** What is kept of a cell between calls. */
export interface DiskEntry {
  /** Git's name of src/ when Salvor ran, and a hash of the makers, damages and judges. */
  readonly tree: string;
  readonly bench: string;
  readonly commit: string;
  readonly when: string;
  /** Undefined where the damage does not apply. */
  readonly scores?: Partial<Record<DiskProgram, DiskScore>>;
}

/** Names what makes, damages and judges disks as it is now. */
function benchHash(): string {
  const hash = createHash('sha256');
  const inFolder = (folder: string): string[] =>
    readdirSync(join(ROOT, folder))
      .sort()
      .filter((name) => name.endsWith('.ts') && name !== 'page.ts' && name !== 'run.ts')
      .map((name) => join(folder, name));
  const more = [
    'test/make/disks.ts',
    'test/make/content.ts',
    'test/formats/qcow2-images.ts',
    'test/formats/vmdk-damages.ts',
    'test/formats/vmdk-guests.ts',
    'test/scoreboard/guests.ts',
  ];
  for (const path of [...['test/scoreboard/disks', 'test/make/disk', 'test/make/machine'].flatMap(inFolder), ...more])
    hash.update(readFileSync(join(ROOT, path)));
  return hash.digest('hex').slice(0, 12);
}

const fileOf = (cell: DiskCell): string => join(PLACE, `${cell.id.replaceAll('/', ',').replaceAll(' ', '_')}.json`);

function load(cell: DiskCell): DiskEntry | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(cell), 'utf8')) as DiskEntry;
  } catch {
    return undefined;
  }
}

function save(cell: DiskCell, entry: DiskEntry): void {
  mkdirSync(PLACE, { recursive: true });
  writeFileSync(`${fileOf(cell)}.new`, JSON.stringify(entry));
  renameSync(`${fileOf(cell)}.new`, fileOf(cell));
}

/** What has still to run on a cell: a peer does not change with src/. */
function openFor(entry: DiskEntry | undefined, now: Subject, bench: string): readonly DiskProgram[] {
  if (entry?.bench !== bench) return DISK_PROGRAMS;
  return entry.tree === now.tree ? [] : ['salvor'];
}

/** Runs open cells for some minutes, and writes the page. Answers whether Salvor told no lie. */
export function scoreDisks(names: readonly string[], minutes: number): boolean {
  const end = performance.now() + minutes * 60_000;
  const now = subject();
  const bench = benchHash();
  const cells = diskCells();
  const chosen = cells.filter(({ id }) => names.length === 0 || names.some((name) => id.startsWith(name)));
  let left = 0;
  for (const cell of chosen) {
    const entry = load(cell);
    const programs = openFor(entry, now, bench);
    if (programs.length === 0) continue;
    if (performance.now() > end) {
      left++;
      continue;
    }
    const when = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    const brought = workOnDisk(cell, programs);
    const known = entry?.bench === bench ? entry.scores : undefined;
    const scores = brought && { ...known, ...brought };
    save(cell, { tree: now.tree, bench, commit: now.commit, when, ...(scores && { scores }) });
    const mine = scores?.salvor;
    if (mine !== undefined) console.log(`${cell.id}: ${lineOf(mine)}`);
  }
  const entries = cells.flatMap((cell) => {
    const entry = load(cell);
    return entry?.scores === undefined || entry.bench !== bench ? [] : [{ cell, scores: entry.scores, entry }];
  });
  writeDiskPage(entries, cells.length);
  console.log(`${left} cells are still to run. Written: ${DISK_PAGE}`);
  return entries.every(({ scores }) => (scores.salvor?.lies ?? 0) === 0);
}

function lineOf({ filled, lies, note, right, whole, wrong }: DiskScore): string {
  if (whole) return 'whole';
  return `${right} of ${filled} right, ${wrong} wrong, ${lies} lies${note === undefined ? '' : ` (${note})`}`;
}

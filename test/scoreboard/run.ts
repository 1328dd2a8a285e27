/** npm run scoreboard [-- [peers] CELL…], carving, disks [CELL…], or make CELL DIR: damaged stores, Salvor and its peers on them, and docs/scoreboard.md. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from '../cli/salvor.ts';
import { carving } from './carving.ts';
import type { Cell } from './cell.ts';
import { cells } from './cells.ts';
import { scoreDisks } from './disks/run.ts';
import { writePage } from './page.ts';
import { PAGE } from './place.ts';
import { isCurrent, load, PEERS, type Program, save, subject } from './record.ts';
import { lineOf, workOn } from './work.ts';

const MINUTES = Number(process.env.SALVOR_SCOREBOARD_MINUTES ?? 10);

interface Task {
  readonly cell: Cell;
  readonly programs: readonly Program[];
}

/** What is still to do: Salvor on few machines, then on many, then its peers. */
function tasks(args: readonly string[]): Task[] {
  const now = subject();
  const peersOnly = args[0] === 'peers';
  const names = peersOnly ? args.slice(1) : args;
  const chosen = cells().filter((cell) => names.length === 0 || names.some((name) => cell.id.startsWith(name)));
  const open = (cell: Cell, programs: readonly Program[]): Task[] => {
    const left = programs.filter((program) => !isCurrent(load(cell, program), program, now));
    return left.length === 0 ? [] : [{ cell, programs: left }];
  };
  return [
    ...(peersOnly ? [] : chosen.flatMap((cell) => open(cell, ['salvor']))),
    ...chosen.filter((cell) => cell.size === 5).flatMap((cell) => open(cell, PEERS)),
  ];
}

async function work(names: readonly string[]): Promise<number> {
  const end = performance.now() + MINUTES * 60_000;
  const now = subject();
  const list = tasks(names);
  let longest = 0;
  let done = 0;
  let failures = 0;
  for (const { cell, programs } of list) {
    const from = performance.now();
    if (from + longest > end) break;
    const when = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    try {
      for (const { program, ...result } of await workOn(cell, programs)) {
        save(cell, program, { ...now, when, ...result });
        console.log(lineOf(cell, { program, ...result }));
      }
    } catch (error) {
      failures++;
      console.error(`${cell.id}: could not be run: ${(error as Error).message}`);
    }
    longest = Math.max(longest, performance.now() - from);
    done++;
  }
  writePage(now);
  console.log(`${done} of ${list.length} open tasks done. Written: ${PAGE}`);
  return failures === 0 ? 0 : 1;
}

/** Writes the images of a cell, to look at what is wrong with it. */
async function make(id: string | undefined, dir: string | undefined): Promise<number> {
  const cell = cells().find((one) => one.id === id);
  if (cell === undefined || dir === undefined) {
    console.error(
      'Give the whole name of a cell, as docs/scoreboard.md has it (GROUP/DAMAGE/vVERSION/mVMS), and a directory.',
    );
    return 2;
  }
  mkdirSync(dir, { recursive: true });
  const { images } = await cell.damage.make(cell.version, cell.size, resolve(dir), cell.seed);
  console.log(`node bin/salvor.js recover ${images.join(' ')} --deep --out ${join(resolve(dir), 'out')}`);
  return 0;
}

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'make') return make(args[1], args[2]);
  if (!(MINUTES > 0)) {
    console.error('SALVOR_SCOREBOARD_MINUTES is a number above 0.');
    return 2;
  }
  build();
  if (args[0] === 'carving') return carving() ? 0 : 1;
  if (args[0] === 'disks') return scoreDisks(args.slice(1), MINUTES) ? 0 : 1;
  return work(args);
}

process.exitCode = await main(process.argv.slice(2));

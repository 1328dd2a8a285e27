/** Disks over NBD, beside qemu-nbd: read from end to end, and in small pieces at random. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { seeded } from '../../test/make/content.ts';
import { inTurns } from '../measure.ts';
import { faster, type Row } from '../row.ts';
import { ROOT, salvor, whyNot } from '../salvor.ts';
import type { Workplace } from '../workplace.ts';
import { GIB, type Job } from './job.ts';

const DATA = 2; // GiB
const READS = 100_000;
const ROUNDS = 5;
const START = 10_000; // milliseconds for a server to come up
const FORMATS = ['raw', 'qcow2', 'vmdk'] as const;

export const nbd: Job = {
  id: 'nbd',
  gib: 7,
  memory: 250,
  async *run(place) {
    const reason = whyNot('qemu-nbd', 'nbdcopy', 'qemu-img');
    if (reason !== undefined) {
      yield `nbd: skipped, because ${reason}`;
      return;
    }
    const raw = place.plain('disk.raw', seeded(7, DATA * GIB));
    for (const format of FORMATS) {
      const disk = format === 'raw' ? raw : place.path(`disk.${format}`);
      if (format !== 'raw') spawnSync('qemu-img', ['convert', '-O', format, raw, disk]);
      yield* beside(place, format, disk);
      if (format !== 'raw') place.remove(disk);
    }
    place.remove(raw);
  },
};

async function* beside(place: Workplace, format: string, disk: string): AsyncGenerator<Row> {
  const sockets = { salvor: place.path('salvor.sock'), 'qemu-nbd': place.path('qemu.sock') };
  const servers = [
    spawn('qemu-nbd', ['-r', '-t', '-e', '8', '-f', format, '-x', 'disk', '-k', sockets['qemu-nbd'], disk]),
    started(salvor(['nbd', disk, '--socket', sockets.salvor]).command),
  ];
  try {
    for (const socket of Object.values(sockets)) await there(socket);
    const each = (command: (socket: string) => string[]) =>
      Object.entries(sockets).map(([name, socket]) => ({ name, command: command(socket) }));
    const sequential = each((socket) => ['nbdcopy', `nbd+unix:///disk?socket=${socket}`, 'null:']);
    yield faster(`nbd: ${DATA} GiB of ${format} by nbdcopy`, await inTurns(sequential, ROUNDS), 'qemu-nbd', 1);
    const reader = join(ROOT, 'bench', 'nbd-reads.ts');
    const random = each((socket) => [process.execPath, reader, socket, String(READS)]);
    const job = `nbd: ${READS / 1000},000 random reads of 4 KiB of ${format}, 16 in flight`;
    yield faster(job, await inTurns(random, ROUNDS), 'qemu-nbd', 0.8);
  } finally {
    await Promise.all(servers.map(ended));
    place.remove(...Object.values(sockets));
  }
}

function started([program, ...args]: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'ignore' });
}

function ended(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (server.exitCode !== null) resolve();
    server.on('exit', () => resolve());
    server.kill();
  });
}

async function there(socket: string): Promise<void> {
  for (const end = performance.now() + START; !existsSync(socket); ) {
    if (performance.now() > end) throw new Error(`nothing listens on ${socket}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A guest that runs: qemu as a child, its serial line and its monitor. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as net from 'node:net';
import * as path from 'node:path';
import { ServeError } from '../error.ts';
import { isInstalled, QEMU } from './host.ts';
import { Monitor } from './monitor.ts';

/** Runs a program that the kernel ends when this one is gone, whatever ended it. Of util-linux, which every Linux has. */
const GUARD: readonly string[] = ['setpriv', '--pdeathsig', 'KILL', '--'];
/** Characters of the serial line that are searched and kept. */
const KEPT = 256 * 1024;
/** Characters of what qemu itself says that are kept. */
const KEPT_ERRORS = 4096;
/** Milliseconds after which a guest that was asked to end is made to. */
const PATIENCE = 5000;

export class Guest {
  readonly command: readonly string[];
  readonly #folder: string;
  readonly #servers: net.Server[] = [];
  #child: ChildProcess | undefined;
  #errors = '';
  /** The last of what came over the serial line, as latin1. */
  serial = '';
  /** Milliseconds since this program began, when the first byte came over the serial line. */
  firstSerial: number | undefined;
  monitor: Monitor | undefined;
  onSerial: ((bytes: Buffer) => void) | undefined;
  /** Settles when qemu ends: its exit code, or null. */
  ended: Promise<number | null> = Promise.resolve(null);

  /** `folder`: private, for the sockets. `log`: a file that takes the serial line. */
  constructor(args: readonly string[], folder: string, log: string | undefined) {
    this.#folder = folder;
    const file = (name: string): string => this.#path(name).replaceAll(',', ',,');
    const kept = log === undefined ? '' : `,logfile=${log.replaceAll(',', ',,')}`;
    this.command = [
      ...(isInstalled(GUARD[0]) ? GUARD : []),
      QEMU,
      ...args,
      '-chardev',
      `socket,id=serial,path=${file('serial')}${kept}`,
      '-serial',
      'chardev:serial',
      '-chardev',
      `socket,id=monitor,path=${file('monitor')}`,
      '-mon',
      'chardev=monitor,mode=control',
    ];
  }

  #path(name: string): string {
    return path.join(this.#folder, `${name}.sock`);
  }

  /** Starts it. Throws ServeError where qemu does not come up. */
  async start(): Promise<void> {
    await this.#listen('serial', (socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes) => this.#hear(bytes));
    });
    let connected = (): void => undefined;
    const ready = new Promise<void>((resolve) => {
      connected = resolve;
    });
    await this.#listen('monitor', (socket) => {
      this.monitor = new Monitor(socket);
      connected();
    });
    const [program, ...args] = this.command;
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    child.stderr.on('data', (bytes: Buffer) => {
      this.#errors = (this.#errors + bytes.toString('utf8')).slice(-KEPT_ERRORS);
    });
    this.ended = new Promise((resolve) => {
      child.on('error', () => resolve(null));
      child.on('exit', resolve);
    });
    await new Promise<void>((resolve, reject) => {
      child.on('spawn', resolve);
      child.on('error', (error) => reject(new ServeError(`${program} could not be started: ${error.message}.`)));
    });
    await Promise.race([ready, this.ended]);
    if (this.monitor === undefined) throw new ServeError(`qemu does not come up: ${this.errors || 'it says nothing'}.`);
  }

  /** What qemu itself said on standard error. */
  get errors(): string {
    return this.#errors.trim();
  }

  /** Ends it, by force if it does not go. Safe to call twice. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      this.monitor?.execute('quit').catch(() => undefined);
      const force = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
      if (this.monitor === undefined) child.kill();
      await this.ended;
      clearTimeout(force);
    }
    for (const server of this.#servers.splice(0)) server.close();
  }

  async #listen(name: string, meet: (socket: net.Socket) => void): Promise<void> {
    const server = net.createServer(meet);
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#path(name), resolve);
    });
  }

  #hear(bytes: Buffer): void {
    this.firstSerial ??= performance.now();
    this.serial = (this.serial + bytes.toString('latin1')).slice(-KEPT);
    this.onSerial?.(bytes);
  }
}

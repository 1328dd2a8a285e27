/** An NBD server: disks for any number of clients on one socket, read-only. */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { ServeError } from '../error.ts';
import { Buffers } from './buffers.ts';
import { Connection, type Shared } from './connection.ts';
import { type Export, type Lost, nothingServed, type Served } from './exports.ts';
import { handshake } from './handshake.ts';
import { Inbox } from './inbox.ts';
import { Cut, HANDSHAKE_TIME, MAX_CONNECTIONS, TAKE_TIME } from './protocol.ts';

/** Where to listen: a path, or a host and a port (0: any that is free). */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

export interface ServerOptions {
  readonly lost: Lost;
  /** Milliseconds that a client has for the handshake. */
  readonly handshakeTime?: number;
  onFault(error: unknown): void;
  /** A client's connection was ended for its own fault. */
  onCut?(why: string): void;
}

/** The longest path of a socket, with the byte behind it, on every system. */
const MAX_SOCKET_PATH = 104;

export class NbdServer {
  readonly served: Served = nothingServed();
  readonly #server: net.Server;
  readonly #disks: readonly Export[];
  readonly #options: ServerOptions;
  readonly #shared: Shared;
  readonly #sockets = new Map<net.Socket, Connection | undefined>();
  readonly #watch: NodeJS.Timeout;

  constructor(disks: readonly Export[], options: ServerOptions) {
    this.#disks = disks;
    this.#options = options;
    this.#shared = {
      lost: options.lost,
      served: this.served,
      buffers: new Buffers(),
      onFault: (error) => options.onFault(error),
    };
    this.#server = net.createServer({ noDelay: true }, (socket) => void this.#meet(socket));
    this.#watch = setInterval(() => this.#cutStuck(), TAKE_TIME / 6).unref();
  }

  /** Starts to listen; answers where. Throws ServeError with a sentence. */
  async listen(address: Address): Promise<Address> {
    const path = 'path' in address ? address.path : undefined;
    if (path !== undefined && Buffer.byteLength(path) >= MAX_SOCKET_PATH) {
      throw new ServeError(`${path} has more than the ${MAX_SOCKET_PATH - 1} bytes that a socket's path can have.`);
    }
    // Nobody else may connect, from the first moment on.
    const mask = path === undefined ? undefined : process.umask(0o177);
    const listening = new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen('path' in address ? { path: address.path } : address, resolve);
    });
    if (mask !== undefined) process.umask(mask);
    try {
      await listening;
    } catch (error) {
      throw new ServeError(sentence(error, address));
    }
    this.#server.on('error', (error) => this.#options.onFault(error));
    if (path !== undefined) fs.chmodSync(path, 0o600);
    const at = this.#server.address();
    return at === null || typeof at === 'string' ? address : { host: at.address, port: at.port };
  }

  /** Ends all connections and removes the socket. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    for (const socket of this.#sockets.keys()) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #meet(socket: net.Socket): Promise<void> {
    // A client that goes away is no fault of anything.
    socket.on('error', () => socket.destroy());
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      this.#cut(`there are ${MAX_CONNECTIONS} clients already`);
      return;
    }
    this.#sockets.set(socket, undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    this.served.connections++;
    try {
      const inbox = new Inbox(socket);
      const agreed = await handshake(socket, inbox, this.#disks, this.#options.handshakeTime ?? HANDSHAKE_TIME);
      if (agreed !== undefined) {
        const connection = new Connection(socket, inbox, agreed, this.#shared);
        if (this.#sockets.has(socket)) this.#sockets.set(socket, connection);
        await connection.serve();
      }
      socket.end();
      socket.destroySoon();
    } catch (error) {
      socket.destroy();
      if (error instanceof Cut) this.#cut(error.message);
      else this.#options.onFault(error);
    }
  }

  #cut(why: string): void {
    this.served.cut++;
    this.#options.onCut?.(why);
  }

  #cutStuck(): void {
    for (const [socket, connection] of this.#sockets) {
      if (connection?.isStuck(performance.now()) !== true) continue;
      socket.destroy();
      this.#cut(`the client took nothing for ${TAKE_TIME} ms`);
    }
  }
}

function sentence(error: unknown, address: Address): string {
  const where = 'path' in address ? address.path : `${address.host} port ${address.port}`;
  const code = (error as { code?: string }).code;
  if (code === 'EADDRINUSE') return `${where} is in use already, and nothing is ever overwritten. Name another one.`;
  return `Nothing can listen on ${where}: ${error instanceof Error ? error.message : String(error)}.`;
}

/** The server: on the loopback address only, with limits on what a client may take of time and room. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { appOf } from './app.ts';
import { Guard } from './guard.ts';
import { Workspace } from './workspace.ts';

const LOOPBACK = '127.0.0.1';
/** A client that sends its request slower than this, or takes nothing for that long, is let go. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const IDLE_MS = 60_000;
const MAX_CONNECTIONS = 128;

export interface Serving {
  /** What a person opens; the token is behind the '#'. */
  readonly address: string;
  readonly token: string;
  readonly port: number;
  readonly workspace: Workspace;
  close(): Promise<void>;
}

export interface ServeOptions {
  /** 0 or absent: one that is free. */
  readonly port?: number;
  /** Name and version of the program. */
  readonly program: string;
  /** For tests: milliseconds until slow clients are let go. */
  readonly slow?: number;
}

/** Begins to listen. Rejects with what the system said where the port cannot be had. */
export async function serve({ port = 0, program, slow }: ServeOptions): Promise<Serving> {
  const workspace = new Workspace(program);
  let bound = port;
  const guard = new Guard(() => [`${LOOPBACK}:${bound}`, `localhost:${bound}`]);
  const app = appOf(workspace, guard);
  const serverOptions = {
    headersTimeout: slow ?? HEADERS_MS,
    requestTimeout: slow ?? REQUEST_MS,
    connectionsCheckingInterval: slow ?? HEADERS_MS,
  };
  const server = createAdaptorServer({ fetch: app.fetch, serverOptions }) as Server;
  // Also for requests that are refused before the application sees them.
  server.prependListener('request', (_, answer) => answer.setHeader('X-Content-Type-Options', 'nosniff'));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(slow ?? IDLE_MS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });
  bound = (server.address() as AddressInfo).port;
  return {
    address: `http://${LOOPBACK}:${bound}/#${guard.token}`,
    token: guard.token,
    port: bound,
    workspace,
    close: () =>
      new Promise((resolve) => {
        workspace.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

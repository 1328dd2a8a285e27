/** Listening for HTTP: on the loopback address only, with limits on what a client may take of time and room. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';

export const LOOPBACK = '127.0.0.1';
/** A client that sends its request slower than this, or takes nothing for that long, is let go. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const IDLE_MS = 60_000;
const MAX_CONNECTIONS = 128;

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** What the Host header of a request to a port of this machine may say. */
export function hostsOf(port: number): readonly string[] {
  return [`${LOOPBACK}:${port}`, `localhost:${port}`];
}

/**
 * Begins to listen. Rejects with what the system said where the port cannot be had. `slow`: milliseconds until slow
 * clients are let go, for tests.
 */
export async function listen(
  fetch: Parameters<typeof createAdaptorServer>[0]['fetch'],
  port: number,
  slow?: number,
): Promise<Listening> {
  const serverOptions = {
    headersTimeout: slow ?? HEADERS_MS,
    requestTimeout: slow ?? REQUEST_MS,
    connectionsCheckingInterval: slow ?? HEADERS_MS,
  };
  const server = createAdaptorServer({ fetch, serverOptions }) as Server;
  // Also for requests that are refused before the application sees them.
  server.prependListener('request', (_, answer) => answer.setHeader('X-Content-Type-Options', 'nosniff'));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(slow ?? IDLE_MS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A tree of evidence over WebDAV, on the loopback address of this machine. */
import type { Node } from '../../core/node.ts';
import type { Stack } from '../../stack/stack.ts';
import { hostsOf, LOOPBACK, listen } from '../loopback.ts';
import { davApp } from './app.ts';
import type { DavOptions } from './file.ts';
import { DavGuard } from './guard.ts';
import { DavTree } from './tree.ts';

export interface DavServing {
  /** What a file manager opens. */
  readonly address: string;
  readonly port: number;
  /** The password; undefined where none is asked for. */
  readonly token: string | undefined;
  close(): Promise<void>;
}

export interface DavServerOptions extends DavOptions {
  /** 0 or absent: one that is free. */
  readonly port?: number;
  /** Serve what is in this only. */
  readonly top?: Node | undefined;
  /** Ask for no password: every program of this machine may look. */
  readonly isOpen?: boolean;
  /** For tests: milliseconds until slow clients are let go. */
  readonly slow?: number;
}

/** Begins to serve. Rejects with what the system said where the port cannot be had. */
export async function serveDav(stack: Stack, options: DavServerOptions): Promise<DavServing> {
  let bound = 0;
  const guard = new DavGuard(() => hostsOf(bound), options.isOpen === true);
  const app = davApp(new DavTree(stack, options.top), guard, options);
  const server = await listen(app.fetch, options.port ?? 0, options.slow);
  bound = server.port;
  return { address: `http://${LOOPBACK}:${bound}/`, port: bound, token: guard.token, close: server.close };
}

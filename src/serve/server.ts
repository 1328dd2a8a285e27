/** The server of the web interface: on the loopback address only. */
import { appOf } from './app.ts';
import { Guard } from './guard.ts';
import { hostsOf, LOOPBACK, listen } from './loopback.ts';
import { Workspace } from './workspace.ts';

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
  const guard = new Guard(() => hostsOf(bound));
  const app = appOf(workspace, guard);
  const server = await listen(app.fetch, port, slow);
  bound = server.port;
  return {
    address: `http://${LOOPBACK}:${bound}/#${guard.token}`,
    token: guard.token,
    port: bound,
    workspace,
    close: () =>
      new Promise((resolve) => {
        workspace.close();
        void server.close().then(resolve);
      }),
  };
}

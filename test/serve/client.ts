/** A client that says exactly what a test wants it to say, headers and all. */

import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServeOptions, type Serving, serve } from '../../src/serve/server.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Sends one request to a port of the loopback address. */
export function ask(port: number, { method = 'GET', path, headers = {}, body }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** A server of this process over some sources, with a folder of its own. */
export class Served {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'salvor-serve-'));
  serving!: Serving;

  async begin(sources: readonly string[], options: Partial<ServeOptions> = {}): Promise<this> {
    this.serving = await serve({ program: 'salvor test', ...options });
    if (sources.length > 0) await this.serving.workspace.open(sources, join(this.dir, 'case'));
    return this;
  }

  get bearer(): Record<string, string> {
    return { authorization: `Bearer ${this.serving.token}` };
  }

  ask(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return ask(this.serving.port, { path, headers: { ...this.bearer, ...headers } });
  }

  /** Asks with the token; answers the JSON document, or throws what was said. */
  async get<T>(path: string, query: Readonly<Record<string, string | number>> = {}): Promise<T> {
    const text = new URLSearchParams(
      Object.entries(query).map(([k, v]): [string, string] => [k, String(v)]),
    ).toString();
    return parsed<T>(await this.ask(`${path}${text === '' ? '' : `?${text}`}`));
  }

  async post<T>(path: string, value: unknown): Promise<T> {
    const body = JSON.stringify(value);
    const headers = {
      ...this.bearer,
      'content-type': 'application/json',
      'content-length': `${Buffer.byteLength(body)}`,
    };
    return parsed<T>(await ask(this.serving.port, { method: 'POST', path, headers, body }));
  }

  /** Begins a job and waits for its end. */
  async job<T = unknown>(kind: string, options: Readonly<Record<string, unknown>> = {}): Promise<JobEnd<T>> {
    const { id } = await this.post<{ id: string }>('/api/jobs', { job: { kind, options } });
    for (;;) {
      const { jobs } = await this.get<{ jobs: JobEnd<T>[] }>('/api/jobs');
      const job = jobs.find((one) => one.id === id)!;
      if (job.state !== 'running' && job.state !== 'stopping') return job;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async end(): Promise<void> {
    await this.serving.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface JobEnd<T> {
  readonly id: string;
  readonly state: string;
  readonly said: readonly string[];
  readonly error?: string;
  readonly result: T;
}

function parsed<T>({ status, body }: Answer): T {
  if (status !== 200) throw new Error(`${status}: ${body.toString()}`);
  return JSON.parse(body.toString()) as T;
}

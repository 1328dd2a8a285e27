/** What the server and its child processes say to each other. */
import type { z } from '@hono/zod-openapi';
import type { JobRequest } from './schemas.ts';

/** What a child opens before anything else. */
export interface Opening {
  readonly sources: readonly string[];
  /** The folder of the case, which is there, and where it may be. */
  readonly case: string;
  /** Whether the custody log shall say that it was opened; jobs say themselves what they do. */
  readonly isLogged?: boolean;
  /** Name and version of the program, for the custody log. */
  readonly program: string;
  /** Whether machines can be started here: a child may not look for programs. */
  readonly hasQemu: boolean;
}

export type JobOrder = z.infer<typeof JobRequest>;

/** From the server to a child. */
export type ToChild =
  | { readonly kind: 'open'; readonly opening: Opening }
  | { readonly kind: 'ask'; readonly id: number; readonly op: string; readonly args: unknown }
  | { readonly kind: 'work'; readonly job: JobOrder }
  | { readonly kind: 'stop' };

/** A fault as it goes over: `known` are sentences for a person, others are faults of the program. */
export interface Fault {
  readonly message: string;
  readonly code: string;
  readonly known: boolean;
}

/** From a child to the server. */
export type FromChild =
  | { readonly kind: 'opened' }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'fault'; readonly id?: number; readonly fault: Fault }
  | { readonly kind: 'progress'; readonly progress: Readonly<Record<string, number | string>> }
  | {
      readonly kind: 'ended';
      readonly stopped: boolean;
      readonly said: readonly string[];
      readonly result?: unknown;
    };

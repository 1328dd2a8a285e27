/** One way to add a question to the API: checked on the way in, documented, faults as sentences. */
import { createRoute, type OpenAPIHono, type z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { ChildFault } from './child.ts';
import { FolderError } from './host-files.ts';
import { JobsFull } from './jobs.ts';
import { Problem } from './schemas.ts';
import { NothingOpen } from './workspace.ts';

interface Shape<Q extends z.ZodObject, A extends z.ZodType> {
  readonly method: 'get' | 'post';
  readonly path: string;
  readonly summary: string;
  /** What is asked for: the query of a GET, the body of a POST. */
  readonly asks?: Q | undefined;
  readonly answers: A;
}

const json = <S extends z.ZodType>(schema: S) => ({ 'application/json': { schema } });

/** Where a method has what is asked for. */
const TARGETS = { get: 'query', post: 'json' } as const;

/** Adds a route. */
export function add<Q extends z.ZodObject, A extends z.ZodType>(
  app: OpenAPIHono,
  { method, path, summary, asks, answers }: Shape<Q, A>,
  answer: (asked: z.infer<Q>, c: Context) => z.infer<A> | Promise<z.infer<A>>,
): void {
  const request =
    asks === undefined
      ? {}
      : method === 'get'
        ? { request: { query: asks } }
        : { request: { body: { content: json(asks), required: true } } };
  const route = createRoute({
    method,
    path,
    summary,
    ...request,
    responses: {
      200: { description: 'The answer', content: json(answers) },
      400: { description: 'What was asked cannot be', content: json(Problem) },
    },
  });
  // The types of a route that is put together at run time are checked by the schemas, not by the compiler.
  app.openapi(route, (async (c: Context) => {
    const asked = asks === undefined ? ({} as z.infer<Q>) : (c.req.valid(TARGETS[method] as never) as z.infer<Q>);
    try {
      return c.json(await answer(asked, c), 200);
    } catch (error) {
      return faultOf(c, error);
    }
  }) as never);
}

/** A fault as an answer: a sentence where it is one for a person, and no more than that where it is not. */
export function faultOf(c: Context, error: unknown): Response {
  if (error instanceof ChildFault) {
    const status = error.code === 'not-found' ? 404 : error.code === 'crash' ? 503 : error.known ? 400 : 500;
    return c.json({ error: error.message, code: error.code }, status);
  }
  if (error instanceof NothingOpen) return c.json({ error: error.message, code: 'nothing-open' }, 409);
  if (error instanceof JobsFull) return c.json({ error: error.message, code: 'busy' }, 409);
  if (error instanceof FolderError) return c.json({ error: error.message, code: 'folder' }, 400);
  return c.json(
    { error: 'This is a fault of the program, not yours. The evidence was not touched.', code: 'fault' },
    500,
  );
}

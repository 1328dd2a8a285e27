/** WebDAV, to look only: OPTIONS, PROPFIND, GET, HEAD; locks for clients that insist on them. Source: RFC 4918, class 1. */
import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { EvidenceError } from '../../core/evidence.ts';
import { LocatorError } from '../../stack/locate.ts';
import { streamOf } from '../stream.ts';
import { type DavOptions, fileOf } from './file.ts';
import type { DavGuard } from './guard.ts';
import { hrefOf, segmentsOf } from './names.ts';
import { propertiesOf } from './properties.ts';
import type { DavTree, Place } from './tree.ts';
import { MULTISTATUS, MULTISTATUS_END, responseOf, type Wanted, wantedBy, XML_HEAD, XmlRefused } from './xml.ts';

/** Bytes of a request's body. */
const MAX_BODY = 64 * 1024;
/** Characters of a listing that are sent at once. */
const BATCH = 32 * 1024;
/** Milliseconds after which a client is told that its listing is still made. */
const PATIENCE = 2000;
const METHODS = ['OPTIONS', 'GET', 'HEAD', 'PROPFIND', 'LOCK', 'UNLOCK'];
const ALLOWED: string = METHODS.join(', ');
const XML = { 'Content-Type': 'application/xml; charset=utf-8' };
const READ_ONLY =
  'This is evidence, or what was recovered of it: it can be read and copied, and nothing here can be changed.';

/** The application: the guard, and the methods. */
export function davApp(tree: DavTree, guard: DavGuard, options: DavOptions): Hono {
  const app = new Hono();
  app.use('*', guard.door());
  app.use('*', (c, next) =>
    METHODS.includes(c.req.method) ? next() : Promise.resolve(c.text(`${READ_ONLY}\n`, 403, { Allow: ALLOWED })),
  );
  app.use(
    '*',
    bodyLimit({ maxSize: MAX_BODY, onError: (c) => c.text(`A request may have ${MAX_BODY} bytes.\n`, 413) }),
  );
  app.onError((error, c) => {
    const isKnown = [EvidenceError, LocatorError, XmlRefused].some((kind) => error instanceof kind);
    if (isKnown) return c.text(`${error.message}\n`, error instanceof XmlRefused ? 400 : 404);
    return c.text('This is a fault of the program, not yours. The evidence was not touched.\n', 500);
  });
  app.all('*', (c) => answer(c, tree, options));
  return app;
}

async function answer(c: Context, tree: DavTree, options: DavOptions): Promise<Response> {
  const { method } = c.req;
  if (method === 'OPTIONS') return c.body(null, 200, { Allow: ALLOWED, DAV: '1', 'MS-Author-Via': 'DAV' });
  if (method === 'UNLOCK') return c.body(null, 204);
  const segments = segmentsOf(new URL(c.req.url).pathname);
  if (segments === undefined) return c.text('This path cannot be one of this tree.\n', 400);
  const place = await tree.place(segments);
  if (place === undefined) return c.text('There is nothing at this path.\n', 404);
  if (method === 'LOCK') return locked(c, segments, place);
  if (method === 'PROPFIND') return found(c, segments, place);
  if (place.isFolder)
    return c.text('This is a folder; open this address with a file manager that speaks WebDAV.\n', 200);
  return fileOf(c, place.node!, options);
}

/** A lock that binds nobody, because nobody can write: what it would keep from changing cannot change. */
function locked(c: Context, segments: readonly string[], place: Place): Response {
  const token = `opaquelocktoken:${randomUUID()}`;
  const body =
    `${XML_HEAD}<D:prop xmlns:D="DAV:"><D:lockdiscovery><D:activelock><D:locktype><D:write/></D:locktype>` +
    '<D:lockscope><D:exclusive/></D:lockscope><D:depth>0</D:depth><D:timeout>Second-3600</D:timeout>' +
    `<D:locktoken><D:href>${token}</D:href></D:locktoken><D:lockroot><D:href>${hrefOf(segments, place.isFolder)}` +
    '</D:href></D:lockroot></D:activelock></D:lockdiscovery></D:prop>\n';
  return c.body(body, 200, { ...XML, 'Lock-Token': `<${token}>` });
}

async function found(c: Context, segments: readonly string[], place: Place): Promise<Response> {
  const depth = c.req.header('depth') ?? 'infinity';
  if (depth !== '0' && depth !== '1') {
    const body = `${XML_HEAD}<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n`;
    return c.body(body, 403, XML);
  }
  const wanted = wantedBy(await c.req.text());
  const pieces = listing(segments, place, depth === '1' && place.isFolder, wanted);
  // What cannot be listed at all is an error; what fails later cuts the answer off, so that nobody takes it for whole.
  return c.body(await streamOf(c, pieces), 207, XML);
}

async function* listing(
  segments: readonly string[],
  place: Place,
  isDeep: boolean,
  wanted: Wanted,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const line = (path: readonly string[], { node, isFolder }: Place): string =>
    responseOf(hrefOf(path, isFolder), propertiesOf(path.at(-1) ?? '', node, isFolder), wanted);
  let text = MULTISTATUS + line(segments, place);
  if (isDeep) {
    for await (const entry of paced(place.entries())) {
      // What is empty holds the connection while something is looked for; between elements it means nothing.
      text += entry === undefined ? '\n' : line([...segments, entry.segment], entry.place);
      if (text.length < BATCH && entry !== undefined) continue;
      yield encoder.encode(text);
      text = '';
    }
  }
  yield encoder.encode(text + MULTISTATUS_END);
}

/** The same, with `undefined` wherever the next one takes long: what was deleted is searched for when it is listed. */
export async function* paced<T>(entries: AsyncIterable<T>): AsyncGenerator<T | undefined> {
  const iterator = entries[Symbol.asyncIterator]();
  let pace = new Pace();
  try {
    for (;;) {
      const next = iterator.next();
      while (await pace.isLate(next)) {
        yield undefined;
        pace = new Pace();
      }
      const { done, value } = await next;
      if (done === true) return;
      yield value;
    }
  } finally {
    pace.end();
    await iterator.return?.();
  }
}

/** One stretch of PATIENCE. */
class Pace {
  #late = (): void => undefined;
  readonly #over = new Promise<boolean>((resolve) => {
    this.#late = () => resolve(true);
  });
  readonly #timer = setTimeout(() => this.#late(), PATIENCE);

  /** Whether it is over before `what` is settled. */
  isLate(what: Promise<unknown>): Promise<boolean> {
    const settled = (): boolean => false;
    return Promise.race([what.then(settled, settled), this.#over]);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

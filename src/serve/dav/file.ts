/** A file over WebDAV: its bytes or a range of them, and an end of the connection where bytes are missing. */
import type { Context } from 'hono';
import { MemorySource } from '../../core/memory.ts';
import type { Node } from '../../core/node.ts';
import { MISSING } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { placed } from '../../stack/placed.ts';
import { encoded, PIECE, rangeOf, SANDBOX } from '../bytes.ts';
import type { Lost } from '../nbd/exports.ts';
import { streamOf } from '../stream.ts';
import { dateOf, linkText } from './properties.ts';

export interface DavOptions {
  readonly lost: Lost;
  /** Told of reads that met missing bytes. */
  readonly onLost?: (locator: string, bytes: number) => void;
}

/** Thrown into an answer that was begun: there is no other way left to say that it is not whole. */
class NotWhole extends Error {}

/** Answers GET and HEAD. */
export async function fileOf(c: Context, node: Node, options: DavOptions): Promise<Response> {
  const source = node.kind === 'symlink' ? new MemorySource(linkText(node)) : await node.bytes?.();
  if (source === undefined) return c.text(`This is a ${node.kind} and has no bytes of its own.\n`, 409);
  const range = rangeOf(c.req.header('range'), source.size);
  if (range === undefined) return c.body(null, 416, { 'Content-Range': `bytes */${source.size}` });
  const { from, end, isPart } = range;
  const headers: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(end - from),
    'Content-Disposition': `attachment; filename*=UTF-8''${encoded(node.name)}`,
    'Content-Security-Policy': SANDBOX,
    'Accept-Ranges': 'bytes',
  };
  const modified = dateOf(node);
  if (modified !== undefined) headers['Last-Modified'] = modified;
  if (isPart) headers['Content-Range'] = `bytes ${from}-${end - 1}/${source.size}`;
  // Zeros stand where it was said beforehand; what is found out only while it is read ends the answer.
  let fine = 0;
  if (options.lost === 'zeros') {
    const missing = await missingIn(source, from, end, c.req.raw.signal);
    if (missing > 0) headers['Salvor-Missing'] = String(missing);
    fine = missing;
  }
  if (c.req.method === 'HEAD') return c.body(null, isPart ? 206 : 200, headers);
  const pieces = piecesOf(source, from, end, (bytes) => {
    options.onLost?.(node.locator, bytes);
    fine -= bytes;
    return options.lost === 'zeros' && fine >= 0;
  });
  try {
    return c.body(await streamOf(c, pieces), isPart ? 206 : 200, headers);
  } catch (error) {
    if (!(error instanceof NotWhole)) throw error;
    return c.text(`${error.message}\n`, 500);
  }
}

async function missingIn(source: Source, from: number, end: number, signal: AbortSignal): Promise<number> {
  let missing = 0;
  for await (const run of placed(source, from, end, signal)) if (run.state === MISSING) missing += run.length;
  return missing;
}

/** The bytes of a stretch up to the first that are missing, unless `isFine` says of so many that zeros are. */
async function* piecesOf(
  source: Source,
  from: number,
  end: number,
  isFine: (missing: number) => boolean,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = from; at < end; ) {
    const bytes = new Uint8Array(Math.min(PIECE, end - at));
    const gaps = await source.read(at, bytes);
    const missing = gaps.reduce((sum, gap) => sum + gap.length, 0);
    if (missing > 0 && !isFine(missing)) {
      const first = Math.min(...gaps.map(({ offset }) => offset));
      if (first > at) yield bytes.subarray(0, first - at);
      throw new NotWhole(
        `Bytes from ${first} on are missing and would have to be made up. To get zeros in their place, serve with --lost zeros.`,
      );
    }
    yield bytes;
    at += bytes.length;
  }
}

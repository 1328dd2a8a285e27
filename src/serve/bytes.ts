/** Bytes of evidence over HTTP: never as a document of this page, and by ranges. */
import type { Context } from 'hono';
import { faultOf } from './route.ts';
import { JobQuery, LocatorQuery } from './schemas.ts';
import { streamOf } from './stream.ts';
import type { Workspace } from './workspace.ts';

/** What is read, and waits to be taken, at a time. */
export const PIECE: number = 1024 * 1024;
/** Nothing in it runs, loads, or is part of this page. */
export const SANDBOX: string = "sandbox; default-src 'none'; frame-ancestors 'none'";

interface Media {
  readonly size: number;
  readonly name: string;
  readonly type?: string;
}

/** Answers with the bytes of a thing, or a range of them; with `isShown` under its own type, for pictures and sound. */
export async function sendBytes(c: Context, workspace: Workspace, isShown: boolean): Promise<Response> {
  const asked = LocatorQuery.safeParse(c.req.query());
  if (!asked.success) return c.json({ error: 'locator: name one thing', code: 'request' }, 400);
  const { locator } = asked.data;
  try {
    const { size, name, type } = await workspace.ask<Media>('media', { locator });
    if (isShown && type === undefined)
      return c.json({ error: `${locator} is no picture, sound or film that can be shown.`, code: 'type' }, 415);
    const range = rangeOf(c.req.header('range'), size);
    if (range === undefined) return c.body(null, 416, { 'Content-Range': `bytes */${size}` });
    const { from, end, isPart } = range;
    const known = isShown ? 0 : await workspace.ask<number>('missing', { locator, from, end });
    c.status(isPart ? 206 : 200);
    c.header('Content-Type', isShown && type !== undefined ? type : 'application/octet-stream');
    c.header('Content-Security-Policy', SANDBOX);
    c.header('Accept-Ranges', 'bytes');
    c.header('Content-Length', String(end - from));
    // Zeros stand in their place; what finds out only while it reads breaks off instead of passing zeros for bytes.
    if (known > 0) c.header('Salvor-Missing', String(known));
    if (!isShown) c.header('Content-Disposition', `attachment; filename*=UTF-8''${encoded(name)}`);
    if (isPart) c.header('Content-Range', `bytes ${from}-${end - 1}/${size}`);
    if (c.req.method === 'HEAD') return c.body(null);
    // Of what is shown, no player minds zeros; a download breaks off where more is missing than was said.
    const pieces = piecesOf(workspace, locator, from, end, isShown ? Number.POSITIVE_INFINITY : known);
    return c.body(await streamOf(c, pieces));
  } catch (error) {
    return faultOf(c, error);
  }
}

/** Answers with the screen of a machine that a job runs, as PNG. */
export async function sendScreen(c: Context, workspace: Workspace): Promise<Response> {
  const asked = JobQuery.safeParse(c.req.query());
  if (!asked.success) return c.json({ error: 'id: name one job', code: 'request' }, 400);
  try {
    const png = await workspace.jobs.ask<Uint8Array<ArrayBuffer> | null>(asked.data.id, 'screen');
    if (png === undefined || png === null)
      return c.json({ error: 'There is no screen to show, or not yet.', code: 'not-found' }, 404);
    return c.body(png, 200, { 'Content-Type': 'image/png', 'Content-Security-Policy': SANDBOX });
  } catch (error) {
    return faultOf(c, error);
  }
}

async function* piecesOf(
  workspace: Workspace,
  locator: string,
  from: number,
  end: number,
  known: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let lost = 0;
  for (let at = from; at < end; ) {
    const asked = { locator, from: at, length: Math.min(PIECE, end - at) };
    const part = await workspace.ask<{ bytes: Uint8Array<ArrayBuffer>; lost: number }>('read', asked);
    lost += part.lost;
    if (part.bytes.length === 0 || lost > known) throw new Error('not all of it could be read');
    yield part.bytes;
    at += part.bytes.length;
  }
}

/** One range of what is there; undefined where none can be had, and where several are asked for at once. */
export function rangeOf(
  header: string | undefined,
  size: number,
): { from: number; end: number; isPart: boolean } | undefined {
  if (header === undefined) return { from: 0, end: size, isPart: false };
  const match = /^bytes=(\d{0,32})-(\d{0,32})$/.exec(header.trim());
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1], match[2]].map((text) => (text === '' ? undefined : Number(text)));
  const from = first ?? Math.max(0, size - last!);
  const end = first === undefined || last === undefined ? size : Math.min(size, last + 1);
  return from >= size || end <= from ? undefined : { from, end, isPart: true };
}

/** A name for a file that the browser keeps: everything but plain letters and digits as %XX. */
export function encoded(name: string): string {
  const text = encodeURIComponent(name.replaceAll(/[/\\]/g, '_'));
  return text.replace(/['()*!]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

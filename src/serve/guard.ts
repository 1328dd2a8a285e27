/** Who may speak to the server: this machine, this page, with this run's token; everyone else is refused. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';

/** Bytes of a JSON request. */
const MAX_BODY = 1024 * 1024;
const TOKEN_BYTES = 32;
const CHANGING = ['POST'];
const READING = ['GET', 'HEAD'];

interface Refusal {
  readonly error: string;
  readonly code: string;
  readonly status: 400 | 403 | 405 | 413 | 415;
}

/** A secret that nobody guesses. */
export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

export class Guard {
  /** Known to who started the server; in the address, behind the '#', where no server and no log sees it. */
  readonly token: string = newToken();
  /** What the page gets for it. Of this run only: a cookie of another run is worth nothing. */
  readonly #session: string = newToken();
  readonly #hosts: () => readonly string[];

  /** `hosts`: what the Host header may say; a name that a foreign DNS server leads here is none of them. */
  constructor(hosts: () => readonly string[]) {
    this.#hosts = hosts;
  }

  /** For all requests: host, origin, method, and the headers of every answer. */
  door(): MiddlewareHandler {
    return async (c, next) => {
      const refused = this.#refusal(c);
      if (refused !== undefined) {
        c.res = c.json({ error: refused.error, code: refused.code }, refused.status);
        harden(c);
        return;
      }
      await next();
      harden(c);
    };
  }

  /** For everything about evidence: the cookie of this run, or its token as a bearer. */
  known(): MiddlewareHandler {
    return async (c, next) => {
      const bearer = /^Bearer (.+)$/.exec(c.req.header('authorization') ?? '')?.[1];
      const cookie = getCookie(c, this.#cookie());
      const isKnown = same(cookie, this.#session) || same(bearer, this.token);
      if (!isKnown) {
        const error = 'This page is not, or no longer, connected. Open the address that "salvor serve" printed.';
        return c.json({ error, code: 'login' }, 401);
      }
      return next();
    };
  }

  /** Exchanges the token for the cookie. Whether it was the right one. */
  login(c: Context, token: string): boolean {
    if (!same(token, this.token)) return false;
    setCookie(c, this.#cookie(), this.#session, { httpOnly: true, sameSite: 'Strict', path: '/' });
    return true;
  }

  // Cookies know no ports: two servers of one machine must not take each other's.
  #cookie(): string {
    return `salvor-${this.#hosts()[0]?.split(':').at(-1) ?? ''}`;
  }

  #refusal(c: Context): Refusal | undefined {
    const foreign = foreignTo(c, this.#hosts());
    if (foreign !== undefined) return foreign;
    const { method } = c.req;
    if (!CHANGING.includes(method) && !READING.includes(method))
      return { error: `${method} is not used here.`, code: 'method', status: 405 };
    if (!CHANGING.includes(method)) return undefined;
    const type = c.req.header('content-type') ?? '';
    if (!/^application\/json(;\s*charset=utf-8)?$/i.test(type))
      return { error: 'Changes are asked for in JSON only.', code: 'type', status: 415 };
    const length = c.req.header('content-length');
    if (length === undefined || !/^\d+$/.test(length))
      return { error: 'A request must say how long it is.', code: 'length', status: 400 };
    return Number(length) > MAX_BODY
      ? { error: `A request may have ${MAX_BODY} bytes.`, code: 'length', status: 413 }
      : undefined;
  }
}

/** Why a request is refused that was led here by another name, or by another site; undefined where it was not. */
export function foreignTo(c: Context, hosts: readonly string[]): Refusal | undefined {
  const host = c.req.header('host') ?? '';
  if (!hosts.includes(host))
    return { error: 'This server answers to its own loopback address only.', code: 'host', status: 403 };
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const isForeign = origin !== undefined && origin !== `http://${host}`;
  const isCross = site !== undefined && site !== 'same-origin' && site !== 'none';
  return isForeign || isCross
    ? { error: 'Requests from other sites are refused.', code: 'origin', status: 403 }
    : undefined;
}

/** Headers that every answer has. */
export function harden(c: Context): void {
  const { headers } = c.res;
  headers.set('X-Content-Type-Options', 'nosniff');
  headers.set('X-Frame-Options', 'DENY');
  headers.set('Referrer-Policy', 'no-referrer');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('X-DNS-Prefetch-Control', 'off');
  if (!headers.has('Content-Security-Policy'))
    headers.set('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store');
}

/** Compares in a time that tells nothing of where they differ. */
export function same(given: string | undefined, wanted: string): boolean {
  const [a, b] = [given ?? '', wanted].map((text) => createHash('sha256').update(text).digest());
  return given !== undefined && timingSafeEqual(a, b);
}

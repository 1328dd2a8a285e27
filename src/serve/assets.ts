/** The pages of the web, as they were built: a list that is read once, so that no path leads anywhere else. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};
/** Where the page says which nonce its styles carry. */
const NONCE = '__SALVOR_NONCE__';

export interface Asset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** Names with a hash in them never change. */
  readonly isForever: boolean;
}

/** All files of the built web by their path in an address; empty where it was not built. */
export function loadAssets(): ReadonlyMap<string, Asset> {
  const out = new Map<string, Asset>();
  const root = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../dist/web' : '../web', import.meta.url));
  if (!fs.existsSync(root)) return out;
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const type = TYPES[path.extname(entry.name)];
    if (type === undefined) continue;
    const name = `/${path.relative(root, file).split(path.sep).join('/')}`;
    out.set(name, { bytes: new Uint8Array(fs.readFileSync(file)), type, isForever: name.startsWith('/assets/') });
  }
  return out;
}

/** The page, and the policy that it runs under: its own files, no inline script, no other host. */
export function pageOf(html: Uint8Array): { body: string; policy: string } {
  const nonce = randomBytes(16).toString('base64url');
  const body = Buffer.from(html).toString('utf8').replaceAll(NONCE, nonce);
  const policy = [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' blob: data:",
    "media-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { body, policy };
}

/** The policy of scripts and workers: a worker runs under that of its own file. */
export const ASSET_POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; frame-ancestors 'none'";

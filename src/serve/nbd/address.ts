/** Where a server listens, and how clients name what it serves. */
import { ServeError } from '../error.ts';
import type { Address } from './server.ts';

const PORT = /^\d{1,5}$/;

/** What `--tcp [HOST:]PORT` says. Anything but this machine itself needs `remote`. Throws ServeError with a sentence. */
export function tcpAddress(text: string, remote: boolean): Address {
  const match = /^(?:(\[[0-9a-fA-F:.%]+\]|[^:[\]]*):)?(\d+)$/.exec(text);
  const host = match?.[1]?.replace(/^\[|\]$/g, '') || '127.0.0.1';
  if (match === null || !PORT.test(match[2]) || Number(match[2]) > 65535)
    throw new ServeError(`"${text}" is no address. Write it as [HOST:]PORT, for example 10809 or [::1]:10809.`);
  if (!remote && !isLoopback(host)) {
    const why = 'whoever reaches it there can read the whole disk, for this protocol asks for no password';
    throw new ServeError(`${host} is not this machine alone: ${why}. Say --allow-remote where that is meant.`);
  }
  return { host, port: Number(match[2]) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** The address of one export, as qemu, libnbd and others take it. */
export function uriOf(address: Address, name: string): string {
  const disk = encodeURIComponent(name);
  if ('path' in address) return `nbd+unix:///${disk}?socket=${encodeURIComponent(address.path).replaceAll('%2F', '/')}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}/${disk}`;
}

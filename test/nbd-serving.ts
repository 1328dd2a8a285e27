/** Disks served inside a test's own process, closed when it ends. */
import { join } from 'node:path';
import type { Source } from '../src/core/source.ts';
import { uriOf } from '../src/serve/nbd/address.ts';
import type { Lost } from '../src/serve/nbd/exports.ts';
import { NbdServer } from '../src/serve/nbd/server.ts';
import { locate } from '../src/stack/locate.ts';
import { Stack } from '../src/stack/stack.ts';

export interface Serving {
  readonly server: NbdServer;
  readonly path: string;
  readonly uri: string;
  readonly source: Source;
}

/** What is closed behind a test, last first. */
export const open: { close(): unknown }[] = [];
let count = 0;

export async function closeAll(): Promise<void> {
  for (const one of open.splice(0).reverse()) await one.close();
}

/** Serves what a locator names, from a socket in `dir`. */
export async function serve(
  dir: string,
  locator: string,
  lost: Lost = 'error',
  handshakeTime?: number,
): Promise<Serving> {
  const stack = new Stack([locator.split('::')[0]!]);
  open.push(stack);
  const { node } = await locate(stack, locator);
  const inside = node.kind === 'disk' ? node : await stack.inside(node);
  const source = await (inside?.kind === 'disk' ? inside : node).bytes!();
  const server = new NbdServer([{ name: 'disk', description: 'of a test', source }], {
    lost,
    ...(handshakeTime !== undefined && { handshakeTime }),
    onFault: (error) => {
      throw error;
    },
  });
  open.push(server);
  const path = join(dir, `${process.pid}-${count++}.sock`);
  await server.listen({ path });
  return { server, path, uri: uriOf({ path }, 'disk'), source };
}

export async function wholeOf(source: Source): Promise<Buffer> {
  const out = Buffer.alloc(source.size);
  await source.read(0, out);
  return out;
}

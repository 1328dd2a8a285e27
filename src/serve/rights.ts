/** What a child that reads evidence may do: see the evidence, the product and the case, and write where its work is. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JobOrder, Opening } from './messages.ts';

/** Where the program's own files are: the folder of the package, and where its libraries were installed. */
const PRODUCT = fileURLToPath(new URL('../../', import.meta.url));

/** Work that can be done with few rights. What writes files sets their modes, which Node has no right for at all. */
const BOUND: readonly JobOrder['kind'][] = ['scan', 'list'];

/**
 * Arguments of Node's permission model for a child; none for work that it cannot be used for. Files beside a named one
 * may belong to it, so its folder is seen too. `outs` are folders of recoveries, whose manifests a report reads.
 */
export function rightsFor(opening: Opening, order: JobOrder | undefined, outs: readonly string[]): string[] {
  if (order !== undefined && !BOUND.includes(order.kind)) return [];
  const seen = [PRODUCT, ...libraries(), ...SYSTEM, opening.case, ...outs, ...opening.sources.map(around)];
  const grants = [
    ...places(seen).map((place) => `--allow-fs-read=${place}`),
    ...places([opening.case]).map((place) => `--allow-fs-write=${place}`),
  ];
  return ['--permission', ...grants, ...(order?.kind === 'scan' ? ['--allow-worker'] : [])];
}

/** What has to be seen for a source: the folder that a file lies in; of devices, which lie beside all others, only it. */
function around(source: string): string {
  const stat = fs.statSync(source, { throwIfNoEntry: false });
  return stat?.isFile() === true ? path.dirname(source) : source;
}

/** What says how large a block device is. */
const SYSTEM = ['/sys'];

/** Folders of node_modules on the way up from the program. */
function libraries(): string[] {
  const out: string[] = [];
  for (let at = PRODUCT; ; at = path.dirname(at)) {
    out.push(path.join(at, 'node_modules'));
    if (path.dirname(at) === at) return out;
  }
}

/** Each place under the name that was given and under its real one, with all that is or will be below it. */
function places(given: readonly string[]): string[] {
  const out = new Set<string>();
  for (const place of given) {
    for (const name of [path.resolve(place), real(path.resolve(place))]) {
      out.add(name);
      out.add(path.join(name, '*'));
    }
  }
  return [...out];
}

/** Where a path leads, also one whose last parts are not there yet. */
function real(place: string): string {
  try {
    return fs.realpathSync(place);
  } catch {
    const above = path.dirname(place);
    return above === place ? place : path.join(real(above), path.basename(place));
  }
}

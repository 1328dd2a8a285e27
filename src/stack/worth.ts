/** Which formats are asked for which bytes. */
import type { Format } from '../core/format.ts';
import type { Node } from '../core/node.ts';
import { plainEndings } from '../formats/index.ts';

/** Files in a directory are looked into where their name promises something; anything else always is. */
export function worthALook(node: Node, format: Format): boolean {
  if (node.kind === 'file') {
    const name = node.rawName.toLowerCase();
    const isPlain = plainEndings.some((ending) => name.endsWith(ending));
    if (isPlain && (format.layer === 'volume' || format.layer === 'filesystem')) return true;
    return format.names?.some((ending) => name.endsWith(ending)) ?? false;
  }
  return node.kind === 'evidence' || node.kind === 'partition' || node.kind === 'disk' || node.kind === 'volume';
}

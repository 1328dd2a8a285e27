/** What WebDAV says of one thing. */
import { printable } from '../../core/locator.ts';
import type { Node } from '../../core/node.ts';
import { DAV, OWN, type Property, type PropertyName, xmlText } from './xml.ts';

const TYPE = dav('resourcetype');
const NAME = dav('displayname');
const LENGTH = dav('getcontentlength');
const CONTENT = dav('getcontenttype');
const MODIFIED = dav('getlastmodified');
const LOCKS = dav('supportedlock');
const DISCOVERY = dav('lockdiscovery');
const LOCATOR = { space: OWN, name: 'locator' };
const STATE = { space: OWN, name: 'state' };
const DAMAGE = { space: OWN, name: 'damage' };
/** Seconds since 1970 that a date of HTTP can say: up to the year 9999. */
const LAST = 253_402_300_799;

function dav(name: string): PropertyName {
  return { space: DAV, name };
}

/** All properties of a thing; a folder that only this tree knows has no node. */
export function propertiesOf(segment: string, node: Node | undefined, isFolder: boolean): Property[] {
  const out: Property[] = [
    [NAME, xmlText(segment)],
    [TYPE, isFolder ? '<D:collection/>' : ''],
    [LOCKS, ''],
    [DISCOVERY, ''],
  ];
  if (!isFolder) out.push([CONTENT, 'application/octet-stream']);
  if (node === undefined) return out;
  const { size } = node.facts;
  if (!isFolder && node.kind === 'symlink') out.push([LENGTH, String(linkText(node).length)]);
  else if (!isFolder && size !== undefined) out.push([LENGTH, String(size)]);
  const modified = dateOf(node);
  if (modified !== undefined) out.push([MODIFIED, modified]);
  out.push([LOCATOR, xmlText(printable(Buffer.from(node.locator, 'utf8').toString('latin1')))]);
  out.push([STATE, node.state], [DAMAGE, String(node.damage.length)]);
  return out;
}

/** When it was changed last, as HTTP says it. */
export function dateOf({ facts: { modified } }: Node): string | undefined {
  if (modified === undefined || !(modified > 0) || modified > LAST) return undefined;
  return new Date(modified * 1000).toUTCString();
}

/** What a symlink is served as: where it points, as text; it is never followed. */
export function linkText(node: Node): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(node.facts.target ?? '', 'latin1'));
}

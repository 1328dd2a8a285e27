/** The XML of WebDAV: what a client asks for, and the answers. Source: RFC 4918. */

/** What a person or evidence says, as text of XML: characters that XML cannot have are left out. */
export function xmlText(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/[^\t\n\r\x20-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '');
}

export const DAV = 'DAV:';
/** The namespace of what only Salvor knows of a thing. */
export const OWN = 'salvor:';
/** Properties that one request may name. */
const MAX_PROPERTIES = 64;
/** Tags of one request. */
const MAX_TAGS = 512;

export interface PropertyName {
  readonly space: string;
  readonly name: string;
}

/** What a PROPFIND wants: everything, names only, or these. */
export type Wanted = 'all' | 'names' | readonly PropertyName[];

/** Thrown where a request is no XML that is taken; the message is a sentence. */
export class XmlRefused extends Error {}

const TAG =
  /<(\/?)([A-Za-z_][\w.-]{0,63}(?::[A-Za-z_][\w.-]{0,63})?)((?:\s+[\w:.-]{1,64}\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const SKIPPED = /<\?[^>]{0,256}\?>|<!--[\s\S]*?-->|[^<]+/y;

interface Open {
  readonly local: PropertyName;
  readonly spaces: ReadonlyMap<string, string>;
}

/** Reads the body of a PROPFIND. No document types, no entities: nothing in it is ever expanded. */
export function wantedBy(body: string): Wanted {
  if (body.trim() === '') return 'all';
  if (/<!DOCTYPE|<!ENTITY|<!\[/i.test(body))
    throw new XmlRefused('The body has a document type; send a plain propfind element.');
  const open: Open[] = [];
  const out: PropertyName[] = [];
  let wanted: Wanted | undefined;
  let tags = 0;
  for (let at = 0; at < body.length; ) {
    SKIPPED.lastIndex = at;
    if (SKIPPED.test(body)) {
      at = SKIPPED.lastIndex;
      continue;
    }
    TAG.lastIndex = at;
    const tag = TAG.exec(body);
    if (tag === null || ++tags > MAX_TAGS)
      throw new XmlRefused(`The body is no XML that is taken, from character ${at} on.`);
    at = TAG.lastIndex;
    if (tag[1] === '/') {
      open.pop();
      continue;
    }
    const spaces = spacesOf(tag[3], open.at(-1)?.spaces ?? new Map());
    const local = nameOf(tag[2], spaces);
    const path = [...open.map((one) => one.local), local].map(({ space, name }) => (space === DAV ? name : ''));
    if (path.length === 2 && path[0] === 'propfind' && path[1] === 'allprop') wanted = 'all';
    if (path.length === 2 && path[0] === 'propfind' && path[1] === 'propname') wanted = 'names';
    if (path.length === 3 && path[0] === 'propfind' && path[1] === 'prop') {
      if (out.length >= MAX_PROPERTIES) throw new XmlRefused(`A request may name ${MAX_PROPERTIES} properties.`);
      out.push(local);
      wanted = out;
    }
    if (tag[4] !== '/') open.push({ local, spaces });
  }
  if (open.length > 0 || wanted === undefined)
    throw new XmlRefused('The body is no propfind element with allprop, propname or prop in it.');
  return wanted;
}

function spacesOf(attributes: string, above: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  if (!attributes.includes('xmlns')) return above;
  const spaces = new Map(above);
  for (const [, prefix, a, b] of attributes.matchAll(/\sxmlns(?::([\w.-]+))?\s*=\s*(?:"([^"]*)"|'([^']*)')/g))
    spaces.set(prefix ?? '', a ?? b ?? '');
  return spaces;
}

function nameOf(tag: string, spaces: ReadonlyMap<string, string>): PropertyName {
  const colon = tag.indexOf(':');
  const space = spaces.get(colon < 0 ? '' : tag.slice(0, colon));
  if (colon >= 0 && space === undefined)
    throw new XmlRefused(`Nothing says what "${tag.slice(0, colon)}:" stands for.`);
  return { space: space ?? '', name: tag.slice(colon + 1) };
}

/** A property and its value as XML. */
export type Property = readonly [PropertyName, string];

/** One element of a multistatus: what was asked for of one thing. */
export function responseOf(href: string, properties: readonly Property[], wanted: Wanted): string {
  const had = new Map(properties.map(([name, value]): [string, string] => [keyOf(name), element(name, value)]));
  const found =
    wanted === 'all'
      ? [...had.values()]
      : wanted === 'names'
        ? properties.map(([name]) => element(name, ''))
        : wanted.flatMap((name) => had.get(keyOf(name)) ?? []);
  const lacking = typeof wanted === 'string' ? [] : wanted.filter((name) => !had.has(keyOf(name)));
  const parts = [`<D:response><D:href>${xmlText(href)}</D:href>`];
  if (found.length > 0 || lacking.length === 0) parts.push(status(found, '200 OK'));
  if (lacking.length > 0)
    parts.push(
      status(
        lacking.map((name) => element(name, '')),
        '404 Not Found',
      ),
    );
  return `${parts.join('')}</D:response>\n`;
}

function keyOf({ space, name }: PropertyName): string {
  return `${space} ${name}`;
}

function status(properties: readonly string[], said: string): string {
  return `<D:propstat><D:prop>${properties.join('')}</D:prop><D:status>HTTP/1.1 ${said}</D:status></D:propstat>`;
}

function element({ space, name }: PropertyName, value: string): string {
  const [tag, declared] =
    space === DAV
      ? [`D:${name}`, '']
      : space === ''
        ? [name, ' xmlns=""']
        : [`x:${name}`, ` xmlns:x="${xmlText(space)}"`];
  return value === '' ? `<${tag}${declared}/>` : `<${tag}${declared}>${value}</${tag}>`;
}

export const XML_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n';
export const MULTISTATUS = `${XML_HEAD}<D:multistatus xmlns:D="${DAV}">\n`;
export const MULTISTATUS_END = '</D:multistatus>\n';

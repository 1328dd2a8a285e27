/** Previews: what kind of thing some bytes are, and what of it can be shown before anything is recovered. */
import type { z } from '@hono/zod-openapi';
import { looksLikeMail, messagesOf, readMail } from '../codec/mail.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import type { Stack } from '../stack/stack.ts';
import type { Preview } from './schemas-preview.ts';
import { decodeText } from './text.ts';
import { zipBytes, zipMembers } from './zip.ts';

type PreviewView = z.infer<typeof Preview>;

/** Bytes that say what something is, and bytes of a text that are shown. */
const HEAD = 4096;
const MAX_TEXT = 256 * 1024;
/** Members of an archive, and bytes of the text in an office document. */
const MAX_MEMBERS = 2000;
const MAX_DOCUMENT = 8 * 1024 * 1024;
const MAX_MAILS = 100;

/** Types that a browser shows without running anything, by what they begin with (latin1, at an offset). */
const MAGICS: readonly { kind: PreviewView['kind']; type: string; at: number; bytes: string }[] = [
  { kind: 'picture', type: 'image/png', at: 0, bytes: '\x89PNG\r\n\x1a\n' },
  { kind: 'picture', type: 'image/jpeg', at: 0, bytes: '\xff\xd8\xff' },
  { kind: 'picture', type: 'image/gif', at: 0, bytes: 'GIF8' },
  { kind: 'picture', type: 'image/bmp', at: 0, bytes: 'BM' },
  { kind: 'picture', type: 'image/webp', at: 8, bytes: 'WEBP' },
  { kind: 'pdf', type: 'application/octet-stream', at: 0, bytes: '%PDF-' },
  { kind: 'audio', type: 'audio/mpeg', at: 0, bytes: 'ID3' },
  { kind: 'audio', type: 'audio/mpeg', at: 0, bytes: '\xff\xfb' },
  { kind: 'audio', type: 'audio/flac', at: 0, bytes: 'fLaC' },
  { kind: 'audio', type: 'audio/ogg', at: 0, bytes: 'OggS' },
  { kind: 'audio', type: 'audio/wav', at: 8, bytes: 'WAVE' },
  { kind: 'video', type: 'video/mp4', at: 4, bytes: 'ftyp' },
  { kind: 'video', type: 'video/webm', at: 0, bytes: '\x1aE\xdf\xa3' },
  { kind: 'sqlite', type: 'application/octet-stream', at: 0, bytes: 'SQLite format 3\0' },
  { kind: 'registry', type: 'application/octet-stream', at: 0, bytes: 'regf' },
  { kind: 'archive', type: 'application/zip', at: 0, bytes: 'PK\x03\x04' },
];

/** The type that a node's bytes may be served as; undefined for what is only ever handed out as a download. */
export async function mediaType(source: Source): Promise<string | undefined> {
  const found = magicOf(await headOf(source));
  return found !== undefined && ['picture', 'audio', 'video'].includes(found.kind) ? found.type : undefined;
}

/** What can be shown of a node. */
export async function previewOf(stack: Stack, node: Node, encoding?: string): Promise<PreviewView> {
  const source = await node.bytes?.();
  if (source === undefined) return { kind: 'none', size: 0, notes: [`A ${node.kind} has no bytes of its own.`] };
  const base = { size: source.size, notes: await gapNotes(source) };
  if (source.size === 0) return { kind: 'none', size: 0, notes: ['It is empty.'] };
  const head = await headOf(source);
  const magic = magicOf(head);
  if (encoding !== undefined) return joined(base, await textOf(source, encoding));
  if (magic?.kind === 'archive') return joined(base, await archive(source));
  if (magic !== undefined) return { ...base, kind: magic.kind, type: magic.type };
  const inside = node.kind === 'file' || node.kind === 'evidence' ? await stack.inside(node) : undefined;
  if (inside?.kind === 'filesystem') {
    const members: { name: string; size: number }[] = [];
    for await (const child of stack.children(inside)) {
      if (members.length >= MAX_MEMBERS) break;
      members.push({ name: child.name, size: child.facts.size ?? 0 });
    }
    return { ...base, kind: 'archive', members };
  }
  if (looksLikeMail(head)) return joined(base, await mailOf(source));
  return joined(base, await textOf(source));
}

type Part = Partial<PreviewView> & Pick<PreviewView, 'kind'>;

function joined(base: Pick<PreviewView, 'size' | 'notes'>, part: Part): PreviewView {
  return { ...base, ...part, notes: [...base.notes, ...(part.notes ?? [])] };
}

/** The messages of a file, as far as it is read. */
async function mailOf(source: Source): Promise<Part> {
  const bytes = new Uint8Array(Math.min(MAX_DOCUMENT, source.size));
  await source.read(0, bytes);
  const raw = Buffer.from(bytes).toString('latin1');
  const places = messagesOf(raw, MAX_MAILS + 1);
  const found = places.slice(0, MAX_MAILS).map((from, i) => readMail(raw.slice(from, places[i + 1] ?? raw.length)));
  const notes = [
    ...(places.length > MAX_MAILS ? [`Only its first ${MAX_MAILS} messages are shown.`] : []),
    ...(source.size > bytes.length ? [`Only its first ${bytes.length} bytes are read.`] : []),
  ];
  const mails = found.map(({ headers, text, wasHtml, attachments }) => ({
    headers: headers.map(([name, value]): [string, string] => [name, value]),
    text: `${wasHtml ? '(the words of an HTML message)\n\n' : ''}${text.slice(0, MAX_TEXT)}`,
    attachments: attachments.map((one) => ({ ...one })),
  }));
  return { kind: 'mail', mails, ...(notes.length > 0 && { notes }) };
}

async function textOf(source: Source, encoding?: string): Promise<Part> {
  const bytes = new Uint8Array(Math.min(MAX_TEXT, source.size));
  await source.read(0, bytes);
  const decoded =
    encoding === undefined
      ? decodeText(bytes, bytes.length < source.size)
      : { text: new TextDecoder(encoding).decode(bytes), encoding };
  if (decoded === undefined) return { kind: 'none' };
  const cut = source.size > bytes.length ? [`Only its first ${bytes.length} bytes are shown.`] : [];
  return { kind: 'text', ...decoded, ...(cut.length > 0 && { notes: cut }) };
}

async function archive(source: Source): Promise<Part> {
  const listing = await zipMembers(source);
  if (listing === undefined)
    return {
      kind: 'archive',
      members: [],
      notes: ['The directory at its end is lost, so its members are not listed.'],
    };
  const members = listing.members.slice(0, MAX_MEMBERS).map(({ name, size }) => ({ name, size }));
  const cut = members.length < listing.members.length ? [`The first ${MAX_MEMBERS} members.`] : [];
  const notes = [...(listing.note === undefined ? [] : [listing.note]), ...cut];
  const main = listing.members.find(({ name }) =>
    /^(word\/document|content|ppt\/slides\/slide1|xl\/sharedStrings)\.xml$/.test(name),
  );
  const xml = main === undefined ? undefined : await zipBytes(source, main, MAX_DOCUMENT);
  if (xml === undefined) return { kind: 'archive', members, ...(notes.length > 0 && { notes }) };
  const text = plainOf(new TextDecoder().decode(xml)).slice(0, MAX_TEXT);
  return { kind: 'text', text, encoding: `text of ${main!.name}`, members, ...(notes.length > 0 && { notes }) };
}

/** The text of an XML document: paragraphs become lines, tags go. */
function plainOf(xml: string): string {
  const lines = xml.replace(/<\/(w:p|text:p|text:h|a:p|si)>/g, '\n').replace(/<[^>]*>/g, '');
  const names: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
  return lines.replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => names[name]);
}

function magicOf(head: string): (typeof MAGICS)[number] | undefined {
  return MAGICS.find(({ at, bytes }) => head.startsWith(bytes, at));
}

async function headOf(source: Source): Promise<string> {
  const bytes = new Uint8Array(Math.min(HEAD, source.size));
  await source.read(0, bytes);
  return Buffer.from(bytes).toString('latin1');
}

/** That the start of a thing cannot be had is worth a sentence: what is shown then begins with zeros. */
async function gapNotes(source: Source): Promise<string[]> {
  const bytes = new Uint8Array(Math.min(MAX_TEXT, source.size));
  const gaps = await source.read(0, bytes);
  const lost = gaps.reduce((sum, gap) => sum + gap.length, 0);
  if (lost === 0) return [];
  return [`${lost} of its first ${bytes.length} bytes are missing (${gaps[0].code}); zeros stand in their place.`];
}

/** DiskDescriptor.xml of a Parallels bundle: which file lies on which. */
import type { Source } from '../../../core/source.ts';
import { readText } from '../../text.ts';

/** A descriptor is a text of a few kilobytes. */
const MOST: number = 1024 * 1024;
const NONE = /^[0{}-]*$/;

export interface Bundle {
  /** Files by identifier, as they stand there. */
  readonly files: ReadonlyMap<string, string>;
  /** Parents by identifier. */
  readonly parents: ReadonlyMap<string, string>;
  /** Parts that the disk is cut into; each has files of its own. */
  readonly parts: number;
}

/** Undefined where this is no descriptor. */
export async function readBundle(source: Source): Promise<Bundle | undefined> {
  if (source.size > MOST) return undefined;
  const { raw } = await readText(source, MOST);
  if (!raw.includes('<Parallels_disk_image')) return undefined;
  const files = new Map<string, string>();
  const parents = new Map<string, string>();
  const value = (text: string, tag: string): string =>
    new RegExp(`<${tag}>\\s*([^<]{0,1024}?)\\s*</${tag}>`).exec(text)?.[1] ?? '';
  for (const image of pieces(raw, 'Image')) {
    const file = unescaped(value(image, 'File'));
    if (file !== '' && !/[\\/]/.test(file)) files.set(value(image, 'GUID').toLowerCase(), file);
  }
  for (const shot of pieces(raw, 'Shot')) {
    const parent = value(shot, 'ParentGUID').toLowerCase();
    if (!NONE.test(parent)) parents.set(value(shot, 'GUID').toLowerCase(), parent);
  }
  return { files, parents, parts: pieces(raw, 'Storage').length };
}

/** What stands between a tag and its end, for all of them. */
function pieces(raw: string, tag: string): string[] {
  return raw
    .split(`<${tag}>`)
    .slice(1)
    .map((text) => text.split(`</${tag}>`)[0]);
}

function unescaped(text: string): string {
  const names: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => names[name]);
}

/** DiskDescriptor.xml of a Parallels bundle: which file lies on which. */
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
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
  /** The parts, in the order of the disk. */
  readonly storage: readonly Storage[];
  /** The state of the disk that is in use: nobody's parent. */
  readonly top: string | undefined;
}

/** A stretch of the disk, and its files by identifier. */
export interface Storage {
  /** Sectors. */
  readonly from: number;
  readonly end: number;
  readonly files: ReadonlyMap<string, string>;
}

/** Names as they are compared: that of the text in a bundle. */
export const DESCRIPTOR = 'DiskDescriptor.xml';

/** Whether the first bytes of a file can be those of a descriptor. */
export function maybeDescriptor(start: Uint8Array): boolean {
  return /^(\xef\xbb\xbf)?\s*<(\?xml|Parallels_disk_image)/.test(latin1(start, 0, start.length));
}

/** Undefined where this is no descriptor. */
export async function readBundle(source: Source): Promise<Bundle | undefined> {
  if (source.size > MOST) return undefined;
  const { raw } = await readText(source, MOST);
  if (!raw.includes('<Parallels_disk_image')) return undefined;
  const files = new Map<string, string>();
  const parents = new Map<string, string>();
  const shots: string[] = [];
  const value = (text: string, tag: string): string =>
    new RegExp(`<${tag}>\\s*([^<]{0,1024}?)\\s*</${tag}>`).exec(text)?.[1] ?? '';
  const storage = pieces(raw, 'Storage').map((part) => {
    const own = new Map<string, string>();
    for (const image of pieces(part, 'Image')) {
      const file = unescaped(value(image, 'File'));
      if (file === '' || /[\\/]/.test(file)) continue;
      own.set(value(image, 'GUID').toLowerCase(), file);
      files.set(value(image, 'GUID').toLowerCase(), file);
    }
    return { from: Number(value(part, 'Start')), end: Number(value(part, 'End')), files: own };
  });
  for (const shot of pieces(raw, 'Shot')) {
    const parent = value(shot, 'ParentGUID').toLowerCase();
    const guid = value(shot, 'GUID').toLowerCase();
    shots.push(guid);
    if (!NONE.test(parent)) parents.set(guid, parent);
  }
  const said = value(raw, 'TopGUID').toLowerCase();
  const below = new Set(parents.values());
  const top = shots.includes(said) ? said : (shots.find((guid) => !below.has(guid)) ?? [...files.keys()][0]);
  return { files, parents, parts: storage.length, storage: storage.sort((a, b) => a.from - b.from), top };
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

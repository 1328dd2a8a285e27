/** Names of evidence as segments of a path, and back: each raw name has one segment, and none is a way out. */
import { decodeName, encodeName } from '../../core/locator.ts';
import type { Node } from '../../core/node.ts';

/** Segments of a path; deeper trees are not served. */
const MAX_SEGMENTS = 256;
/** Characters of a whole path, before it is taken apart. */
const MAX_PATH = 16_384;

/**
 * The segment that stands for a raw name. As a locator writes it, but for ':' and '@', which a path has no need to
 * hide, and for '\\', which some clients take for a separator.
 */
export function segmentFor(raw: string): string {
  return segmentOfEncoded(encodeName(raw));
}

/** The segment of a node in what it is a child of: same-named siblings have their number, virtual ones their '+'. */
export function segmentOf(child: Node, holder: Node): string {
  const start = `${holder.locator}/`;
  if (child.kind === 'evidence' || !child.locator.startsWith(start)) return segmentFor(child.rawName);
  const tail = child.locator.slice(start.length);
  // In a directory of this machine locators are plain paths, with nothing encoded.
  return holder.locator.includes('::') && !tail.includes('/') ? segmentOfEncoded(tail) : segmentFor(child.rawName);
}

function segmentOfEncoded(encoded: string): string {
  if (/^\.{1,2}$/.test(encoded)) return encoded.replaceAll('.', '%2E');
  return encoded
    .replace(/%25(?![0-9A-Fa-f]{2})/g, '%')
    .replaceAll('%3A', ':')
    .replaceAll('%40', '@')
    .replaceAll('\\', '%5C');
}

/** The raw name behind a segment. */
export function rawOfSegment(segment: string): string {
  return decodeName(segment);
}

/** The segments of the path of a URL; undefined where it cannot be one of this tree. */
export function segmentsOf(pathname: string): string[] | undefined {
  if (pathname.length > MAX_PATH) return undefined;
  const parts = pathname.split('/').filter((part) => part !== '');
  if (parts.length > MAX_SEGMENTS) return undefined;
  try {
    const segments = parts.map((part) => decodeURIComponent(part));
    const isWrong = segments.some((one) => one.includes('/') || one.includes('\0') || one === '.' || one === '..');
    return isWrong ? undefined : segments;
  } catch {
    return undefined; // escapes that are no UTF-8
  }
}

/** The path of a URL for segments. */
export function hrefOf(segments: readonly string[], isFolder: boolean): string {
  const path = segments.map((one) => `/${encodeURIComponent(one)}`).join('');
  return isFolder ? `${path}/` : path;
}

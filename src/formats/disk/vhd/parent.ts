/** What a differencing VHD says of its parent. Source: vhd.md. */
import type { Backing } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { isSet, uuidText } from '../guid.ts';
import { type Checked, type DynamicHeader, locator, SECTOR } from './structs.ts';

const LOCATORS = 8;
const MAX_NAME = 4096;
/** Of the longest name, and of what a locator may keep room for. */
const MAX_SPACE = 65536;

export interface Parent {
  readonly backing: Backing;
  /** Where the names lie. */
  readonly reserved: readonly (readonly [from: number, end: number])[];
}

/** Names, best first, and the identifier. Only the last part of a path is used: evidence does not say where to look. */
export async function parentOf(source: Source, header: Checked<DynamicHeader>): Promise<Parent> {
  const names = new Set<string>();
  const reserved: [number, number][] = [];
  for (let i = 0; i < LOCATORS; i++) {
    const { code, space, length, at } = locator.decode(header.values.locators, i * locator.size);
    const kind = Buffer.from(code).toString('latin1');
    if (kind === '\0\0\0\0' || length === 0 || length > MAX_NAME || !(at + length <= source.size)) continue;
    // Some hosts count the room in sectors, some in bytes.
    const room = Math.max(length, space < SECTOR ? space * SECTOR : space);
    if (room <= MAX_SPACE) reserved.push([at, at + room]);
    const raw = new Uint8Array(length);
    const gaps = await source.read(at, raw);
    if (gaps.length > 0) continue;
    if (kind === 'W2ru' || kind === 'W2ku') add(names, new TextDecoder('utf-16le').decode(raw));
    else if (kind === 'MacX') add(names, Buffer.from(raw).toString('utf8'));
  }
  add(names, new TextDecoder('utf-16be').decode(header.values.parentName));
  const { parentId } = header.values;
  const identity = isSet(parentId) ? { identity: `uuid:${uuidText(parentId)}` } : {};
  return { backing: { names: [...names], ...identity, at: header.at + 40 }, reserved };
}

function add(names: Set<string>, path: string): void {
  const base = baseName(path);
  if (base !== '') names.add(base);
}

/** The last part of a path of whatever system, up to the first zero, as raw bytes. */
export function baseName(path: string): string {
  const name =
    path
      .replace(/\0[\s\S]*$/, '')
      .split(/[\\/]/)
      .pop() ?? '';
  return name === '.' || name === '..' ? '' : Buffer.from(name, 'utf8').toString('latin1');
}

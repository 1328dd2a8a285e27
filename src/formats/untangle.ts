/** Texts that went through a transfer in text mode, and how they read again. */
import { printable } from '../core/locator.ts';
import type { Piece } from '../core/mend.ts';
import { readText } from './text.ts';

/** A text as it can be read, and what is wrong with the bytes it came from. */
export interface Untangled {
  /** Lines end with LF; raw bytes, one per character. */
  readonly text: string;
  /** Bytes as they lie there. */
  readonly raw: string;
  /** Empty where it is as it should be. */
  readonly faults: readonly string[];
}

/** A text of VMware is a few kilobytes. */
const MOST = 1024 * 1024;
/** Characters that no text of this kind has: control characters apart from tab, LF and CR. */
const CONTROLS = /(?![\t\n\r\x80-\x9f])\p{Cc}/u;
/** What starts a line, where all line ends are lost. */
const STARTS =
  /(?=(?:# (?:Disk|Extent|The Disk)|#DDB|version=|encoding=|parentCID=|(?<!parent)CID=|createType=|parentFileNameHint=|isNativeSnapshot=|RW \d|RDONLY \d|ddb\.[a-z]|(?<=")(?:[A-Za-z.][\w.:]+ = ")))/g;

/** Reads a piece as a text; undefined where it is too large to be one or has no bytes. */
export async function untangled(piece: Piece, knows: (text: string) => boolean): Promise<Untangled | undefined> {
  if ((piece.facts.size ?? 0) > MOST) return undefined;
  const source = await piece.source();
  if (source === undefined || source.size > MOST) return undefined;
  const { raw, gaps } = await readText(source, MOST);
  const { faults, ...rest } = untangle(raw, knows);
  return { ...rest, faults: gaps.length > 0 && raw.length > 0 ? ['parts of it could not be read', ...faults] : faults };
}

/** Puts a text right whose bytes are all there. */
export function untangle(raw: string, knows: (text: string) => boolean): Untangled {
  const faults: string[] = [];
  if (raw.length === 0) return { text: '', raw, faults: ['it is empty'] };
  let text = narrowed(raw).replace(/\0+$/, '');
  if (WIDE.test(raw)) faults.push('its characters are written in UTF-16, which VMware does not read');
  if (!knows(text) && knows(cleared(text))) {
    faults.push('its bytes have the highest bit set, as after a transfer in text mode');
    text = cleared(text);
  }
  // Random bytes hold lines by chance that look like settings: nothing of them is taken.
  if (!knows(text) && looksRandom(raw)) return { text: '', raw, faults: ['its bytes look encrypted'] };
  if (/\r(?!\n)/.test(text)) faults.push('its line ends are CR, as after a transfer in text mode');
  text = text.replace(/\r+\n|\r/g, '\n');
  if (text.length > 80 && !text.trimEnd().includes('\n')) {
    faults.push('its line ends are lost');
    text = `${text.replace(STARTS, '\n').trim()}\n`;
  } else if (!knows(text)) {
    faults.push('it is not readable as one');
  } else if (isCut(text)) {
    faults.push('it is cut off');
    text = text.slice(0, text.lastIndexOf('\n') + 1);
  }
  if (CONTROLS.test(text)) {
    faults.push('it holds bytes that no such text has');
    text = text
      .split('\n')
      .filter((line) => !CONTROLS.test(line))
      .join('\n');
  }
  return { text, raw, faults };
}

const WIDE = /^(?:\xff\xfe|\xfe\xff)/;

/** A text that was saved in characters of two bytes, as raw bytes of UTF-8; others as they are. */
export function narrowed(raw: string): string {
  if (!WIDE.test(raw)) return raw;
  const label = raw.charCodeAt(0) === 0xff ? 'utf-16le' : 'utf-16be';
  const text = new TextDecoder(label).decode(Buffer.from(raw, 'latin1'));
  return Buffer.from(text, 'utf8').toString('latin1');
}

function cleared(text: string): string {
  return text.replace(/[\x80-\xff]/g, (c) => String.fromCharCode(c.charCodeAt(0) & 0x7f));
}

/** The last line is not whole: nothing ends it, and it opens a quote or has no value. */
function isCut(text: string): boolean {
  if (text.endsWith('\n')) return false;
  const last = text.slice(text.lastIndexOf('\n') + 1);
  const quotes = last.split('"').length - 1;
  return quotes % 2 === 1 || !/=\s*\S|^\s*(#|RW|RDONLY|NOACCESS)/.test(last);
}

/** More than a third of the bytes are none that texts use. */
function looksRandom(raw: string): boolean {
  let odd = 0;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c > 126 || (c < 32 && c !== 9 && c !== 10 && c !== 13)) odd++;
  }
  return odd * 3 > raw.length;
}

/** A name that can stand between quotes in one of these texts. */
export function quotable(rawName: string): boolean {
  return rawName !== '' && printable(rawName) === rawName && !/["|]/.test(rawName);
}

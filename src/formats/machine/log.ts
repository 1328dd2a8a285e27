/** vmware.log: dumps of the configuration, and the chains of disks that were opened. Source: vmdk.md 9, vmconfig.md 1. */
import { type KeyValues, parseKeyValues } from '../../codec/keyvalue.ts';

/** What a log says. */
export interface Log {
  /** The last dump that is whole, or the last one at all. */
  readonly dump?: { readonly values: KeyValues; readonly whole: boolean };
  /** Base names of descriptors by the name of the one below them. */
  readonly parents: ReadonlyMap<string, string>;
}

/** The start of a section of settings; only one of them is the machine's own. */
const SECTION = /DICT\s+---\s*(.*)$/;
/** Values stand in quotes, and in logs of before 2012 or so without any. */
const ENTRY = /DICT\s+([A-Za-z0-9_.:\-~]+) = ?(.*)$/;
const OPENED = /DISKLIB-LINK\s*:\s*Opened '([^']+)' \([^)]*\): (\w+),/;
/** Lines that a log of the largest size read can have; more is no log. */
const MAX_LINES = 200_000;

/** Reads a log's text. Lines that are not of these kinds are passed over. */
export function parseLog(text: string): Log {
  const parents = new Map<string, string>();
  const dumps: { lines: string[]; whole: boolean }[] = [];
  let open: { lines: string[]; whole: boolean } | undefined;
  let above: string | undefined;
  // Behind the last line end, a line may be torn.
  const whole = text.slice(0, Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1);
  for (const line of whole.split(/\r\n|\n|\r/, MAX_LINES)) {
    const section = SECTION.exec(line);
    const entry = section === null ? ENTRY.exec(line) : null;
    if (section !== null) {
      if (open !== undefined) open.whole = true;
      open = undefined;
      if (/^CONFIGURATION/i.test(section[1])) {
        open = { lines: [], whole: false };
        dumps.push(open);
      }
    } else if (entry !== null) open?.lines.push(`${entry[1]} = ${quoted(entry[2].trimEnd())}`);
    else if (open !== undefined && line !== '') {
      // Anything else behind it: the dump came to its own end.
      open.whole = isClean(line) && !/\bDICT\b/.test(line);
      open = undefined;
    }
    const link = OPENED.exec(line);
    if (link === null) continue;
    const name = link[1].split(/[\\/]/).pop() ?? '';
    if (above !== undefined && above !== name) parents.set(above, name);
    // A chain is opened from its top down; what has no parent ends it.
    above = /sparse/i.test(link[2]) ? name : undefined;
  }
  const best =
    dumps.findLast((dump) => dump.whole && dump.lines.length > 0) ?? dumps.findLast((d) => d.lines.length > 0);
  const dump = best && { values: parseKeyValues(best.lines.join('\n')), whole: best.whole };
  return { parents, ...(dump && { dump }) };
}

function quoted(value: string): string {
  if (/^".*"$/.test(value)) return value;
  return `"${value.replace(/[|"]/g, (c) => `|${c.charCodeAt(0).toString(16)}`)}"`;
}

function isClean(line: string): boolean {
  return /^[\x20-\x7e\t\x80-\xff]*$/.test(line) && !/[\x80-\xff]{4}/.test(line);
}

const FLAT =
  /DISKLIB-VMFS\s*:\s*"(?:[^"\r\n]*[\\/])?([^"\\/\r\n]{1,127})"\s*:\s*open successful \(\d+\) size = (\d{1,15})\b/g;
const BASE = /Opened '(?:[^'\r\n]*[\\/])?([^'\\/\r\n]{1,120})\.vmdk' \([^)]*\): vmfs, (\d{1,12}) sectors/g;

/** Bytes of the flat extents that a log saw opened, by their base names; the last word counts, disks grow. */
export function flatSizes(text: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const [, stem, sectors] of text.matchAll(BASE)) out.set(`${stem}-flat.vmdk`, Number(sectors) * 512);
  for (const [, name, size] of text.matchAll(FLAT)) if (name.endsWith('-flat.vmdk')) out.set(name, Number(size));
  return out;
}

/** What the first bytes of a file without a name say that it is. Source: vmfs.md section 8.8. */
import { latin1, viewOf } from '../../../core/struct.ts';

/** Bytes that are looked at: a machine's configuration has its name within the first few hundred. */
export const HEAD_BYTES = 8192;

/** A name that content suggests. `stem` is a name of its own; otherwise the caller adds its address. */
export interface Guess {
  readonly stem: string | undefined;
  readonly ending: string;
  readonly from: string;
  /** The machine that the text is about, where its own name does not say it. */
  readonly machine?: string;
  /** The start of the text cannot be read. */
  readonly isRest?: true;
  /** The extent that a descriptor names, the size in bytes of what it holds, and whether it is that long itself. */
  readonly extent?: { readonly name: string; readonly size: number; readonly flat: boolean };
  /** The file of changed blocks that a descriptor names. */
  readonly tracking?: string;
}

/** Names of files that are called after the configuration of their machine. */
const NAMED_ALIKE =
  /^(?:nvram\s*=\s*"([^"/\r\n]{1,120})\.nvram"|extendedConfigFile\s*=\s*"([^"/\r\n]{1,120})\.vmxf")/im;
const SNAPSHOT = /^snapshot\d+\.filename\s*=\s*"([^"/\r\n]{1,120})-Snapshot\d+\.vmsn"/im;
const KDMV = 0x564d444b;
const COWD = 0x44574f43;
const SESPARSE = 0xcafebabe;
const NVRAM = 0x4e56524d;
const TRACKING = 0xf61972a2;
const STATES: readonly number[] = [0xbed2bed2, 0xbed0bed0, 0xbed1bed1];

/** What a machine's firmware keeps: nothing in it says which machine's. */
export const SETTINGS: Guess = { stem: undefined, ending: '.nvram', from: 'content (MRVN)' };

/** Which blocks of a disk changed: nothing in it says which disk's. */
export const CHANGES: Guess = { stem: undefined, ending: '-ctk.vmdk', from: 'content (changed blocks)' };

/** Whether bytes begin like the changed blocks of a disk. */
export function isChanges(head: Uint8Array): boolean {
  return head.length >= 8 && viewOf(head).getUint32(0, true) === TRACKING && viewOf(head).getUint32(4, true) === 1;
}

/** Whether bytes begin like the settings of a machine's firmware. */
export function isSettings(head: Uint8Array): boolean {
  return head.length >= 4 && viewOf(head).getUint32(0, true) === NVRAM;
}

/** Undefined where the bytes say nothing that is known. */
export function guessOf(head: Uint8Array): Guess | undefined {
  if (head.length < 4) return undefined;
  const magic = viewOf(head).getUint32(0, true);
  if (magic === NVRAM) return SETTINGS;
  if (isChanges(head)) return CHANGES;
  if (magic === COWD) return { stem: undefined, ending: '-delta.vmdk', from: 'content (COWD)' };
  if (magic === KDMV) return { stem: undefined, ending: '-sparse.vmdk', from: 'content (KDMV)' };
  if (magic === SESPARSE) return { stem: undefined, ending: '-sesparse.vmdk', from: 'content (SEsparse)' };
  if (STATES.includes(magic)) return { stem: undefined, ending: '.vmsn', from: 'content (machine state)' };
  if (isDisk(head)) return { stem: undefined, ending: '-flat.vmdk', from: 'content (disk)' };
  return guessText(latin1(head, 0, head.length));
}

const SETTINGS_LINE = /^[\w.:]+\s*=\s*".*"\s*$/;
const LOG_START = /^[^\n]*Log for VMware/;
const LOG_LINE = /^\d{4}-\d\d-\d\dT[^\n]*\|/;

/** What the whole lines of a text say that it is whose start cannot be read; its first line may be cut. */
export function guessRest(text: string): Guess | undefined {
  const lines = wholeLines(text).slice(1).filter(Boolean);
  const all = (like: RegExp): boolean => lines.length > 0 && lines.every((line) => like.test(line));
  const from = 'content, of which the start cannot be read';
  if (all(LOG_LINE)) return { stem: undefined, ending: '.log', from, isRest: true };
  // Descriptors of disks and lists of snapshots are written in such lines, too.
  const isOther = lines.some((line) => /^(?:ddb|snapshot\d*)\./.test(line));
  return all(SETTINGS_LINE) && !isOther ? { stem: undefined, ending: '.vmx', from, isRest: true } : undefined;
}

/** Lines of a text without the last where that was cut off, unless there is no other. */
function wholeLines(text: string): string[] {
  const lines = text.split('\n');
  return lines.length > 2 ? lines.slice(0, -1) : lines;
}

/** Bytes of a line of a log at most. */
export const LINE_BYTES = 4096;

/** Whether a log that `end` is the end of goes on with `text`, in the middle of a line or with the next. */
export function goesOn(end: string, text: string): boolean {
  const first = end.slice(end.lastIndexOf('\n') + 1) + text.slice(0, text.indexOf('\n') + 1);
  // A new log says that it is one in its first line.
  return LOG_LINE.test(first) && !LOG_START.test(first) && guessRest(text)?.ending === '.log';
}

/** Whether these are the first bytes of a disk with a partition table. */
export function isDisk(head: Uint8Array): boolean {
  if (head.length < 1024) return false;
  if (latin1(head, 512, 8) === 'EFI PART') return true;
  if (head[510] !== 0x55 || head[511] !== 0xaa) return false;
  for (let i = 0; i < 4; i++) if ((head[446 + 16 * i] & 0x7f) !== 0) return false;
  return true;
}

/** The same for text. */
export function guessText(text: string): Guess | undefined {
  if (/^#\s*Disk DescriptorFile/.test(text)) {
    const extent = /^RW (\d{1,15}) (\w+) "([^"/\r\n]{1,127})"/m.exec(text);
    const stem = /^(.+?)(?:-flat|-delta|-sesparse|-s\d{3}|-f\d{3})?\.vmdk$/.exec(extent?.[3] ?? '')?.[1];
    const named =
      extent === null ? {} : { extent: { name: extent[3], size: Number(extent[1]) * 512, flat: extent[2] === 'VMFS' } };
    const tracking = /^changeTrackPath\s*=\s*"([^"/\r\n]{1,127})"/m.exec(text)?.[1];
    const tracked = tracking === undefined ? {} : { tracking };
    return { stem, ending: '.vmdk', from: 'content (disk descriptor)', ...named, ...tracked };
  }
  if (/^<\?xml[^>]{0,200}>\s*<Foundry>/.test(text)) {
    const stem = /<vmxPathName[^>]{0,80}>([^<>"/\r\n]{1,120})\.vmx</.exec(text)?.[1];
    return { stem, ending: '.vmxf', from: 'content (extended configuration)' };
  }
  const shown = /^displayName\s*=\s*"([^"/\r\n]{1,120})"/im.exec(text)?.[1];
  if (/^\.encoding\s*=/m.test(text) && /^(config\.version|virtualHW\.version|displayName)\s*=/im.test(text)) {
    // A machine may be shown under another name than its files have; these are named after the configuration.
    const own = NAMED_ALIKE.exec(text)
      ?.slice(1)
      .find((name) => name !== undefined);
    const by = own === undefined || own === shown ? 'displayName' : 'files named after it';
    return { stem: own ?? shown, ending: '.vmx', from: `content (${by})` };
  }
  // Of a machine that never had a snapshot, the list of them is its first line alone.
  if (/^\.encoding\s*=\s*"[\w-]+"\s*$/.test(text)) {
    return { stem: undefined, ending: '.vmsd', from: 'content (an empty snapshot list)' };
  }
  if (/^snapshot\.\w+\s*=/m.test(text)) {
    return { stem: SNAPSHOT.exec(text)?.[1], ending: '.vmsd', from: 'content (snapshot list)' };
  }
  if (/^\d{4}-\d\d-\d\dT[^\n]*\|\s*(vmx|In\(\d+\))[^\n]*\n/.test(text) || LOG_START.test(text)) {
    const machine =
      /\/([^/"\r\n]{1,120})\.vmx\b/.exec(text)?.[1] ?? /displayName\s*=\s*"([^"/\r\n]{1,120})"/.exec(text)?.[1];
    return { stem: 'vmware', ending: '.log', from: 'content (log)', ...(machine !== undefined && { machine }) };
  }
  return undefined;
}

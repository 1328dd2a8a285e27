/** What a starting machine shows, and what that means: it is up, it will not come up, or nobody can say yet. */
import type { Picture } from './screen.ts';

export type Sign = 'expected' | 'login' | 'desktop' | 'panic' | 'rescue' | 'loader' | 'shell' | 'nothing';

/** A sign, and the words in which it was seen. */
export interface Seen {
  readonly sign: Sign;
  readonly line: string;
}

/** Signs of a machine that came up. */
export const GOOD: readonly Sign[] = ['expected', 'login', 'desktop'];

/** What a system says when it is up and waits for somebody. */
const LOGIN = /(^|[\r\n])[^\r\n]{0,80}((login|Login|Anmeldung)\s?:|SAC>)$/;

/** Words that end the waiting, in the order in which they count. */
const WORDS: readonly (readonly [Sign, RegExp])[] = [
  ['panic', /Kernel panic - not syncing[^\r\n]{0,200}/],
  [
    'rescue',
    /\(initramfs\)\s*$|You are in emergency mode[^\r\n]{0,120}|Entering emergency mode[^\r\n]{0,120}|dracut:\/?#/,
  ],
  ['loader', /grub rescue>|BOOTMGR is missing|NTLDR is missing|A disk read error occurred/],
  ['shell', /UEFI Interactive Shell[^\r\n]{0,40}|(^|[\r\n])\s*Shell>/],
  [
    'nothing',
    /No bootable device\.?|Missing operating system|Operating System not found|BdsDxe: No bootable option[^\r\n]{0,80}/,
  ],
];

/** What each sign is, in words. */
export const WHAT: Readonly<Record<Sign, string>> = {
  expected: 'the text that was waited for',
  login: 'a prompt to log in',
  desktop: 'what looks like a desktop',
  panic: 'its kernel panics',
  rescue: 'it asks for somebody to repair it',
  loader: 'its boot loader stops',
  shell: 'the firmware shows its shell',
  nothing: 'the firmware finds nothing to start',
};

/** What to do where a machine shows this. */
export const NEXT: Readonly<Partial<Record<Sign, string>>> = {
  panic: 'Its kernel starts and stops. Another bus may be what it misses: try --bus sata or --bus ide.',
  rescue:
    'Its kernel runs and does not find its root: try another bus (--bus sata, virtio, ide), and look at the chain of its disk with salvor chain.',
  loader:
    'Its boot loader starts and does not find the rest: look at its disk with salvor inspect and salvor check; a later disk of its chain may be missing.',
  shell:
    'The firmware found nothing to start on its disks: see with salvor ls whether the EFI partition is there, and with salvor plan what else it may start by.',
  nothing:
    'The firmware found nothing to start: is this its first disk, and does salvor plan say the same firmware? Try another bus with --bus.',
};

/** What the words on the serial line, or on a screen in text mode, say; undefined where that is nothing final. */
export function signIn(serial: string, screen: string, expected: string | undefined): Seen | undefined {
  for (const text of [serial, screen]) {
    const line = expected === undefined ? LOGIN.exec(text.trimEnd())?.[0].trim() : lineWith(text, expected);
    if (line !== undefined) return { sign: expected === undefined ? 'login' : 'expected', line };
  }
  for (const text of [plain(serial), screen]) {
    for (const [sign, words] of WORDS) {
      const match = words.exec(text);
      if (match !== null) return { sign, line: match[0].trim() };
    }
  }
  return undefined;
}

/** Firmware moves its cursor between words; without that they can be read. */
function plain(serial: string): string {
  // oxlint-disable-next-line no-control-regex
  return serial.replace(/\x1b\[[\d;?]{0,16}[A-Za-z]/g, '');
}

function lineWith(text: string, expected: string): string | undefined {
  const at = text.indexOf(Buffer.from(expected, 'utf8').toString('latin1'));
  if (at < 0) return undefined;
  const start = Math.max(text.lastIndexOf('\n', at), text.lastIndexOf('\r', at)) + 1;
  return /^[^\r\n]*/.exec(text.slice(start))![0];
}

/** Pictures of a screen in text mode: 80 by 25 letters. */
const TEXT_HEIGHT = 400;
const TEXT_WIDTHS = [640, 720];

/** Whether a picture can be of a screen in text mode. */
export function isText({ width, height }: Picture): boolean {
  return height === TEXT_HEIGHT && TEXT_WIDTHS.includes(width);
}

/** Letters across and down in text mode, and where they lie in memory. */
const COLUMNS = 80;
const ROWS = 25;
/** How the monitor is asked for them: a letter and its colours each. */
export const SCREEN_TEXT: string = `xp /${COLUMNS * ROWS}xh 0xb8000`;

/** The lines of a screen in text mode, from what the monitor says of that memory. */
export function textOf(dump: string): string {
  const cells = [...dump.matchAll(/0x[0-9a-f]{2}([0-9a-f]{2})\b/g)].map(([, code]) => Number.parseInt(code, 16));
  const letters = cells.map((code) => (code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ' ')).join('');
  const lines = Array.from({ length: ROWS }, (_, i) => letters.slice(i * COLUMNS, (i + 1) * COLUMNS).trimEnd());
  return lines.join('\n').trimEnd();
}

/** Colours of which a desktop has at least so many, and the most that one colour may take of it. */
const DESKTOP_COLOURS = 64;
const DESKTOP_SHARE = 0.9;
const DESKTOP_WIDTH = 800;
/** One pixel of so many is looked at. */
const SAMPLE = 7;

/**
 * Whether a picture looks like a desktop or a screen to sign in: large, many colours, and no one colour nearly alone, as
 * in messages. That is a guess.
 */
export function isDesktop({ width, pixels }: Picture): boolean {
  const colours = new Map<number, number>();
  let looked = 0;
  for (let at = 0; at + 2 < pixels.length; at += 3 * SAMPLE) {
    const colour = (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
    colours.set(colour, (colours.get(colour) ?? 0) + 1);
    looked++;
  }
  const most = Math.max(0, ...colours.values());
  return width >= DESKTOP_WIDTH && colours.size >= DESKTOP_COLOURS && most < looked * DESKTOP_SHARE;
}

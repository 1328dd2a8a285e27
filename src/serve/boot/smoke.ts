/** Watches a guest start: until its serial line says what is waited for, or the time is over. */
import * as fs from 'node:fs';
import type { Guest } from './guest.ts';
import { type Picture, parsePpm } from './screen.ts';

/** What a system says when it is up and waits for somebody. */
const LOGIN = /(^|[\r\n])[^\r\n]{0,80}(login|Login|Anmeldung|SAC>)\s?:?\s*$/;
/** Milliseconds between two looks at the screen. */
const LOOK = 2000;
const TICK = 50;

export interface Seen {
  /** What was waited for came: the text, or a prompt to log in. */
  readonly seen: boolean;
  /** The line in which it came. */
  readonly line: string | undefined;
  /** Milliseconds since this program began. */
  readonly at: number;
  readonly firstSerial: number | undefined;
  /** Different pictures that the screen showed. */
  readonly screens: number;
  readonly picture: Picture | undefined;
  /** The guest ended before. */
  readonly ended: boolean;
}

/** `file`: where qemu may put pictures of the screen, in a private folder. */
export async function watch(
  guest: Guest,
  expected: string | undefined,
  seconds: number,
  file: string,
  signal: AbortSignal,
): Promise<Seen> {
  const until = performance.now() + seconds * 1000;
  let ended = false;
  void guest.ended.then(() => {
    ended = true;
  });
  let picture: Picture | undefined;
  let screens = 0;
  let nextLook = performance.now() + LOOK;
  let line: string | undefined;
  while (!ended && !signal.aborted && performance.now() < until) {
    line = lineIn(guest.serial, expected);
    if (line !== undefined) break;
    if (performance.now() >= nextLook) {
      const now = await look(guest, file);
      if (now !== undefined && !same(now, picture)) screens++;
      picture = now ?? picture;
      nextLook = performance.now() + LOOK;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK));
  }
  line ??= lineIn(guest.serial, expected);
  const at = performance.now();
  const last = ended ? undefined : await look(guest, file);
  if (last !== undefined && !same(last, picture)) screens++;
  return {
    seen: line !== undefined,
    line,
    at,
    firstSerial: guest.firstSerial,
    screens,
    picture: last ?? picture,
    ended,
  };
}

function lineIn(serial: string, expected: string | undefined): string | undefined {
  if (expected === undefined) return LOGIN.exec(serial)?.[0].trim();
  const at = serial.indexOf(Buffer.from(expected, 'utf8').toString('latin1'));
  if (at < 0) return undefined;
  const start = Math.max(serial.lastIndexOf('\n', at), serial.lastIndexOf('\r', at)) + 1;
  return /^[^\r\n]*/.exec(serial.slice(start))![0];
}

async function look(guest: Guest, file: string): Promise<Picture | undefined> {
  try {
    await guest.monitor?.execute('screendump', { filename: file });
    return parsePpm(fs.readFileSync(file));
  } catch {
    // It has no screen yet, or no more.
    return undefined;
  }
}

function same(a: Picture, b: Picture | undefined): boolean {
  return b !== undefined && a.width === b.width && Buffer.from(a.pixels).equals(b.pixels);
}

/** Watches a guest start: until what it shows says that it is up, or that it will not be, or the time is over. */
import * as fs from 'node:fs';
import type { Guest } from './guest.ts';
import { type Picture, parsePpm } from './screen.ts';
import { GOOD, isDesktop, isText, NEXT, SCREEN_TEXT, type Sign, signIn, textOf } from './signs.ts';

/** Milliseconds between two looks at the screen, and for which a picture is the same until it stands still. */
const LOOK = 2000;
const STILL = 20_000;
const TICK = 50;
/** Pictures that a screen shows before the last one, where something did start: firmware, and a loader or more. */
const STARTED = 3;

export interface Watched {
  /** It is up: the text that was waited for, a prompt to log in, or what looks like a desktop. */
  readonly seen: boolean;
  /** What was seen; undefined where the time was over, or the guest ended, before. */
  readonly sign: Sign | undefined;
  /** The line in which it came. */
  readonly line: string | undefined;
  /** What to do now, where it did not come up. */
  readonly next: string | undefined;
  /** Milliseconds since this program began. */
  readonly at: number;
  readonly firstSerial: number | undefined;
  /** Different pictures that the screen showed. */
  readonly screens: number;
  readonly picture: Picture | undefined;
  /** What stood on a screen in text mode. */
  readonly text: string;
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
): Promise<Watched> {
  const until = performance.now() + seconds * 1000;
  let ended = false;
  void guest.ended.then(() => {
    ended = true;
  });
  const screen = new Screen(guest, file);
  let nextLook = performance.now() + LOOK;
  let sign = undefined as ReturnType<typeof signIn>;
  while (!ended && !signal.aborted && performance.now() < until) {
    sign = signIn(guest.serial, screen.text, expected) ?? screen.sign(expected === undefined);
    if (sign !== undefined) break;
    if (performance.now() >= nextLook) {
      await screen.look();
      nextLook = performance.now() + LOOK;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK));
  }
  const at = performance.now();
  if (!ended) await screen.look();
  sign ??= signIn(guest.serial, screen.text, expected);
  const seen = sign !== undefined && GOOD.includes(sign.sign);
  const late = 'Give it more time with --timeout, or look on with salvor boot without --smoke.';
  return {
    seen,
    sign: sign?.sign,
    line: sign?.line,
    next: seen ? undefined : sign === undefined ? late : NEXT[sign.sign],
    at,
    firstSerial: guest.firstSerial,
    screens: screen.count,
    picture: screen.picture,
    text: screen.text,
    ended,
  };
}

/** What a guest's screen shows, as far as it was looked at. */
export class Screen {
  picture: Picture | undefined;
  /** Its words, in text mode. */
  text = '';
  /** Different pictures so far. */
  count = 0;
  readonly #guest: Guest;
  readonly #file: string;
  #since = 0;

  constructor(guest: Guest, file: string) {
    this.#guest = guest;
    this.#file = file;
  }

  async look(): Promise<void> {
    const { monitor } = this.#guest;
    try {
      await monitor?.execute('screendump', { filename: this.#file });
      const now = parsePpm(fs.readFileSync(this.#file));
      if (now === undefined) return;
      if (!same(now, this.picture)) {
        this.count++;
        this.#since = performance.now();
      }
      this.picture = now;
      const asked = { 'command-line': SCREEN_TEXT };
      this.text = isText(now) ? textOf(String(await monitor?.execute('human-monitor-command', asked))) : '';
    } catch {
      // It has no screen yet, or no more.
    }
  }

  /** What a picture that stands still says; `isAsked`: nothing else is waited for. */
  sign(isAsked: boolean): { sign: Sign; line: string } | undefined {
    const { picture } = this;
    if (!isAsked || picture === undefined || this.count < STARTED || isText(picture)) return undefined;
    if (performance.now() - this.#since < STILL || !isDesktop(picture)) return undefined;
    const line = `a picture of ${picture.width} by ${picture.height} that looks like a desktop or a screen to sign in`;
    return { sign: 'desktop', line };
  }
}

function same(a: Picture, b: Picture | undefined): boolean {
  return b !== undefined && a.width === b.width && Buffer.from(a.pixels).equals(b.pixels);
}

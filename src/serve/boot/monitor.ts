/** qemu's monitor: commands and answers as lines of JSON. Source: the QEMU Machine Protocol. */
import type { Socket } from 'node:net';

/** Characters that an answer may have before it is given up. */
const MAX_ANSWER = 4 * 1024 * 1024;

/** How long an answer is waited for. */
const ANSWER_MS = 20_000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Monitor {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #text = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#fail('the guest has ended'));
    // Until this was said, no other command is taken.
    this.execute('qmp_capabilities').catch(() => undefined);
  }

  /** Runs a command; answers what it returns. */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#socket.destroyed) return Promise.reject(new Error('the guest has ended'));
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return new Promise((resolve, reject) => {
      // Answers come in the order of the questions: where one does not come, none will.
      const timer = setTimeout(() => this.#socket.destroy(), ANSWER_MS);
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T): void => {
          clearTimeout(timer);
          settle(value);
        };
      };
      this.#waiting.push({ resolve: settled(resolve), reject: settled(reject) });
    });
  }

  #take(text: string): void {
    this.#text += text;
    if (this.#text.length > MAX_ANSWER) this.#socket.destroy();
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      this.#answer(line);
    }
  }

  #answer(line: string): void {
    let said: { return?: unknown; error?: { desc?: string } };
    try {
      said = JSON.parse(line);
    } catch {
      return;
    }
    if ('return' in said) this.#waiting.shift()?.resolve(said.return);
    else if (said.error !== undefined) this.#waiting.shift()?.reject(new Error(said.error.desc ?? 'no reason given'));
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(why));
  }
}

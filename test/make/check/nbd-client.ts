/** A small NBD client, from the protocol's text alone: what tests and benchmarks ask servers with. */
import * as net from 'node:net';

export interface Reply {
  /** Error number, 0 for none. */
  readonly error: number;
  readonly data: Buffer;
  /** Offsets that errors named. */
  readonly errorsAt: readonly number[];
  /** Bytes that came as holes. */
  readonly holes: number;
  /** Block status by the id of the context: pairs of length and flags. */
  readonly status: ReadonlyMap<number, readonly number[]>;
}

interface Pending {
  readonly offset: number;
  data: Buffer;
  error: number;
  errorsAt: number[];
  holes: number;
  status: Map<number, number[]>;
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** A socket that answers promises of exact lengths. */
export class Line {
  readonly socket: net.Socket;
  #held: Buffer[] = [];
  #length = 0;
  #wanted: { length: number; resolve(bytes: Buffer): void; reject(error: Error): void } | undefined;
  #closed = false;

  constructor(where: string | { host: string; port: number }) {
    this.socket = typeof where === 'string' ? net.connect(where) : net.connect(where);
    this.socket.on('data', (bytes: Buffer) => {
      this.#held.push(bytes);
      this.#length += bytes.length;
      this.#serve();
    });
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('close', () => {
      this.#closed = true;
      this.#serve();
    });
  }

  take(length: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject };
      this.#serve();
    });
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    if (this.#length >= wanted.length) {
      const all = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held);
      this.#held = all.length > wanted.length ? [all.subarray(wanted.length)] : [];
      this.#length -= wanted.length;
      this.#wanted = undefined;
      wanted.resolve(all.subarray(0, wanted.length));
    } else if (this.#closed) {
      this.#wanted = undefined;
      wanted.reject(new Error('the server is gone'));
    }
  }
}

function option(number: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.write('IHAVEOPT', 'latin1');
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

function counted(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

function number16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
}

function number32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

export class NbdClient {
  readonly line: Line;
  size = 0;
  flags = 0;
  /** Ids of contexts by name. */
  readonly contexts: Map<string, number> = new Map();
  readonly #pending = new Map<number, Pending>();
  #next = 1;

  private constructor(line: Line) {
    this.line = line;
  }

  /** Goes to the export of that name. */
  static async connect(
    where: string | { host: string; port: number },
    wanted: { name?: string; structured?: boolean; contexts?: readonly string[] } = {},
  ): Promise<NbdClient> {
    const client = new NbdClient(new Line(where));
    const { line } = client;
    const name = wanted.name ?? '';
    await line.take(18);
    line.socket.write(number32(3));
    if (wanted.structured !== false) {
      line.socket.write(option(8));
      await client.#replies(() => undefined);
    }
    if (wanted.contexts !== undefined) {
      const queries = wanted.contexts.map(counted);
      line.socket.write(option(10, Buffer.concat([counted(name), number32(queries.length), ...queries])));
      await client.#replies((_, data) => client.contexts.set(data.subarray(4).toString(), data.readUInt32BE(0)));
    }
    line.socket.write(option(7, Buffer.concat([counted(name), number16(0)])));
    await client.#replies((type, data) => {
      if (type !== 3 || data.readUInt16BE(0) !== 0) return;
      client.size = Number(data.readBigUInt64BE(2));
      client.flags = data.readUInt16BE(10);
    });
    void client.#listen();
    return client;
  }

  async #replies(each: (type: number, data: Buffer) => void): Promise<void> {
    for (;;) {
      const head = await this.line.take(20);
      const type = head.readUInt32BE(12);
      const length = head.readUInt32BE(16);
      const data = length > 0 ? await this.line.take(length) : Buffer.alloc(0);
      if (type >= 0x80000000) throw new Error(`refused: ${data.toString()}`);
      if (type === 1) return;
      each(type, Buffer.from(data));
    }
  }

  /** Any command; `length` of data is expected back for reads. */
  request(command: number, offset: number, length: number, flags = 0, payload?: Buffer): Promise<Reply> {
    const cookie = this.#next++;
    const head = Buffer.alloc(28);
    head.writeUInt32BE(0x25609513, 0);
    head.writeUInt16BE(flags, 4);
    head.writeUInt16BE(command, 6);
    head.writeUInt32BE(cookie, 12);
    head.writeBigUInt64BE(BigInt(offset), 16);
    head.writeUInt32BE(length, 24);
    this.line.socket.write(payload === undefined ? head : Buffer.concat([head, payload]));
    return new Promise((resolve, reject) => {
      const data = command === 0 ? Buffer.alloc(length) : Buffer.alloc(0);
      const rest = { error: 0, errorsAt: [], holes: 0, status: new Map<number, number[]>() };
      this.#pending.set(cookie, { offset, data, ...rest, resolve, reject });
    });
  }

  read(offset: number, length: number, flags = 0): Promise<Reply> {
    return this.request(0, offset, length, flags);
  }

  status(offset: number, length: number, flags = 0): Promise<Reply> {
    return this.request(7, offset, length, flags);
  }

  close(): void {
    this.line.socket.destroy();
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const magic = (await this.line.take(4)).readUInt32BE(0);
        if (magic === 0x67446698) await this.#simple();
        else if (magic === 0x668e33ef) await this.#chunk();
        else throw new Error(`no reply: ${magic.toString(16)}`);
      }
    } catch (error) {
      for (const { reject } of this.#pending.values()) reject(error as Error);
      this.#pending.clear();
    }
  }

  async #simple(): Promise<void> {
    const head = await this.line.take(12);
    const error = head.readUInt32BE(0);
    const pending = this.#of(head.readUInt32BE(8));
    if (error === 0 && pending.data.length > 0) (await this.line.take(pending.data.length)).copy(pending.data);
    this.#done(head.readUInt32BE(8), { ...pending, error });
  }

  async #chunk(): Promise<void> {
    const head = await this.line.take(16);
    const [flags, type, cookie] = [head.readUInt16BE(0), head.readUInt16BE(2), head.readUInt32BE(8)];
    const length = head.readUInt32BE(12);
    const body = length > 0 ? await this.line.take(length) : Buffer.alloc(0);
    const pending = this.#of(cookie);
    if (type === 1) body.copy(pending.data, Number(body.readBigUInt64BE(0)) - pending.offset, 8);
    else if (type === 2) pending.holes += body.readUInt32BE(8);
    else if (type === 5) {
      const pairs: number[] = [];
      for (let at = 4; at < body.length; at += 4) pairs.push(body.readUInt32BE(at));
      pending.status.set(body.readUInt32BE(0), pairs);
    } else if (type >= 0x8000) {
      pending.error = body.readUInt32BE(0);
      if (type === 0x8002) pending.errorsAt.push(Number(body.readBigUInt64BE(body.length - 8)));
    }
    if ((flags & 1) !== 0) this.#done(cookie, pending);
  }

  #of(cookie: number): Pending {
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw new Error(`a reply to nothing: ${cookie}`);
    return pending;
  }

  #done(cookie: number, { resolve, error, data, errorsAt, holes, status }: Pending): void {
    this.#pending.delete(cookie);
    resolve({ error, data, errorsAt, holes, status });
  }
}

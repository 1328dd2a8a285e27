/** One client after the handshake: requests come in, answers go out as they are ready, within bounds. */
import type { Socket } from 'node:net';
import { flatten } from '../../core/resolve.ts';
import { RunList, ZERO } from '../../core/run.ts';
import type { Gap } from '../../core/source.ts';
import type { Buffers } from './buffers.ts';
import { extentsOf } from './contexts.ts';
import type { Lost, Served } from './exports.ts';
import type { Agreed } from './handshake.ts';
import type { Inbox } from './inbox.ts';
import * as nbd from './protocol.ts';
import { Cut } from './protocol.ts';
import { chunk, errorChunk, simple } from './replies.ts';

/** What all clients of a server share. */
export interface Shared {
  readonly lost: Lost;
  readonly served: Served;
  readonly buffers: Buffers;
  /** Told what went wrong where neither the evidence nor the client is at fault. */
  onFault(error: unknown): void;
}

interface Request {
  readonly flags: number;
  readonly command: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
}

const COMMAND_FLAGS =
  nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_DF | nbd.CMD_FLAG_REQ_ONE | nbd.CMD_FLAG_FAST_ZERO;
/** Zeros shorter than this are sent like data: a chunk of their own costs more. */
const LEAST_HOLE = 4096;
/** Zero stretches of a read that are worth a chunk each. */
const HOLES_AT_ONCE = 64;

export class Connection {
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  readonly #agreed: Agreed;
  readonly #shared: Shared;
  readonly #list = new RunList(HOLES_AT_ONCE);
  #requests = 0;
  #bytes = 0;
  #room: (() => void) | undefined;
  /** Answers that the client has not taken yet, and since when it took none of them. */
  #untaken = 0;
  #waitingSince = 0;

  constructor(socket: Socket, inbox: Inbox, agreed: Agreed, shared: Shared) {
    this.#socket = socket;
    this.#inbox = inbox;
    this.#agreed = agreed;
    this.#shared = shared;
    socket.on('close', () => this.#room?.());
  }

  /** Whether the client has not taken anything for too long. */
  isStuck(now: number): boolean {
    return this.#untaken > 0 && now - this.#waitingSince > nbd.TAKE_TIME;
  }

  /** Serves until the client leaves. Throws Cut where it breaks the protocol. */
  async serve(): Promise<void> {
    for (;;) {
      const nothing = this.#inbox.something();
      if (nothing !== undefined) await nothing;
      if (this.#inbox.empty) return;
      const taken = this.#inbox.take(nbd.REQUEST_BYTES, nbd.REQUEST_TIME);
      const request = parse(taken instanceof Buffer ? taken : await taken);
      if (request.command === nbd.CMD_DISC) return await this.#drained();
      this.#shared.served.requests++;
      const size = this.#refused(request) === undefined ? request.length : 0;
      const cost = request.command === nbd.CMD_READ ? size : nbd.PREFERRED_BLOCK;
      while (this.#isFull(cost)) await new Promise<void>((resolve) => (this.#room = resolve));
      if (this.#socket.destroyed) return;
      if (request.command === nbd.CMD_WRITE) await this.#passOver(request.length);
      this.#requests++;
      this.#bytes += cost;
      void this.#answer(request, () => {
        this.#requests--;
        this.#bytes -= cost;
        const room = this.#room;
        this.#room = undefined;
        room?.();
      });
    }
  }

  #isFull(cost: number): boolean {
    if (this.#socket.destroyed || this.#requests === 0) return false;
    return this.#requests >= nbd.MAX_IN_FLIGHT || this.#bytes + cost > nbd.MAX_BYTES_IN_FLIGHT;
  }

  /** Waits until all answers were taken. */
  async #drained(): Promise<void> {
    while (this.#requests > 0 && !this.#socket.destroyed) await new Promise<void>((resolve) => (this.#room = resolve));
  }

  /** The data of a write has to be taken off the line, or the next request would be looked for in it. */
  async #passOver(length: number): Promise<void> {
    if (length > nbd.MAX_REQUEST) throw new Cut(`a write of ${length} bytes to a disk that is read-only`);
    await this.#inbox.skip(length, nbd.REQUEST_TIME);
  }

  async #answer(request: Request, done: () => void): Promise<void> {
    try {
      const refused = this.#refused(request);
      if (refused !== undefined) this.#refuse(request, ...refused, done);
      else if (request.command === nbd.CMD_READ) await this.#read(request, done);
      else if (request.command === nbd.CMD_BLOCK_STATUS) await this.#blockStatus(request, done);
      else this.#send([simple(request.cookie, 0)], done);
    } catch (error) {
      this.#shared.onFault(error);
      this.#refuse(request, nbd.EIO, 'the server failed', done);
    }
  }

  /** Why a request cannot be granted, as an error number and a sentence. */
  #refused({ command, flags, offset, length }: Request): readonly [number, string] | undefined {
    const { disk, contexts } = this.#agreed;
    if (command === nbd.CMD_WRITE || command === nbd.CMD_TRIM || command === nbd.CMD_WRITE_ZEROES)
      return [nbd.EPERM, 'evidence is only ever read'];
    if (![nbd.CMD_READ, nbd.CMD_CACHE, nbd.CMD_BLOCK_STATUS].includes(command))
      return [nbd.EINVAL, `command ${command} is not known`];
    if ((flags & ~COMMAND_FLAGS) !== 0) return [nbd.EINVAL, `flags ${flags} are not known`];
    if (offset + length > disk.source.size)
      return [nbd.EINVAL, `${offset} and ${length} bytes more are not inside ${disk.source.size} bytes`];
    if (command === nbd.CMD_READ && length > nbd.MAX_REQUEST)
      return [nbd.EINVAL, `${length} bytes are more than the ${nbd.MAX_REQUEST} of one read`];
    if (length === 0) return [nbd.EINVAL, 'nothing was asked for'];
    if (command === nbd.CMD_BLOCK_STATUS && contexts.length === 0)
      return [nbd.EINVAL, 'no metadata context was chosen'];
    return undefined;
  }

  #refuse({ command, cookie }: Request, error: number, why: string, done: () => void): void {
    const isStructured = this.#agreed.structured && [nbd.CMD_READ, nbd.CMD_BLOCK_STATUS].includes(command);
    this.#send([isStructured ? errorChunk(cookie, nbd.REPLY_FLAG_DONE, error, why) : simple(cookie, error)], done);
  }

  async #read(request: Request, done: () => void): Promise<void> {
    const { offset, length, cookie } = request;
    const { source } = this.#agreed.disk;
    const { buffers, served } = this.#shared;
    const inPieces = this.#agreed.structured && (request.flags & nbd.CMD_FLAG_DF) === 0;
    const holes = inPieces ? await this.#holes(offset, length) : [];
    if (holes[0] === offset && holes[1] === length) {
      served.bytes += length;
      this.#send([chunk(cookie, nbd.REPLY_FLAG_DONE, nbd.REPLY_OFFSET_HOLE, offset, length)], done);
      return;
    }
    const { buffer, whole } = buffers.take(length);
    let lost: readonly Gap[];
    try {
      lost = await source.read(offset, buffer);
    } catch (error) {
      buffers.give(whole);
      throw error;
    }
    if (lost.length > 0) this.#count(lost);
    served.bytes += length;
    const given = (): void => {
      buffers.give(whole);
      done();
    };
    const gaps = this.#shared.lost === 'error' ? lost : [];
    if (!this.#agreed.structured) {
      if (gaps.length > 0) this.#send([simple(cookie, nbd.EIO)], given);
      else this.#send([simple(cookie, 0), buffer], given);
    } else if (!inPieces && gaps.length > 0) {
      const why = `${gaps.length} stretches are missing (${gaps[0].code})`;
      this.#send([errorChunk(cookie, nbd.REPLY_FLAG_DONE, nbd.EIO, why, gaps[0].offset)], given);
    } else this.#send(pieces(request, buffer, holes, gaps), given);
  }

  /** Zero stretches of a read, as [offset, length, …]; without looking further than a few runs. */
  async #holes(offset: number, length: number): Promise<number[]> {
    const list = this.#list;
    // The list is shared by all reads of this client; only an answer that comes at once may use it.
    list.clear();
    const answer = flatten(this.#agreed.disk.source, offset, offset + length, list);
    if (typeof answer !== 'number') {
      await answer.then(() => undefined);
      const own = new RunList(HOLES_AT_ONCE);
      await flatten(this.#agreed.disk.source, offset, offset + length, own);
      return zerosIn(own, offset);
    }
    return zerosIn(list, offset);
  }

  #count(lost: readonly Gap[]): void {
    this.#shared.served.lostReads++;
    for (const gap of lost) this.#shared.served.lostBytes += gap.length;
  }

  async #blockStatus({ offset, length, flags, cookie }: Request, done: () => void): Promise<void> {
    const { disk, contexts } = this.#agreed;
    const one = (flags & nbd.CMD_FLAG_REQ_ONE) !== 0;
    const extents = await extentsOf(disk.source, offset, offset + length, contexts, one);
    const out = contexts.map(({ id }, i) => {
      const numbers = extents[i];
      const data = Buffer.alloc(4 + 4 * numbers.length);
      data.writeUInt32BE(id, 0);
      for (const [n, number] of numbers.entries()) data.writeUInt32BE(number, 4 + 4 * n);
      const last = i === contexts.length - 1 ? nbd.REPLY_FLAG_DONE : 0;
      return Buffer.concat([chunk(cookie, last, nbd.REPLY_BLOCK_STATUS, undefined, data.length), data]);
    });
    this.#send(out, done);
  }

  /** Hands an answer to the socket; `done` when the client's side of the line has taken it. */
  #send(parts: readonly Buffer[], done: () => void): void {
    const socket = this.#socket;
    if (socket.destroyed) {
      done();
      return;
    }
    if (this.#untaken++ === 0) this.#waitingSince = performance.now();
    socket.cork();
    for (let i = 0; i < parts.length - 1; i++) socket.write(parts[i]);
    socket.write(parts[parts.length - 1], () => {
      this.#untaken--;
      this.#waitingSince = performance.now();
      done();
    });
    socket.uncork();
  }
}

function parse(header: Buffer): Request {
  if (header.readUInt32BE(0) !== nbd.REQUEST_MAGIC) throw new Cut('no request where one was expected');
  return {
    flags: header.readUInt16BE(4),
    command: header.readUInt16BE(6),
    cookie: header.subarray(8, 16),
    offset: header.readUInt32BE(16) * 2 ** 32 + header.readUInt32BE(20),
    length: header.readUInt32BE(24),
  };
}

function zerosIn(list: RunList, from: number): number[] {
  const out: number[] = [];
  let at = from;
  for (let i = 0; i < list.n; i++) {
    const length = list.length[i];
    const touches = out.length > 0 && out[out.length - 2] + out[out.length - 1] === at;
    if (list.state(i) === ZERO && touches) out[out.length - 1] += length;
    else if (list.state(i) === ZERO && length >= LEAST_HOLE) out.push(at, length);
    at += length;
  }
  return out;
}

/** A read's answer in chunks: data, holes, and an error for what is missing. */
function pieces(request: Request, buffer: Buffer, holes: readonly number[], gaps: readonly Gap[]): Buffer[] {
  const { offset, length, cookie } = request;
  type Stretch = { from: number; end: number; code?: string };
  const special: Stretch[] = gaps.map((gap) => ({ from: gap.offset, end: gap.offset + gap.length, code: gap.code }));
  for (let i = 0; i < holes.length; i += 2) special.push({ from: holes[i], end: holes[i] + holes[i + 1] });
  special.sort((a, b) => a.from - b.from);
  const out: Buffer[] = [];
  let last: Buffer | undefined;
  const add = (head: Buffer): void => {
    last = head;
    out.push(head);
  };
  const content = (from: number, end: number): void => {
    if (end <= from) return;
    add(chunk(cookie, 0, nbd.REPLY_OFFSET_DATA, from, end - from));
    out.push(buffer.subarray(from - offset, end - offset));
  };
  let at = offset;
  let named = 0;
  for (const { from, end, code } of special) {
    const start = Math.max(from, at);
    if (start >= end) continue;
    content(at, start);
    at = end;
    if (code === undefined) add(chunk(cookie, 0, nbd.REPLY_OFFSET_HOLE, start, end - start));
    else if (named++ < nbd.MAX_ERRORS_NAMED) {
      add(errorChunk(cookie, 0, nbd.EIO, `${end - start} bytes from ${start} on are missing (${code})`, start));
    }
  }
  content(at, offset + length);
  last?.writeUInt16BE(nbd.REPLY_FLAG_DONE, 4);
  return out;
}

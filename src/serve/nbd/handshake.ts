/** The handshake: newstyle, fixed. Options are answered until the client starts with one export. */
import type { Socket } from 'node:net';
import { asked, CONTEXTS, type Context } from './contexts.ts';
import type { Export } from './exports.ts';
import type { Inbox } from './inbox.ts';
import * as nbd from './protocol.ts';
import { Cut } from './protocol.ts';

/** What a client and the server agreed on. */
export interface Agreed {
  readonly disk: Export;
  readonly structured: boolean;
  readonly contexts: readonly Context[];
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** Leads one client to an export; undefined where it leaves before. Throws Cut where it breaks the rules. */
export async function handshake(
  socket: Socket,
  inbox: Inbox,
  disks: readonly Export[],
  time: number,
): Promise<Agreed | undefined> {
  const hello = Buffer.alloc(18);
  nbd.INIT_MAGIC.copy(hello, 0);
  nbd.OPTION_MAGIC.copy(hello, 8);
  hello.writeUInt16BE(nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES, 16);
  socket.write(hello);
  const end = performance.now() + time;
  const left = (): number => Math.max(1, end - performance.now());
  const flags = (await inbox.take(4, left())).readUInt32BE(0);
  if ((flags & ~(nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES)) !== 0) throw new Cut(`unknown client flags ${flags}`);
  const talk = new Talk(socket, disks, (flags & nbd.FLAG_NO_ZEROES) !== 0);
  for (let n = 0; n < nbd.MAX_OPTIONS; n++) {
    const head = await inbox.take(16, left());
    if (!head.subarray(0, 8).equals(nbd.OPTION_MAGIC)) throw new Cut('no option where one was expected');
    const option = head.readUInt32BE(8);
    const length = head.readUInt32BE(12);
    if (length > nbd.MAX_PASSED_OPTION) throw new Cut(`option ${option} has ${length} bytes`);
    if (length > nbd.MAX_OPTION) {
      await inbox.skip(length, left());
      if (option === nbd.OPT_EXPORT_NAME) throw new Cut('a name that is too long');
      talk.reply(option, nbd.REP_ERR_TOO_BIG, text(`at most ${nbd.MAX_OPTION} bytes`));
      continue;
    }
    const data = await inbox.take(length, left());
    const next = talk.answer(option, data);
    if (next === 'leave') return undefined;
    if (next !== undefined) return next;
  }
  throw new Cut(`more than ${nbd.MAX_OPTIONS} options`);
}

class Talk {
  readonly #socket: Socket;
  readonly #disks: readonly Export[];
  readonly #noZeroes: boolean;
  #structured = false;
  #contexts: readonly Context[] = [];
  /** The export that the contexts were chosen for. */
  #contextsOf: Export | undefined;

  constructor(socket: Socket, disks: readonly Export[], noZeroes: boolean) {
    this.#socket = socket;
    this.#disks = disks;
    this.#noZeroes = noZeroes;
  }

  answer(option: number, data: Buffer): Agreed | 'leave' | undefined {
    switch (option) {
      case nbd.OPT_EXPORT_NAME:
        return this.#exportName(data);
      case nbd.OPT_ABORT:
        this.reply(option, nbd.REP_ACK);
        return 'leave';
      case nbd.OPT_LIST:
        return this.#list(data);
      case nbd.OPT_INFO:
      case nbd.OPT_GO:
        return this.#go(option, data);
      case nbd.OPT_STRUCTURED_REPLY:
        if (data.length > 0) return this.#invalid(option, 'structured replies take no data');
        this.#structured = true;
        return this.reply(option, nbd.REP_ACK);
      case nbd.OPT_LIST_META_CONTEXT:
      case nbd.OPT_SET_META_CONTEXT:
        return this.#metaContext(option, data);
      case nbd.OPT_STARTTLS:
        return this.reply(option, nbd.REP_ERR_UNSUP, text('no TLS here: this server is for one machine'));
      default:
        return this.reply(option, nbd.REP_ERR_UNSUP, text(`option ${option} is not known`));
    }
  }

  reply(option: number, type: number, data: Buffer = Buffer.alloc(0)): undefined {
    const head = Buffer.alloc(20);
    nbd.OPTION_REPLY_MAGIC.copy(head, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    this.#socket.write(Buffer.concat([head, data]));
  }

  #invalid(option: number, why: string): undefined {
    return this.reply(option, nbd.REP_ERR_INVALID, text(why));
  }

  #unknown(option: number): undefined {
    return this.reply(option, nbd.REP_ERR_UNKNOWN, text('there is no export of that name'));
  }

  #exportName(data: Buffer): Agreed {
    const disk = this.#diskOf(data);
    // This option has no way to say no.
    if (disk === undefined) throw new Cut('an export that is not there was asked for');
    const out = Buffer.alloc(this.#noZeroes ? 10 : 134);
    writeOffset(out, disk.source.size, 0);
    out.writeUInt16BE(this.#flags(), 8);
    this.#socket.write(out);
    return this.#agreed(disk);
  }

  #list(data: Buffer): undefined {
    if (data.length > 0) return this.#invalid(nbd.OPT_LIST, 'a listing takes no data');
    for (const { name, description } of this.#disks)
      this.reply(nbd.OPT_LIST, nbd.REP_SERVER, Buffer.concat([counted(name), text(description)]));
    return this.reply(nbd.OPT_LIST, nbd.REP_ACK);
  }

  #go(option: number, data: Buffer): Agreed | undefined {
    const named = nameIn(data);
    const rest = named?.rest;
    if (rest === undefined || rest.length < 2 || rest.length !== 2 + 2 * rest.readUInt16BE(0))
      return this.#invalid(option, 'name and requests for information do not fill the option');
    const disk = this.#diskOf(named!.name);
    if (disk === undefined) return this.#unknown(option);
    const wanted = new Set<number>();
    for (let i = 2; i < rest.length; i += 2) wanted.add(rest.readUInt16BE(i));
    const info = Buffer.alloc(12);
    info.writeUInt16BE(nbd.INFO_EXPORT, 0);
    writeOffset(info, disk.source.size, 2);
    info.writeUInt16BE(this.#flags(), 10);
    this.reply(option, nbd.REP_INFO, info);
    if (wanted.has(nbd.INFO_NAME)) this.reply(option, nbd.REP_INFO, typed(nbd.INFO_NAME, text(disk.name)));
    if (wanted.has(nbd.INFO_DESCRIPTION))
      this.reply(option, nbd.REP_INFO, typed(nbd.INFO_DESCRIPTION, text(disk.description)));
    if (wanted.has(nbd.INFO_BLOCK_SIZE)) {
      const sizes = Buffer.alloc(12);
      sizes.writeUInt32BE(1, 0);
      sizes.writeUInt32BE(nbd.PREFERRED_BLOCK, 4);
      sizes.writeUInt32BE(nbd.MAX_REQUEST, 8);
      this.reply(option, nbd.REP_INFO, typed(nbd.INFO_BLOCK_SIZE, sizes));
    }
    this.reply(option, nbd.REP_ACK);
    return option === nbd.OPT_GO ? this.#agreed(disk) : undefined;
  }

  #metaContext(option: number, data: Buffer): undefined {
    const setting = option === nbd.OPT_SET_META_CONTEXT;
    if (setting) this.#contexts = [];
    if (setting && !this.#structured) return this.#invalid(option, 'contexts need structured replies first');
    const named = nameIn(data);
    const queries = named && queriesIn(named.rest);
    if (named === undefined || queries === undefined) return this.#invalid(option, 'queries do not fill the option');
    const disk = this.#diskOf(named.name);
    if (disk === undefined) return this.#unknown(option);
    const all = !setting && queries.length === 0;
    const chosen = all ? [...CONTEXTS] : [...new Set(queries.flatMap((query) => asked(query, !setting)))];
    for (const { name, id } of chosen) {
      const number = Buffer.alloc(4);
      number.writeUInt32BE(setting ? id : 0, 0);
      this.reply(option, nbd.REP_META_CONTEXT, Buffer.concat([number, text(name)]));
    }
    if (setting) {
      this.#contexts = chosen;
      this.#contextsOf = disk;
    }
    return this.reply(option, nbd.REP_ACK);
  }

  #diskOf(name: Buffer): Export | undefined {
    if (name.length === 0) return this.#disks[0];
    return this.#disks.find((disk) => Buffer.from(disk.name, 'utf8').equals(name));
  }

  #flags(): number {
    const flags = nbd.HAS_FLAGS | nbd.READ_ONLY | nbd.CAN_MULTI_CONN | nbd.SEND_CACHE;
    return this.#structured ? flags | nbd.SEND_DF : flags;
  }

  #agreed(disk: Export): Agreed {
    const contexts = this.#contextsOf === disk ? this.#contexts : [];
    return { disk, structured: this.#structured, contexts };
  }
}

/** A number below 2 ** 53 as 64 bits. */
export function writeOffset(into: Buffer, value: number, at: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  into.writeUInt32BE(value % 2 ** 32, at + 4);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'utf8').subarray(0, nbd.MAX_NAME);
}

function counted(value: string): Buffer {
  const bytes = text(value);
  const out = Buffer.alloc(4 + bytes.length);
  out.writeUInt32BE(bytes.length, 0);
  bytes.copy(out, 4);
  return out;
}

function typed(type: number, data: Buffer): Buffer {
  const out = Buffer.alloc(2 + data.length);
  out.writeUInt16BE(type, 0);
  data.copy(out, 2);
  return out;
}

/** A counted name at the start of an option, and what follows it; undefined where it does not fit. */
function nameIn(data: Buffer): { name: Buffer; rest: Buffer } | undefined {
  const length = data.length < 4 ? Number.POSITIVE_INFINITY : data.readUInt32BE(0);
  if (length > nbd.MAX_NAME || 4 + length > data.length) return undefined;
  return { name: data.subarray(4, 4 + length), rest: data.subarray(4 + length) };
}

function queriesIn(data: Buffer): string[] | undefined {
  if (data.length < 4 || data.readUInt32BE(0) > nbd.MAX_QUERIES) return undefined;
  const out: string[] = [];
  let rest = data.subarray(4);
  for (let n = data.readUInt32BE(0); n > 0; n--) {
    const query = nameIn(rest);
    if (query === undefined) return undefined;
    try {
      out.push(UTF8.decode(query.name));
    } catch {
      return undefined;
    }
    rest = query.rest;
  }
  return rest.length === 0 ? out : undefined;
}

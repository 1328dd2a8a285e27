/** Answers as bytes: simple ones, and the chunks of structured ones. */
import { writeOffset } from './handshake.ts';
import * as nbd from './protocol.ts';

const CHUNK = 20;
/** Characters of a message that goes with an error. */
const MAX_MESSAGE = 512;

/** A simple reply without its data. */
export function simple(cookie: Buffer, error: number): Buffer {
  const out = Buffer.allocUnsafe(16);
  out.writeUInt32BE(nbd.SIMPLE_REPLY_MAGIC, 0);
  out.writeUInt32BE(error, 4);
  cookie.copy(out, 8);
  return out;
}

/** The head of a chunk: of `length` bytes of data at `offset`, of a hole there, or of `length` bytes of anything. */
export function chunk(cookie: Buffer, flags: number, type: number, offset: number | undefined, length: number): Buffer {
  const isHole = type === nbd.REPLY_OFFSET_HOLE;
  const more = offset === undefined ? 0 : isHole ? 12 : 8;
  const out = Buffer.allocUnsafe(CHUNK + more);
  head(out, cookie, flags, type, isHole ? 12 : more + length);
  if (offset !== undefined) writeOffset(out, offset, CHUNK);
  if (isHole) out.writeUInt32BE(length, CHUNK + 8);
  return out;
}

/** An error with a sentence, and where in the disk it is. */
export function errorChunk(cookie: Buffer, flags: number, error: number, why: string, offset?: number): Buffer {
  const message = Buffer.from(why, 'utf8').subarray(0, MAX_MESSAGE);
  const length = 6 + message.length + (offset === undefined ? 0 : 8);
  const out = Buffer.allocUnsafe(CHUNK + length);
  head(out, cookie, flags, offset === undefined ? nbd.REPLY_ERROR : nbd.REPLY_ERROR_OFFSET, length);
  out.writeUInt32BE(error, CHUNK);
  out.writeUInt16BE(message.length, CHUNK + 4);
  message.copy(out, CHUNK + 6);
  if (offset !== undefined) writeOffset(out, offset, CHUNK + 6 + message.length);
  return out;
}

function head(out: Buffer, cookie: Buffer, flags: number, type: number, length: number): void {
  out.writeUInt32BE(nbd.STRUCTURED_REPLY_MAGIC, 0);
  out.writeUInt16BE(flags, 4);
  out.writeUInt16BE(type, 6);
  cookie.copy(out, 8);
  out.writeUInt32BE(length, 16);
}

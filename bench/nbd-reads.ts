/** node bench/nbd-reads.ts SOCKET READS: random reads of 4 KiB, 16 in flight. It counts bytes, so that it costs little itself. */
import { connect } from 'node:net';
import { dice } from '../test/make/content.ts';

const BLOCK = 4096;
const IN_FLIGHT = 16;
/** A simple reply: magic, error, cookie, data. */
const REPLY = 16 + BLOCK;
const HELLO = 18;
const EXPORT = 10;

const socket = connect(process.argv[2]);
const reads = Number(process.argv[3]);
const roll = dice(4);
let head = Buffer.alloc(0);
let blocks = 0;
let sent = 0;
let arrived = 0;

function ask(count: number): void {
  const all = Buffer.alloc(28 * count);
  for (let i = 0; i < count; i++) {
    all.writeUInt32BE(0x25609513, 28 * i);
    all.writeUInt32BE(sent++, 28 * i + 12);
    all.writeBigUInt64BE(BigInt(roll(blocks) * BLOCK), 28 * i + 16);
    all.writeUInt32BE(BLOCK, 28 * i + 24);
  }
  socket.write(all);
}

/** The handshake's answers, then nothing but replies of one length. */
function greet(bytes: Buffer): Buffer | undefined {
  const before = head.length;
  head = Buffer.concat([head, bytes]);
  if (before < HELLO && head.length >= HELLO) {
    const name = Buffer.from('disk');
    const flags = Buffer.from([0, 0, 0, 3]);
    socket.write(
      Buffer.concat([flags, Buffer.from('IHAVEOPT'), Buffer.from([0, 0, 0, 1, 0, 0, 0, name.length]), name]),
    );
  }
  if (head.length < HELLO + EXPORT) return undefined;
  blocks = Math.floor(Number(head.readBigUInt64BE(HELLO)) / BLOCK);
  ask(IN_FLIGHT);
  return head.subarray(HELLO + EXPORT);
}

socket.on('data', (received: Buffer) => {
  const bytes = blocks === 0 ? greet(received) : received;
  if (bytes === undefined) return;
  const before = Math.floor(arrived / REPLY);
  const next = Math.ceil(arrived / REPLY) * REPLY - arrived;
  for (let at = next; at + 8 <= bytes.length; at += REPLY) {
    if (bytes.readUInt32BE(at) !== 0x67446698 || bytes.readUInt32BE(at + 4) !== 0) throw new Error('a read failed');
  }
  arrived += bytes.length;
  const done = Math.floor(arrived / REPLY);
  if (done >= reads) process.exit(0);
  if (done > before) ask(done - before);
});
socket.on('close', () => {
  throw new Error('the server is gone');
});

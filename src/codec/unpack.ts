/** Streams packed by any of the ways that kernels know, told by their first bytes, unpacked piece by piece. */
import { Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { unpackLz4 } from './lz4.ts';
import { unpackXz } from './xz.ts';

type Unpack = (bytes: Uint8Array) => AsyncGenerator<Uint8Array, boolean> | Generator<Uint8Array, boolean>;

/** What a packed stream is: what people call it, and what unpacks it where something here does. */
export interface Packing {
  readonly what: string;
  readonly unpack?: Unpack;
}

interface Kind extends Packing {
  readonly mark: readonly number[];
}

const KINDS: readonly Kind[] = [
  { what: 'gzip', mark: [0x1f, 0x8b, 8], unpack: (bytes) => streamed(createGunzip({ chunkSize: CHUNK }), bytes) },
  {
    what: 'zstd',
    mark: [0x28, 0xb5, 0x2f, 0xfd],
    unpack: (bytes) => streamed(createZstdDecompress({ chunkSize: CHUNK }), bytes),
  },
  { what: 'xz', mark: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], unpack: unpackXz },
  { what: 'LZ4', mark: [0x02, 0x21, 0x4c, 0x18], unpack: unpackLz4 },
  { what: 'LZ4', mark: [0x04, 0x22, 0x4d, 0x18], unpack: unpackLz4 },
  { what: 'bzip2', mark: [0x42, 0x5a, 0x68] },
  { what: 'lzop', mark: [0x89, 0x4c, 0x5a, 0x4f] },
  { what: 'LZMA', mark: [0x5d, 0, 0] },
];

const CHUNK: number = 256 * 1024;

/** How what starts at `at` is packed; undefined where its first bytes say nothing. */
export function packingAt(bytes: Uint8Array, at: number): Packing | undefined {
  return KINDS.find(({ mark }) => mark.every((byte, i) => bytes[at + i] === byte));
}

/** Answers false where the stream is damaged or has no end; what came before was right as far as it can be known. */
async function* streamed(stream: Transform, bytes: Uint8Array): AsyncGenerator<Uint8Array, boolean> {
  const pieces = function* (): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
  };
  const input = Readable.from(pieces(), { objectMode: true });
  stream.on('error', () => input.destroy());
  input.pipe(stream);
  try {
    for await (const piece of stream) yield piece as Uint8Array;
    return true;
  } catch {
    return false;
  } finally {
    input.destroy();
    stream.destroy();
  }
}

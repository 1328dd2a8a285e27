/** Deflate streams of unknown length: where they end, how much they give, and its checksum. */
import type { Transform } from 'node:stream';
import { crc32, createInflateRaw, createZstdDecompress, inflateRawSync } from 'node:zlib';

export interface Inflated {
  /** Bytes of the stream. */
  readonly consumed: number;
  /** Bytes that it gives. */
  readonly size: number;
  readonly crc: number;
}

/** Streams that give more are bombs, or of no use to be followed. */
const MAX_OUTPUT = 16 * 1024 * 1024 * 1024;

type Pieces = (at: number) => Promise<Uint8Array | undefined>;

/** Follows a raw deflate stream whose pieces `next` hands over in order; undefined where it is damaged or never ends. */
export async function inflate(next: Pieces): Promise<Inflated | undefined> {
  const first = await next(0).catch(() => undefined);
  const short = first === undefined ? undefined : inflateShort(first);
  return short === 'longer' ? drained(createInflateRaw({ chunkSize: CHUNK }), next) : short;
}

/** Bytes that a short stream gives at most. */
const SHORT_OUTPUT: number = 4 * 1024 * 1024;

/** A stream that ends within its first piece, as most do: a stream object of its own costs more than all the rest. */
function inflateShort(piece: Uint8Array): Inflated | 'longer' | undefined {
  try {
    const options = { info: true, maxOutputLength: SHORT_OUTPUT, chunkSize: SHORT_CHUNK };
    // With `info` the answer is an object, which the types do not know.
    const { buffer, engine } = inflateRawSync(piece, options) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    return { consumed: engine.bytesWritten, size: buffer.length, crc: crc32(buffer) >>> 0 };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'Z_BUF_ERROR' || code === 'ERR_BUFFER_TOO_LARGE' ? 'longer' : undefined;
  }
}

const SHORT_CHUNK: number = 32 * 1024;

/** Whether a zstd stream unpacks to its end; its own checksum, where it has one, has to agree. */
export async function unpacksZstd(next: Pieces): Promise<boolean> {
  return (await drained(createZstdDecompress({ chunkSize: CHUNK }), next)) !== undefined;
}

const CHUNK: number = 256 * 1024;

function drained(stream: Transform & { bytesWritten: number }, next: Pieces): Promise<Inflated | undefined> {
  let size = 0;
  let crc = 0;
  return new Promise((resolve) => {
    let isOver = false;
    const finish = (result: Inflated | undefined): void => {
      if (isOver) return;
      isOver = true;
      stream.destroy();
      resolve(result);
    };
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      crc = crc32(chunk, crc);
      if (size > MAX_OUTPUT) finish(undefined);
    });
    stream.on('end', () => finish({ consumed: stream.bytesWritten, size, crc: crc >>> 0 }));
    stream.on('error', () => finish(undefined));
    const feed = async (at: number): Promise<void> => {
      if (isOver) return;
      const piece = await next(at).catch(() => undefined);
      if (piece === undefined || piece.length === 0) {
        // What has no end is told by the error that ending it now gives.
        stream.end();
        return;
      }
      const taken = piece.length;
      stream.write(Buffer.from(piece), (error) => {
        if (error === null || error === undefined) void feed(at + taken);
      });
    };
    void feed(0);
  });
}

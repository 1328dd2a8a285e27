/** BLAKE3: the native library where it loads, WebAssembly everywhere else. Same answers. */

/** A hash that is fed piece by piece. */
export interface Stream {
  update(bytes: Uint8Array): void;
  /** The 32 bytes, in memory of their own. */
  digest(): Uint8Array;
}

export interface Blake3 {
  /** The 32-byte hash of all of `input`, in memory of its own. */
  hash(input: Uint8Array): Uint8Array;
  stream(): Stream;
}

/** The native library, or undefined where there is none for this machine. */
export async function nativeBlake3(): Promise<Blake3 | undefined> {
  try {
    const { blake3: native, Blake3Hasher } = await import('@napi-rs/blake-hash');
    return {
      // Copies: the library's own buffers are memory outside the heap that is freed late.
      hash: (input) => Uint8Array.from(native(input)),
      stream() {
        const hasher = new Blake3Hasher();
        return {
          update: (bytes) => void hasher.update(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
          digest: () => Uint8Array.from(hasher.digestBuffer()),
        };
      },
    };
  } catch {
    return undefined;
  }
}

/** One hasher serves all: a stream has to end before the next hash begins. */
export async function wasmBlake3(): Promise<Blake3> {
  const { createBLAKE3 } = await import('hash-wasm');
  const hasher = await createBLAKE3();
  return {
    hash: (input) => hasher.init().update(input).digest('binary'),
    stream() {
      hasher.init();
      return { update: (bytes) => void hasher.update(bytes), digest: () => hasher.digest('binary') };
    },
  };
}

const chosen: Blake3 = (await nativeBlake3()) ?? (await wasmBlake3());

/** The 32-byte hash of all of `input`. */
export const blake3: Blake3['hash'] = chosen.hash;
/** A hash that is fed piece by piece; it has to end before this thread hashes anything else. */
export const blake3Stream: Blake3['stream'] = chosen.stream;

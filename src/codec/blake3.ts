/** BLAKE3: the native library where it loads, WebAssembly everywhere else. Same answers. */

/** The 32-byte hash of all of `input`, in memory of its own. */
export type Blake3 = (input: Uint8Array) => Uint8Array;

/** The native library, or undefined where there is none for this machine. */
export async function nativeBlake3(): Promise<Blake3 | undefined> {
  try {
    const { blake3: native } = await import('@napi-rs/blake-hash');
    // A copy: the library's own buffers are memory outside the heap that is freed late.
    return (input) => Uint8Array.from(native(input));
  } catch {
    return undefined;
  }
}

export async function wasmBlake3(): Promise<Blake3> {
  const { createBLAKE3 } = await import('hash-wasm');
  const hasher = await createBLAKE3();
  return (input) => hasher.init().update(input).digest('binary');
}

export const blake3: Blake3 = (await nativeBlake3()) ?? (await wasmBlake3());

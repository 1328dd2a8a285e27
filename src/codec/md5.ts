/** MD5, which old formats keep as a checksum. */

/** The 16 bytes of the sum, as 32 digits. */
export async function md5(bytes: Uint8Array): Promise<string> {
  const library = await import('hash-wasm');
  return library.md5(bytes);
}

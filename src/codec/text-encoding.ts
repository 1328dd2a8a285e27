/** Texts in the encodings that configurations name: UTF-8, code pages, and their aliases. */

/** A label that TextDecoder knows; 'utf-8' for what nobody knows. */
export function encodingOf(name: string | undefined): string {
  try {
    return new TextDecoder((name ?? 'utf-8').trim().toLowerCase().replaceAll('_', '-')).encoding;
  } catch {
    return 'utf-8';
  }
}

/** Raw bytes (latin1) as text. Bytes that are not of that encoding are taken for Windows-1252, one by one. */
export function inUnicode(raw: string, encoding: string): string {
  if (!/[\x80-\xff]/.test(raw)) return raw;
  const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** Texts in the encoding that they are in, as far as their bytes tell. */

/** Share of control characters from which on bytes are no text. */
const MAX_ODD = 0.02;
/** Bytes that a cut may have left of one character. */
const MAX_CUT = 3;

/** The text that bytes are, with the name of its encoding; undefined where they are none. `isCut`: there are more. */
export function decodeText(bytes: Uint8Array, isCut: boolean): { text: string; encoding: string } | undefined {
  for (const { mark, encoding } of MARKS) {
    if (mark.every((byte, i) => bytes[i] === byte)) return { text: new TextDecoder(encoding).decode(bytes), encoding };
  }
  const wide = wideOf(bytes);
  if (wide !== undefined) return { text: new TextDecoder(wide).decode(bytes), encoding: wide };
  if (isOdd(bytes)) return undefined;
  for (let cut = 0; cut <= (isCut ? MAX_CUT : 0); cut++) {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, bytes.length - cut));
      return { text, encoding: 'utf-8' };
    } catch {
      // Not UTF-8, or cut inside a character.
    }
  }
  return { text: new TextDecoder('windows-1252').decode(bytes), encoding: 'windows-1252' };
}

const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], encoding: 'utf-8' },
  { mark: [0xff, 0xfe], encoding: 'utf-16le' },
  { mark: [0xfe, 0xff], encoding: 'utf-16be' },
];

/** Latin text in UTF-16 without a mark has a zero in nearly every second byte. */
function wideOf(bytes: Uint8Array): string | undefined {
  const zeros = [0, 0];
  const length = Math.min(bytes.length, 4096) & ~1;
  if (length < 8) return undefined;
  for (let i = 0; i < length; i++) if (bytes[i] === 0) zeros[i % 2]++;
  if (zeros[1] > 0.4 * length && zeros[0] < 0.05 * length) return 'utf-16le';
  return zeros[0] > 0.4 * length && zeros[1] < 0.05 * length ? 'utf-16be' : undefined;
}

function isOdd(bytes: Uint8Array): boolean {
  let odd = 0;
  for (const byte of bytes) {
    if (byte === 0) return true;
    if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27)) odd++;
  }
  return odd > bytes.length * MAX_ODD;
}

/** Apple Data Compression: literal runs, and copies of what came before from near and far. */
import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';

/** One unit, as far as it goes: it has no checksum, so a copy from before its start ends it. */
export const adc: Codec = {
  name: 'ADC',
  shared: [SHARED.adc],
  make(input, size) {
    const out = new Uint8Array(size);
    let n = 0;
    for (let at = 0; at < input.length && n < size; ) {
      const first = input[at];
      if (first >= 0x80) {
        const length = Math.min(first - 0x7f, input.length - at - 1, size - n);
        out.set(input.subarray(at + 1, at + 1 + length), n);
        n += length;
        at += 1 + first - 0x7f;
        continue;
      }
      const isFar = first >= 0x40;
      const width = isFar ? 3 : 2;
      if (at + width > input.length) break;
      const length = isFar ? first - 0x40 + 4 : (first >>> 2) + 3;
      const back = 1 + (isFar ? input[at + 1] * 256 + input[at + 2] : (first & 3) * 256 + input[at + 1]);
      if (back > n) break;
      // Byte by byte: a copy may reach into what it is making.
      for (let i = 0; i < length && n < size; i++, n++) out[n] = out[n - back];
      at += width;
    }
    return out.subarray(0, n);
  },
};

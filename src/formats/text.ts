/** Small texts that describe something: read whole, with a limit, gaps named. */
import { hex } from '../core/damage.ts';
import { MAX_TEXT } from '../core/limits.ts';
import type { Gap, Source } from '../core/source.ts';

export interface Text {
  /** Raw bytes, one per character; what could not be read stands as NUL. */
  readonly raw: string;
  readonly gaps: readonly Gap[];
  readonly cut: boolean;
}

/** The first MAX_TEXT bytes of a source, or fewer where `most` says so. */
export async function readText(source: Source, most: number = MAX_TEXT): Promise<Text> {
  const bytes = new Uint8Array(Math.min(source.size, most));
  const gaps = await source.read(0, bytes);
  return { raw: Buffer.from(bytes.buffer).toString('latin1'), gaps, cut: source.size > most };
}

/** What of a text was not read, in words; undefined where all of it was. */
export function unreadOf({ raw, gaps, cut }: Text): string | undefined {
  const bytes = gaps.reduce((sum, { length }) => sum + length, 0);
  const lost = bytes === 0 ? [] : [`${hex(bytes)} bytes missing from ${hex(gaps[0].offset)} on (${gaps[0].code})`];
  const rest = cut ? [`more than the ${hex(raw.length)} bytes that are read of it`] : [];
  return lost.length + rest.length === 0 ? undefined : [...lost, ...rest].join(', and ');
}

/** Codecs that any thread can make from a few numbers. */
import type { Codec } from '../core/made.ts';
import { adc } from './adc.ts';
import { bzip2Unit } from './bzip2.ts';
import { deflateCluster, zstdCluster } from './cluster.ts';
import { grainCodec } from './grain.ts';
import { lznt1 } from './lznt1.ts';
import { lzoSegments } from './lzo.ts';
import { SHARED } from './shared-ids.ts';
import { summed } from './summed.ts';
import { xpressHuffman } from './xpress.ts';
import { xzUnit } from './xz.ts';
import { zlibUnit } from './zlib.ts';

const BY_ID: ReadonlyMap<number, (set: readonly number[]) => Codec> = new Map([
  [SHARED.deflate, () => deflateCluster],
  [SHARED.zstd, () => zstdCluster],
  [SHARED.grain, ([lba, grain, sectors]: readonly number[]) => grainCodec(lba, grain, sectors)],
  [SHARED.lznt1, () => lznt1],
  [SHARED.xpress, () => xpressHuffman],
  [SHARED.lzo, () => lzoSegments],
  [SHARED.zlib, () => zlibUnit],
  [SHARED.bzip2, () => bzip2Unit],
  [SHARED.adc, () => adc],
  [SHARED.xz, () => xzUnit],
  [SHARED.summed, ([unit, ...sums]: readonly number[]) => summed(unit, sums)],
]);

/** The codec that `shared` names. Throws RangeError for what no codec says of itself. */
export function sharedCodec([id, ...set]: readonly number[]): Codec {
  const make = BY_ID.get(id);
  if (make === undefined) throw new RangeError(`no codec has the number ${id}`);
  return make(set);
}

/** Compressed grains of VMDK, each behind a marker that says where it belongs. Source: vmdk.md 3.1. */
import type { Codec } from '../core/made.ts';
import { readU64, viewOf } from '../core/struct.ts';
import { SHARED } from './shared-ids.ts';
import { inflateZlib } from './zlib.ts';

/** Marker of a grain: where it belongs, and how many bytes follow. */
export const GRAIN_MARKER = 12;

/**
 * Inflates a grain with its marker, which has to say that it belongs at sector `lba` of a disk of so many sectors. Where
 * the marker is damaged, so that it can be that of no grain at all, the table that led here is believed: the stream has
 * a checksum of its own.
 */
export function grainCodec(lba: number, grain: number, sectors: number): Codec {
  return new GrainCodec(lba, grain, sectors);
}

/** A class, for there is one of each grain: closures and lists of numbers would take three times the memory. */
class GrainCodec implements Codec {
  readonly #lba: number;
  readonly #grain: number;
  readonly #sectors: number;

  constructor(lba: number, grain: number, sectors: number) {
    this.#lba = lba;
    this.#grain = grain;
    this.#sectors = sectors;
  }

  get name(): string {
    return 'deflate';
  }

  get shared(): readonly number[] {
    return [SHARED.grain, this.#lba, this.#grain, this.#sectors];
  }

  make(input: Uint8Array, size: number): Uint8Array {
    if (input.length < GRAIN_MARKER) return new Uint8Array(0);
    const view = viewOf(input);
    const length = view.getUint32(8, true);
    const value = readU64(view, 0);
    const isAnother = value !== this.#lba && value < this.#sectors && value % this.#grain === 0;
    if (isAnother) return new Uint8Array(0);
    const end = length > 0 ? Math.min(input.length, GRAIN_MARKER + length) : input.length;
    const made = inflateZlib(input.subarray(GRAIN_MARKER, end), size);
    return made.length > 0 ? made : inflateZlib(input.subarray(GRAIN_MARKER), size);
  }
}

/** What threads know codecs by: the first number of `Codec.shared`. */
export const SHARED = {
  deflate: 1,
  zstd: 2,
  grain: 3,
  lznt1: 4,
  xpress: 5,
  lzo: 6,
  zlib: 7,
  bzip2: 8,
  adc: 9,
  xz: 10,
  summed: 11,
} as const;

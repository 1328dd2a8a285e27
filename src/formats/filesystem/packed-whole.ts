/**
 * What is packed as a whole: backups and images that were compressed or put into an archive. Nothing in them has a place
 * before they are unpacked, so they are recognised and named. Sources: RFC 1952, RFC 8878, the specifications of xz and
 * of LZ4 frames, APPNOTE, and the signatures of the others.
 */
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { NotThis } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import { latin1 } from '../../core/struct.ts';

/** Below every format that reads what it recognises. */
const SCORE = 4;
const START = 512;

interface Kind {
  readonly what: string;
  readonly mark: string;
  /** What unpacks it and keeps it. */
  readonly command: string;
  /** What else has to be true of its first bytes. */
  readonly isOne?: (start: Uint8Array) => boolean;
}

const KINDS: readonly Kind[] = [
  { what: 'Zstandard', mark: '\x28\xb5\x2f\xfd', command: 'zstd -dk' },
  // Method 8, and no flags that are reserved.
  { what: 'gzip', mark: '\x1f\x8b\x08', command: 'gzip -dk', isOne: (start) => start[3] < 0x20 },
  { what: 'xz', mark: '\xfd7zXZ\0\0', command: 'xz -dk' },
  { what: 'bzip2', mark: 'BZh', command: 'bzip2 -dk', isOne: (start) => latin1(start, 4, 6) === '1AY&SY' },
  { what: 'LZ4', mark: '\x04\x22\x4d\x18', command: 'lz4 -dk' },
  { what: 'lzop', mark: '\x89LZO\0\r\n\x1a\n', command: 'lzop -d' },
  // A local header that needs no version which was never made.
  { what: 'ZIP', mark: 'PK\x03\x04', command: 'unzip', isOne: (start) => start[4] <= 63 && start[5] === 0 },
  { what: '7-Zip', mark: "7z\xbc\xaf'\x1c", command: '7z x' },
  { what: 'RAR', mark: 'Rar!\x1a\x07', command: 'unrar x' },
];

async function kindOf(source: Source): Promise<Kind | undefined> {
  const start = new Uint8Array(Math.min(START, source.size));
  await source.read(0, start);
  return KINDS.find(({ mark, isOne }) => latin1(start, 0, mark.length) === mark && isOne?.(start) !== false);
}

export const packedWhole: Format = {
  id: 'packed',
  layer: 'volume',
  title: 'packed file or archive',
  spec: 'RFC 1952, RFC 8878, the xz and LZ4 frame formats, APPNOTE',
  gaps: ['Nothing in a packed file is read: it has to be unpacked first, and the program says with what.'],
  async probe(source) {
    return (await kindOf(source)) === undefined ? 0 : SCORE;
  },
  async open(source, cx) {
    const kind = await kindOf(source);
    if (kind === undefined) throw new NotThis('no packed file that is known starts here');
    const { what, command } = kind;
    return {
      name: printable(what),
      rawName: what,
      locator: cx.self,
      kind: 'volume',
      state: 'live',
      format: `${what}, packed as a whole`,
      facts: { size: source.size, details: { what } },
      damage: [],
      advice: [
        `It is packed as a whole: unpack it where there is room (${command} FILE), then inspect what comes out. Of a damaged one, what can be unpacked is read as far as it goes.`,
      ],
    };
  },
};

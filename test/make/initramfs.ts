/** What kernels start with: archives of names and bytes (cpio, newc), one behind the other, packed by the tools for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';

/** Puts files into one archive, with the folders that they lie in before them. */
export function cpio(files: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const out: Uint8Array[] = [];
  const folders = new Set<string>();
  let inode = 1;
  const add = (name: string, bytes: Uint8Array, mode: number): void => {
    const fields = [inode++, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
    const head = `070701${fields.map((one) => one.toString(16).toUpperCase().padStart(8, '0')).join('')}${name}\0`;
    out.push(quadruple(Buffer.from(head)), quadruple(bytes));
  };
  for (const [name, bytes] of files) {
    const parts = name.split('/').slice(0, -1);
    for (let i = 1; i <= parts.length; i++) {
      const folder = parts.slice(0, i).join('/');
      if (!folders.has(folder)) add(folder, new Uint8Array(0), 0o40755);
      folders.add(folder);
    }
    add(name, bytes, 0o100644);
  }
  add('TRAILER!!!', new Uint8Array(0), 0);
  const all = Buffer.concat(out);
  return Buffer.concat([all, Buffer.alloc((512 - (all.length % 512)) % 512)]);
}

function quadruple(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

const TOOLS: Readonly<Record<string, readonly string[]>> = {
  zstd: ['zstd', '-q', '-c', '-3'],
  xz: ['xz', '-0', '--check=crc32', '-c'],
  'xz -9': ['xz', '-9', '--check=crc64', '-c'],
  'xz in blocks': ['xz', '-1', '--block-size=70000', '--check=crc32', '-c'],
  'xz lc lp pb': ['xz', '--lzma2=preset=2,lc=1,lp=3,pb=0', '-c'],
  lz4: ['lz4', '-q', '-c'],
  'lz4 linked': ['lz4', '-q', '-BD', '-B4', '-c'],
  'lz4 -l': ['lz4', '-q', '-l', '-c'],
};

/** Ways to pack that can be had on this host. */
export const PACKINGS: readonly string[] = [
  'plain',
  'gzip',
  ...Object.keys(TOOLS).filter((name) => spawnSync('which', [TOOLS[name][0]]).status === 0),
];

export function packed(how: string, bytes: Uint8Array): Uint8Array {
  if (how === 'plain') return bytes;
  if (how === 'gzip') return gzipSync(bytes);
  const [tool, ...args] = TOOLS[how];
  return execFileSync(tool, args, { input: bytes, maxBuffer: 2 ** 28, stdio: ['pipe', 'pipe', 'ignore'] });
}

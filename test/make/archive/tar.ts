/** Tar archives, written from the format's table alone. */

export interface TarEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly base256?: boolean;
}

export function entry(name: string, bytes: Uint8Array, more: { base256?: boolean } = {}): TarEntry {
  return { name, bytes, ...more };
}

/** The whole archive: names of more than 100 bytes as GNU tar keeps them, two blocks of zeros at the end. */
export function pack(entries: readonly TarEntry[]): Uint8Array {
  const parts: Buffer[] = [];
  for (const { name, bytes, base256 } of entries) {
    if (name.length > 100) {
      const long = Buffer.from(`${name}\0`, 'latin1');
      parts.push(head('././@LongLink', long.length, 'L', false), filled(long));
    }
    parts.push(head(name.slice(0, 100), bytes.length, '0', base256 === true), filled(bytes));
  }
  return new Uint8Array(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

function filled(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function head(name: string, size: number, type: string, base256: boolean): Buffer {
  const out = Buffer.alloc(512);
  out.write(name, 0, 100, 'latin1');
  out.write('0000644\0', 100);
  out.write('0000000\0', 108);
  out.write('0000000\0', 116);
  if (base256) {
    out[124] = 0x80;
    out.writeUIntBE(size, 130, 6);
  } else out.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  out.write('14700000000\0', 136);
  out.write('        ', 148);
  out.write(type, 156);
  out.write('ustar\x0000', 257, 'latin1');
  const sum = out.reduce((total, byte) => total + byte, 0);
  out.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return out;
}

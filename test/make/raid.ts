/** Lays a content over devices the way Linux does, row by row. Written from volumes.md section 6. */

export interface Layout {
  readonly level: 0 | 1 | 4 | 5 | 6 | 10;
  /** As md numbers them. */
  readonly layout: number;
  readonly devices: number;
  readonly chunk: number;
}

/** Where one chunk of a row goes: a number of the row's data, or parity. */
type Cell = number | 'P' | 'Q';

/** One row of RAID 4, 5 and 6 as a line of cells, device by device. */
function rowOf({ level, layout, devices: n }: Layout, stripe: number): Cell[] {
  const cells: (Cell | undefined)[] = Array.from({ length: n }, () => undefined);
  const last = n - 1;
  const step = stripe % n;
  let begin: number | 'ascending' = 'ascending';
  if (level === 4) cells[last] = 'P';
  else if (level === 5 || layout >= 16) {
    const m = level === 6 ? n - 1 : n;
    if (level === 6) cells[last] = 'Q';
    const kind = level === 6 ? layout - 16 : layout;
    const p = [m - 1 - (stripe % m), stripe % m, m - 1 - (stripe % m), stripe % m, 0, m - 1][kind];
    cells[p] = 'P';
    if (kind === 2 || kind === 3) begin = p + 1;
    return filled(cells, begin, m);
  } else {
    const p = {
      0: last - step,
      1: step,
      2: last - step,
      3: step,
      4: 0,
      5: n - 2,
      8: step,
      9: last - ((stripe + 1) % n),
      10: last - step,
    }[layout]!;
    const q = layout === 10 ? (p + last) % n : (p + 1) % n;
    cells[p] = 'P';
    cells[q] = 'Q';
    if (layout === 2 || layout === 3) begin = q + 1;
    if (layout === 10) begin = p + 1;
  }
  return filled(cells, begin, n);
}

function filled(cells: (Cell | undefined)[], begin: number | 'ascending', n: number): Cell[] {
  let next = 0;
  for (let i = 0; i < n; i++) {
    const at = begin === 'ascending' ? i : (begin + i) % n;
    if (cells[at] === undefined) cells[at] = next++;
  }
  return cells as Cell[];
}

/** Product in the field of 256 elements with polynomial 0x11D, bit by bit. */
function product(a: number, b: number): number {
  let out = 0;
  for (let x = a, y = b; y > 0; y >>= 1) {
    if (y & 1) out ^= x;
    x = x & 0x80 ? ((x << 1) ^ 0x11d) & 0xff : x << 1;
  }
  return out;
}

function power(exponent: number): number {
  let out = 1;
  for (let i = 0; i < exponent; i++) out = product(out, 2);
  return out;
}

/** How many of the devices hold data in each row. */
export function dataDevices({ level, devices, layout }: Layout): number {
  if (level === 10) return devices / ((layout & 0xff) * ((layout >> 8) & 0xff));
  return { 0: devices, 1: 1, 4: devices - 1, 5: devices - 1, 6: devices - 2 }[level];
}

/** The bytes of each device for a content that fills whole rows. */
export function laidOut(spec: Layout, content: Uint8Array): Uint8Array[] {
  const { level, devices: n, chunk } = spec;
  if (level === 1) return Array.from({ length: n }, () => content.slice());
  const each = content.length / dataDevices(spec);
  const out = Array.from({ length: n }, () => new Uint8Array(each));
  const piece = (number: number): Uint8Array => content.subarray(number * chunk, (number + 1) * chunk);
  if (level === 0) {
    for (let c = 0; c * chunk < content.length; c++) out[c % n].set(piece(c), Math.floor(c / n) * chunk);
    return out;
  }
  if (level === 10) return tenfold(spec, content, out, piece);
  const k = dataDevices(spec);
  for (let stripe = 0; stripe * chunk < each; stripe++) {
    const row = rowOf(spec, stripe);
    const p = new Uint8Array(chunk);
    const q = new Uint8Array(chunk);
    const [pAt, qAt] = [row.indexOf('P'), row.indexOf('Q')];
    const isDdf = spec.level === 6 && spec.layout >= 8 && spec.layout <= 10;
    let counted = 0;
    for (let i = 0; i < n; i++) {
      // md counts from behind Q, DDF from the first device with parity counted as zeros.
      const device = isDdf || qAt < 0 ? i : (qAt + 1 + i) % n;
      const cell = row[device];
      if (typeof cell !== 'number') {
        if (isDdf) counted++;
        continue;
      }
      const data = piece(stripe * k + cell);
      out[device].set(data, stripe * chunk);
      const factor = power(counted++);
      for (let b = 0; b < chunk; b++) {
        p[b] ^= data[b];
        q[b] ^= product(factor, data[b]);
      }
    }
    out[pAt].set(p, stripe * chunk);
    if (qAt >= 0) out[qAt].set(q, stripe * chunk);
  }
  return out;
}

/** RAID 10: each chunk `near` times side by side, and each such line `far` times further down, shifted by `near`. */
function tenfold(spec: Layout, content: Uint8Array, out: Uint8Array[], piece: (n: number) => Uint8Array): Uint8Array[] {
  const { devices: n, chunk, layout } = spec;
  const [near, far, isOffset] = [layout & 0xff, (layout >> 8) & 0xff, (layout & 0x10000) !== 0];
  const line: number[] = [];
  for (let c = 0; c * chunk < content.length; c++) for (let i = 0; i < near; i++) line.push(c);
  const rows = Math.ceil(line.length / n);
  for (const [place, c] of line.entries()) {
    const [row, device] = [Math.floor(place / n), place % n];
    for (let f = 0; f < far; f++) {
      const down = isOffset ? row * far + f : f * rows + row;
      out[(device + f * near) % n].set(piece(c), down * chunk);
    }
  }
  return out;
}

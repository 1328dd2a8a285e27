/** Film in packets: FLV, MPEG streams, ASF. Sources: the published formats. */
import { type Carver, cut, unchecked, whole } from '../../core/carver.ts';
import { endsAt, guidAt } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });

export const flv: Carver = {
  extension: 'flv',
  title: 'Flash film',
  keys: [hexKey(0, '464c5601')],
  most: 16 * GIB,
  async examine(file) {
    if ((await file.number(5, 4, 'big')) !== 9 || (await file.number(9, 4, 'big')) !== 0) return undefined;
    let at = 13;
    for (let tags = 0; ; tags++) {
      const type = await file.number(at, 1);
      const size = (await file.number(at, 4, 'big')) % 2 ** 24;
      // Each part is followed by its length.
      const isTag = [8, 9, 18].includes(type) && (await file.number(at + 11 + size, 4, 'big')) === size + 11;
      if (!isTag) return tags < 2 ? undefined : [8, 9, 18].includes(type) ? cut(at) : whole(at);
      at += size + 15;
    }
  },
};

const PACKET = 188;
const LEAST_PACKETS = 32;

export const transport: Carver = {
  extension: 'ts',
  title: 'MPEG transport stream',
  keys: [hexKey(0, '474000'), hexKey(0, '474011')],
  most: 64 * GIB,
  begins: (head) => head.length < 3 * PACKET || (head[PACKET] === 0x47 && head[2 * PACKET] === 0x47),
  async examine(file) {
    const counters = new Map<number, number>();
    let at = 0;
    for (;;) {
      const head = await file.number(at, 4, 'big');
      if (Number.isNaN(head) || head >>> 24 !== 0x47 || (head & 0x800000) !== 0 || at + PACKET > file.size) break;
      const [pid, control, counter] = [(head >>> 8) & 0x1fff, (head >>> 4) & 3, head & 15];
      const before = counters.get(pid);
      // Packets of one stream count up, so what is missing among them shows; one may be sent twice.
      const isNext = before === undefined || control < 2 || counter === before || counter === ((before + 1) & 15);
      if (pid !== 0x1fff && (control === 0 || !isNext)) return at < LEAST_PACKETS * PACKET ? undefined : cut(at);
      if (control !== 2) counters.set(pid, counter);
      at += PACKET;
    }
    if (at < LEAST_PACKETS * PACKET) return undefined;
    return ((await endsAt(file, at)) ? whole : cut)(at);
  },
};

export const program: Carver = {
  extension: 'mpg',
  title: 'MPEG film',
  keys: [hexKey(0, '000001ba')],
  most: 16 * GIB,
  async examine(file) {
    let at = 0;
    for (let packs = 0; ; ) {
      const code = await file.number(at, 4, 'big');
      if (code === 0x1b9) return packs > 0 ? whole(at + 4) : undefined;
      if (code === 0x1ba) {
        const first = await file.number(at + 4, 1);
        if (first >>> 6 === 1) at += 14 + ((await file.number(at + 13, 1)) & 7);
        else if (first >>> 4 === 2) at += 12;
        else return packs > 1 ? cut(at) : undefined;
        packs++;
      } else if (code >= 0x1bb && code <= 0x1ff) at += 6 + (await file.number(at + 4, 2, 'big'));
      else return packs < 3 ? undefined : cut(Math.min(at, file.size));
      if (!(at <= file.size)) return cut(file.size);
    }
  },
};

const HEADER = '3026b2758e66cf11a6d900aa0062ce6c';
const PROPERTIES = 'a1dcab8c47a9cf118ee400c00c205365';
const MAX_OBJECTS = 256;

export const asf: Carver = {
  extension: 'wmv',
  title: 'Windows Media film',
  keys: [hexKey(0, HEADER)],
  most: 64 * GIB,
  async examine(file) {
    const size = await file.number(16, 8);
    const count = await file.number(24, 4);
    if (!(size >= 30 && size <= 16 * MIB && count >= 1 && count <= MAX_OBJECTS)) return undefined;
    let total = Number.NaN;
    for (let i = 0, at = 30; i < count; i++) {
      if ((await guidAt(file, at)) === PROPERTIES) total = await file.number(at + 40, 8);
      at += await file.number(at + 16, 8);
    }
    if (!(total > size)) return undefined;
    let at = size;
    let objects = 0;
    for (; at < total && objects < MAX_OBJECTS; objects++) {
      const length = await file.number(at + 16, 8);
      if (!(length >= 24) || at + length > total || at + length > file.size) return cut(Math.min(at, file.size));
      at += length;
    }
    // An index behind the film stands where it should only if nothing was put in.
    return objects > 1 ? whole(total) : unchecked(total);
  },
};

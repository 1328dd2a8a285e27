/** Disks that were cut into files of one size, named NAME.001, NAME.002 …, NAME.aa, NAME.ab …, and put together again. */
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import { data, missing, type Segment, segments } from '../../core/map-source.ts';
import { type Node, NotThis } from '../../core/node.ts';
import { INFERRED, type Why } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { guestSize } from './guest-size.ts';

/** Pieces of one disk, and pieces in a row that may be lacking before the search for more ends. */
const MAX_PIECES = 10_000;
const MAX_LACKING = 8;
/** Sectors are never cut, and nobody cuts a disk into less than this. */
const SECTOR = 512;
const LEAST: number = 64 * 1024;
const BY_NAME: Why = { what: 'the order of the pieces is that of their names', code: 'split.names' };
const LETTERS = 26;

/** A file's place among its like. */
interface Place {
  readonly stem: string;
  readonly digits: number;
  readonly letters: boolean;
  readonly number: number;
  /** The number that the first piece has. */
  readonly first: number;
}

interface Piece {
  readonly number: number;
  readonly source: Source;
}

export const split: Format = {
  id: 'split',
  layer: 'disk',
  title: 'disk in pieces',
  spec: 'the names that split(1) and imaging programs give',
  gaps: [
    'Nothing but names says the order of the pieces, so that no byte is more than inferred.',
    'Where more than eight pieces in a row are lacking, what follows is not found.',
    'Pieces of a volume that spans several such disks do not find each other.',
  ],
  names: ['.000', '.001', '.aa', '.aaa', '.000000000'],
  async probe(source, cx) {
    const place = placeOf(nameOf(cx));
    if (place === undefined || source.size < LEAST || source.size % SECTOR !== 0) return 0;
    return (await pieces(source, place, cx)) === undefined ? 0 : SURE;
  },
  async open(source, cx) {
    const place = placeOf(nameOf(cx));
    const found = place && (await pieces(source, place, cx));
    if (found === undefined) throw new NotThis('no first piece of several');
    return node(found, place!, cx);
  },
};

/** Surer than what the first piece holds: a partition table, say, of a disk of which this is a part. */
const SURE = 99;

/** The name of the file that is opened, as it stands in its locator. */
function nameOf(cx: Cx): string {
  return cx.source.replace(/^.*[/:]/, '');
}

function placeOf(name: string): Place | undefined {
  const match = /^(.+\.)(?:(\d{3,9})|([a-z]{2,3}))$/.exec(name);
  if (match === null) return undefined;
  const [, stem, number, letters] = match;
  if (number !== undefined) {
    // Some count from 0, most from 1.
    return { stem, digits: number.length, letters: false, number: Number(number), first: Number(number) === 0 ? 0 : 1 };
  }
  let value = 0;
  for (const letter of letters) value = value * LETTERS + letter.charCodeAt(0) - 97;
  // The pieces of such a disk begin with aa; what is called .img or .dd is none.
  if (value > MAX_LACKING) return undefined;
  return { stem, digits: letters.length, letters: true, number: value, first: 0 };
}

function nameAt({ stem, digits, letters }: Place, number: number): string | undefined {
  if (!letters) return `${stem}${String(number).padStart(digits, '0')}`;
  let out = '';
  for (let rest = number, i = 0; i < digits; i++, rest = Math.floor(rest / LETTERS)) {
    out = String.fromCharCode(97 + (rest % LETTERS)) + out;
  }
  return number < LETTERS ** digits ? stem + out : undefined;
}

/** All pieces, where `source` is the lowest of them that is here and their sizes are those of pieces. */
async function pieces(source: Source, place: Place, cx: Cx): Promise<Piece[] | undefined> {
  const at = async (number: number): Promise<Source | undefined> => {
    const name = number < 0 ? undefined : nameAt(place, number);
    return name === undefined ? undefined : (await cx.siblings({ name }))[0]?.source;
  };
  for (let back = 1; back <= Math.min(MAX_LACKING, place.number); back++) {
    if ((await at(place.number - back)) !== undefined) return undefined;
  }
  const out: Piece[] = [{ number: place.number, source }];
  for (let number = place.number + 1, lacking = 0; lacking < MAX_LACKING && out.length < MAX_PIECES; number++) {
    const next = await at(number);
    if (next === undefined) lacking++;
    else {
      lacking = 0;
      out.push({ number, source: next });
    }
  }
  return out.length > 1 && areAlike(out) ? out : undefined;
}

/** All but the last are of one size, except some that were cut off. */
function areAlike(found: readonly Piece[]): boolean {
  const unit = unitOf(found);
  const whole = found.slice(0, -1).filter(({ source }) => source.size === unit).length;
  return unit % SECTOR === 0 && 2 * whole >= found.length - 1 && whole > 0;
}

function unitOf(found: readonly Piece[]): number {
  return found.reduce((most, { source }) => Math.max(most, source.size), 0);
}

async function node(found: readonly Piece[], place: Place, cx: Cx): Promise<Node> {
  const unit = unitOf(found);
  const out: Segment[] = [];
  const damage: Damage[] = [];
  const lack = (bytes: number, number: number, actual: string): void => {
    const name = nameAt(place, number) ?? `piece ${number}`;
    const effect = `${hex(bytes)} bytes of the disk are missing; put the piece beside the others`;
    damage.push(cx.damage(0, 'split.piece', `${name} of ${hex(unit)} bytes`, actual, effect));
    out.push(missing(bytes, { what: `${name}, a piece of the disk that is not had`, code: 'split.piece' }));
  };
  let next = Math.min(place.first, place.number);
  for (const { number, source } of found) {
    for (; next < number; next++) lack(unit, next, 'none');
    out.push(data(source, 0, source.size, INFERRED, BY_NAME));
    if (source.size < unit && number !== found.at(-1)!.number) lack(unit - source.size, number, hex(source.size));
    next = number + 1;
  }
  const size = out.reduce((sum, { length }) => sum + length, 0);
  const says = await guestSize(segments(out), 0);
  if (says !== undefined && says > size) {
    const effect = 'the end of the disk is missing: pieces that follow are not here';
    damage.push(cx.damage(0, 'split.end', `${hex(says)} bytes, as the partition table says`, hex(size), effect));
    out.push(missing(says - size, { what: 'pieces of the disk that are not had', code: 'split.end' }));
  }
  const map = segments(out);
  return {
    name: split.id,
    rawName: split.id,
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: split.title,
    facts: { size: map.size, details: { pieces: found.length, pieceSize: unit } },
    damage,
    bytes: async () => map,
  };
}

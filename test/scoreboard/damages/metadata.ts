/** Damage to what says where things lie: anchors, tables, all pointers, and some of it together. */
import { dice } from '../../make/content.ts';
import { Eraser } from '../../make/damage.ts';
import { type Case, laid, overlay, structures, wipe } from '../case.ts';
import type { Bar, Damage, Group } from '../cell.ts';
import { type Size, store, type Version } from '../store.ts';

const ANCHORS: readonly [string, RegExp][] = [
  ['partition-table', /^(mbr|gpt)/],
  ['lvm-header', /^lvm\.header/],
  ['pe-table', /^lvm\.(descriptor|petable|pebitmap)/],
  ['fs-header', /^fsd/],
  ['heartbeats', /^heartbeat/],
  ['all-anchors', /^(mbr|gpt|lvm|fsd|heartbeat)/],
];

interface Table {
  readonly id: string;
  readonly names: RegExp;
  readonly half?: boolean;
  /** Whether what is wiped are files' own bytes. */
  readonly data?: boolean;
  readonly versions?: readonly Version[];
}

const TABLES: readonly Table[] = [
  { id: 'block-header', names: /^(fbb|lfb|sfb)\.header/ },
  { id: 'fd-header', names: /^fdc\.header/ },
  { id: 'sub-block-header', names: /^sbc\.header/ },
  { id: 'pointer-header', names: /^pbc\.header/ },
  { id: 'pb2-header', names: /^pb2\.header/, versions: [5, 6] },
  { id: 'journal-header', names: /^jbc\.header/, versions: [6] },
  { id: 'all-headers', names: /^\w+\.header/ },
  { id: 'block-clusters', names: /^(fbb|lfb|sfb)\.cluster/ },
  { id: 'fd-clusters', names: /^fdc\.cluster/ },
  { id: 'sub-block-clusters', names: /^sbc\.cluster/ },
  { id: 'pointer-clusters', names: /^(pbc|pb2)\.cluster/ },
  { id: 'fd-half', names: /^fd\/0x(?!0[01][048c]00004)/, half: true },
  { id: 'sub-blocks-half', names: /^sb:/, half: true, data: true },
  { id: 'pointer-blocks-half', names: /^pb:/, half: true },
  { id: 'directories', names: /^dir:\/[^#]/ },
  { id: 'root-directory', names: /^dir:\/(#|$)/ },
];

type Strike = (one: Case) => void;

function damage(id: string, bar: Bar, strike: Strike, versions?: readonly Version[]): Damage {
  const make = async (version: Version, size: Size, dir: string, seed: number): Promise<Case> => {
    const one = await laid(store(version, size), dir, seed);
    strike(one);
    return one;
  };
  return { id, bar, make, ...(versions !== undefined && { versions }) };
}

/** Seeded bytes over each bitmap: what is free and what is taken says nothing any more. */
function scramble(one: Case): void {
  const at = one.made.truth.version === 6 ? 0x1080 : 0x210;
  const roll = dice(one.seed);
  const clusters = structures(one.made, /^(fbb|lfb|sfb|fdc|sbc|pbc|pb2)\.cluster/).filter((s) => s.length > at + 64);
  overlay(
    one,
    clusters.map((s) => ({ member: s.member, at: s.at + at, bytes: Uint8Array.from({ length: 64 }, () => roll(256)) })),
  );
}

/** Three tables and anchors at once, and one machine deleted. */
function mixture(one: Case): void {
  const roll = dice(Math.imul(one.seed, 0x9e3779b1)); // neighbouring seeds begin alike
  const { version } = one.made.truth;
  const folder = one.files[roll(one.files.length)].file.path.split('/')[1];
  overlay(one, new Eraser(one.made).directory(`/${folder}`, 'A').changes());
  wipe(one, ANCHORS[roll(ANCHORS.length - 1)][1]);
  const tables = TABLES.filter((t) => t.versions?.includes(version) !== false && t.half !== true);
  for (let i = 0; i < 2; i++) wipe(one, tables[roll(tables.length)].names);
}

const BAR2: Bar = { bytes: 0.99, names: 0.95 };

export const anchors: Group = {
  id: '1',
  title: 'Lost anchors',
  damages: ANCHORS.map(([id, names]) => damage(id, { bytes: 1, names: 1 }, (one) => wipe(one, names))),
};

export const tables: Group = {
  id: '2',
  title: 'Lost tables',
  damages: [
    ...TABLES.map(({ id, names, half, data, versions }) => {
      const strike: Strike = (one) => {
        one.altered = data === true;
        wipe(one, names, half);
      };
      return damage(id, BAR2, strike, versions);
    }),
    damage('bitmaps', BAR2, scramble),
  ],
};

export const pointers: Group = {
  id: '5',
  title: 'No pointers at all',
  damages: [
    damage('no-pointers', { bytes: 0.9, thin: 0.4 }, (one) => wipe(one, /^(fd\/|pb:|journal)/)),
    damage('no-pointers-no-names', { bytes: 0.9, thin: 0.4 }, (one) => wipe(one, /^(fd\/|pb:|journal|dir:)/)),
  ],
};

export const mixtures: Group = {
  id: '10',
  title: 'Several of these at once (an anchor, two tables, one machine deleted)',
  damages: [1, 2, 3, 4].map((n) => damage(`mixture-${n}`, BAR2, mixture)),
};

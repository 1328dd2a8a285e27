/** Damage to bytes themselves: sectors that cannot be read, and files that were encrypted. */
import { createCipheriv, createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dice } from '../../make/content.ts';
import type { TruthFile, Write } from '../../make/types.ts';
import { type Case, laid, overlay, structures } from '../case.ts';
import type { Damage, Group } from '../cell.ts';
import { type Size, store, type Version } from '../store.ts';

const MIB = 0x100000;
const SECTOR = 512;
const BAR = { bytes: 1, names: 1 };

type Strike = (one: Case) => void;

function damage(id: string, strike: Strike): Damage {
  const make = async (version: Version, size: Size, dir: string, seed: number): Promise<Case> => {
    const one = await laid(store(version, size), dir, seed);
    strike(one);
    return one;
  };
  return { id, bar: BAR, make };
}

interface Place {
  at: number;
  length: number;
}

/** The image of a copying program that could not read these places, with its mapfile beside it. */
function unreadable(one: Case, places: readonly Place[]): void {
  const sorted = places
    .map(({ at, length }) => ({
      at: Math.floor(at / SECTOR) * SECTOR,
      end: Math.ceil((at + length) / SECTOR) * SECTOR,
    }))
    .sort((a, b) => a.at - b.at);
  const bad: { at: number; end: number }[] = [];
  for (const place of sorted) {
    const last = bad.at(-1);
    if (last !== undefined && place.at <= last.end) last.end = Math.max(last.end, place.end);
    else bad.push(place);
  }
  overlay(
    one,
    bad.map(({ at, end }) => ({ member: 0, at, bytes: new Uint8Array(end - at) })),
  );
  const hex = (n: number): string => `0x${n.toString(16).toUpperCase().padStart(8, '0')}`;
  const lines = ['# Mapfile. Created by GNU ddrescue version 1.27', '# current_pos  current_status  current_pass'];
  lines.push('0x00000000     +               1', '#      pos        size  status');
  let done = 0;
  for (const { at, end } of bad) {
    if (at > done) lines.push(`${hex(done)}  ${hex(at - done)}  +`);
    lines.push(`${hex(at)}  ${hex(end - at)}  -`);
    done = end;
  }
  lines.push(`${hex(done)}  ${hex(one.made.members[0].size - done)}  +`);
  writeFileSync(`${one.images[0]}.map`, `${lines.join('\n')}\n`);
}

function inMetadata(one: Case): void {
  one.byEntry = true;
  const list = structures(one.made, /^(fd\/|dir:|pb:|sb:|fdc\.cluster|fbb\.cluster|sfb\.cluster|lvm|fsd)/);
  const roll = dice(one.seed);
  const picked = Array.from({ length: Math.min(40, list.length) }, () => list[roll(list.length)]);
  unreadable(
    one,
    picked.map(({ at, length }) => ({ at: at + roll(Math.max(1, length - SECTOR)), length: SECTOR })),
  );
}

function inData(one: Case): void {
  const roll = dice(one.seed);
  const extents = one.files.flatMap(({ file }) => file.extents.filter((e) => e.kind === 'data' && e.length > MIB));
  const places = Array.from({ length: 60 }, () => {
    const extent = extents[roll(extents.length)];
    return { at: extent.at! + roll(extent.length - 0x10000), length: SECTOR * (1 + roll(128)) };
  });
  unreadable(one, places);
}

/** The bytes of files at [from, end) of each, encrypted where they lie. */
function* encrypted(files: readonly TruthFile[], pick: (at: number) => boolean): Generator<Write> {
  for (const file of files) {
    const key = createHash('sha256').update(file.path).digest().subarray(0, 16);
    const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
    for (const extent of file.extents) {
      if (extent.kind !== 'data') continue;
      for (let done = 0; done < extent.length; ) {
        const offset = extent.offset + done;
        const length = Math.min(extent.length - done, MIB - (offset % MIB));
        if (pick(Math.floor(offset / MIB))) {
          const bytes = cipher.update(file.content!.read(offset, length));
          yield { member: extent.member!, at: extent.at! + done, bytes };
        }
        done += length;
      }
    }
  }
}

const isFlat = (file: TruthFile): boolean => file.path.endsWith('-flat.vmdk');

function encrypt(pick: ((roll: (below: number) => number, mib: number) => boolean) | undefined): Strike {
  return (one) => {
    const files = one.files.map(({ file }) => file);
    const roll = dice(one.seed);
    one.altered = true;
    overlay(
      one,
      encrypted(
        files.filter((file) => !isFlat(file)),
        () => true,
      ),
    );
    if (pick !== undefined)
      overlay(
        one,
        encrypted(files.filter(isFlat), (mib) => pick(roll, mib)),
      );
  };
}

export const unreadableSectors: Group = {
  id: '7',
  title: 'Unreadable sectors (with the mapfile of the copy)',
  damages: [
    damage('in-metadata', inMetadata),
    damage('in-data', inData),
    damage('first-2-mib', (one) => unreadable(one, [{ at: 0, length: 2 * MIB }])),
  ],
};

export const encryption: Group = {
  id: '8',
  title: 'Encrypted files',
  damages: [
    damage('small-files', encrypt(undefined)),
    damage(
      'striped',
      encrypt((_, mib) => mib % 2 === 1),
    ),
    damage(
      'intermittent',
      encrypt((roll, mib) => mib < 4 || roll(10) < 3),
    ),
  ],
};

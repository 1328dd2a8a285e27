/** Mapfiles: one reader and writer of ddrescue's format, and what they make of evidence. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatMapfile, MapfileError, parseMapfile, type Status, StatusMap } from '../../src/codec/mapfile.ts';
import { FileSource } from '../../src/core/evidence.ts';
import { useMapfileBeside } from '../../src/stack/mapfile.ts';
import { brokenInvariants } from '../suites/check-source.ts';

const absent = spawnSync('ddrescuelog', ['-V']).status === 0 ? '' : ' (ddrescuelog is not installed)';
let dir = '';
const at = (name: string): string => path.join(dir, name);
beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-mapfile-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const SIZE = 300;
const statuses = fc.constantFrom<Status>('?', '*', '/', '-', '+');
const changes = fc.array(fc.tuple(fc.nat(SIZE), fc.nat(SIZE), statuses), { maxLength: 40 });

function mapOf(list: readonly (readonly [number, number, Status])[]): { map: StatusMap; model: Status[] } {
  const map = new StatusMap(SIZE);
  const model = Array.from({ length: SIZE }, (): Status => '?');
  for (const [a, b, status] of list) {
    map.set(Math.min(a, b), Math.max(a, b), status);
    model.fill(status, Math.min(a, b), Math.max(a, b));
  }
  return { map, model };
}

function bytewise(map: StatusMap): Status[] {
  return [...map.blocks()].flatMap(({ at: from, end, status }) => Array.from({ length: end - from }, () => status));
}

test('a status map says of every byte what was set last, in as few blocks as there can be', () => {
  fc.assert(
    fc.property(changes, fc.nat(SIZE), statuses, (list, from, status) => {
      const { map, model } = mapOf(list);
      expect(bytewise(map)).toEqual(model);
      expect(map.count).toBe(model.filter((s, i) => s !== model[i - 1]).length);
      expect(map.bytes(status)).toBe(model.filter((s) => s === status).length);
      const next = model.indexOf(status, from);
      expect(map.next(from, status)?.at ?? -1).toBe(next);
      const previous = from === 0 ? -1 : model.lastIndexOf(status, from - 1);
      expect(map.previous(from, status)?.end ?? 0).toBe(previous + 1);
      const back = parseMapfile(formatMapfile(map, ['a comment']));
      expect([...back.blocks()]).toEqual([...map.blocks()]);
    }),
  );
});

if (process.env.CI === 'true' && absent !== '') test('ddrescuelog is here', () => expect(absent).toBe(''));

test.skipIf(absent !== '')(`ddrescuelog counts the same bytes${absent}`, () => {
  fc.assert(
    fc.property(changes, (list) => {
      const { map } = mapOf(list);
      map.activity = '+';
      fs.writeFileSync(at('x.map'), formatMapfile(map, []));
      const done = spawnSync('ddrescuelog', ['-t', at('x.map')], { encoding: 'utf8' });
      expect(done.stderr).toBe('');
      const had = /rescued:\s+(\d+) B/.exec(done.stdout)?.[1];
      expect(Number(had)).toBe(map.bytes('+'));
    }),
    { numRuns: 20 },
  );
});

const HEAD = '# Mapfile. Created by GNU ddrescue version 1.27\n0x00000000  +  1\n';
test.each([
  ['', 'line 1: expected a position, a status and a pass, found ""'],
  ['hello', 'line 1: expected a position, a status and a pass, found "hello"'],
  [`${HEAD}0 10 x`, 'line 3: expected position, size and one of'],
  [`${HEAD}0 10 +\n11 5 -`, 'line 4: expected a block that starts at 10, where the one before ends'],
  [`${HEAD}0 0 +`, 'line 3: expected a block of one byte or more'],
])('%j is no mapfile, and it is said why', (text, message) => {
  expect(() => parseMapfile(text)).toThrow(MapfileError);
  expect(() => parseMapfile(text)).toThrow(message);
});

test('any text is a map or a MapfileError', () => {
  const line = fc.oneof(fc.string(), fc.constantFrom('0 ? 1', '0x0 512 +', '0x200 0x200 -', '512 9999999999999999 ?'));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        const map = parseMapfile(lines.join('\n'), 1000);
        expect(map.size).toBeLessThan(2 ** 53);
      } catch (error) {
        expect(error).toBeInstanceOf(MapfileError);
      }
    }),
  );
});

test('old forms are read: no pass, decimal numbers, a last block without an end', () => {
  const map = parseMapfile(
    '# Rescue Logfile. Created by GNU ddrescue\n512 ?\n0 512 +\n512 0x7FFFFFFFFFFFFDFF ?\n',
    4096,
  );
  expect([...map.blocks()]).toEqual([
    { at: 0, end: 512, status: '+' },
    { at: 512, end: 4096, status: '?' },
  ]);
});

describe('beside an image', () => {
  function imageWith(name: string, size: number, text: string, ending = '.map'): FileSource {
    fs.writeFileSync(at(name), Buffer.alloc(size, 0x77));
    fs.writeFileSync(at(name + ending), text);
    return new FileSource(at(name));
  }

  test('what was not had is missing in runs and a gap in reads, whatever the image holds there', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(SIZE), fc.nat(SIZE), async (list, a, b) => {
        const { map, model } = mapOf(list);
        const source = imageWith('any.img', SIZE + 20, formatMapfile(map, []));
        useMapfileBeside(source);
        expect(await brokenInvariants(source)).toEqual([]);
        const from = Math.min(a, b);
        const into = Buffer.alloc(Math.abs(a - b), 0xee);
        const gaps = await source.read(from, into);
        const named = new Set(gaps.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i)));
        for (let i = 0; i < into.length; i++) {
          expect([into[i], named.has(from + i)]).toEqual(model[from + i] === '+' ? [0x77, false] : [0, true]);
        }
        for (const gap of gaps) expect(gap.code).toBe('unreadable');
        const got = await source.attempt(from, into);
        const first = model.findIndex((s, i) => i >= from && s !== '+');
        expect(got).toBe(Math.min(into.length, (first < 0 ? SIZE : first) - from));
        source.close();
      }),
      { numRuns: 60 },
    );
  });

  test('IMAGE.mapfile is found too, and it is said what was used', () => {
    const source = imageWith(
      'a.img',
      65536,
      `${HEAD}0 4096 +\n4096 8192 -\n12288 4096 +\n16384 512 /\n16896 48640 +\n`,
      '.mapfile',
    );
    expect(useMapfileBeside(source)).toBe(`Used ${at('a.img')}.mapfile: 2 unreadable ranges, 8.5 KiB.`);
    expect(source.mapfile).toBe(`${at('a.img')}.mapfile`);
    source.close();
  });

  test('a link is not followed, a broken map is said, a map of another kind is left alone', () => {
    const broken = imageWith('b.img', 512, `${HEAD}0 512 ?\n100 5 +\n`);
    expect(useMapfileBeside(broken)).toMatch(
      /^Not used: .*b\.img\.map is no mapfile, line 4: .* may stand as zeros in b\.img\.$/,
    );
    const other = imageWith('c.js', 512, '{"version":3}');
    expect(useMapfileBeside(other)).toBeUndefined();
    const linked = imageWith('d.img', 512, '');
    fs.rmSync(at('d.img.map'));
    fs.symlinkSync(at('b.img.map'), at('d.img.map'));
    expect(useMapfileBeside(linked)).toBeUndefined();
    for (const source of [broken, other, linked]) {
      expect([source.mapfile, source.excluded.length]).toEqual([undefined, 0]);
      source.close();
    }
  });
});

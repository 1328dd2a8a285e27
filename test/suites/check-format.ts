/**
 * What every format keeps: it knows its own and no other, opens the same twice, survives being cut off and being
 * mutated field by field, and all Sources it hands out keep the invariants. One call a format makes its tests.
 */
import { expect, test } from 'vitest';
import type { Cx, Format, Reference } from '../../src/core/format.ts';
import { type Node, NotThis } from '../../src/core/node.ts';
import type { Source } from '../../src/core/source.ts';
import type { Struct } from '../../src/core/struct.ts';
import { dice, faulty, truncated } from '../faults/faults.ts';
import { mutation } from '../fuzz/mutate.ts';
import { brokenInvariants } from './check-source.ts';

export interface Fixture {
  readonly name: string;
  readonly source: Source;
  /** Files that the format asks for by name. */
  readonly siblings?: Readonly<Record<string, Source>>;
  /** SHA-256 of the opened node's bytes, from an independent tool or from ground truth. */
  readonly sha256?: string;
  /** Names of the children, where there are some. */
  readonly children?: readonly string[];
}

export interface Suite {
  readonly fixtures: readonly Fixture[];
  /** Bytes that belong to other formats. */
  readonly others: readonly Fixture[];
  // biome-ignore lint/suspicious/noExplicitAny: any table will do
  readonly tables: readonly { readonly at: number; readonly table: Struct<any> }[];
}

const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 300);
const SEED = Number(process.env.SALVOR_FUZZ_SEED ?? 20261122);
const MOST_HASHED = 64 * 1024 * 1024;

export function checkFormat(format: Format, { fixtures, others, tables }: Suite): void {
  test.each(fixtures.map((f) => [f.name, f] as const))(`${format.id} opens %s`, async (_, fixture) => {
    expect(await format.probe(fixture.source, cxOf(fixture))).toBeGreaterThan(0);
    const node = await format.open(fixture.source, cxOf(fixture));
    expect(node.damage).toEqual([]);
    expect(shape(await format.open(fixture.source, cxOf(fixture)))).toEqual(shape(node));
    if (fixture.children !== undefined) expect(await childNames(node)).toEqual(fixture.children);
    const source = await node.bytes?.();
    if (source !== undefined) expect(await brokenInvariants(source)).toEqual([]);
    if (fixture.sha256 !== undefined) expect(await sha256(source!)).toBe(fixture.sha256);
  });

  test(`${format.id} does not claim what belongs to others`, async () => {
    expect(others.length).toBeGreaterThan(0);
    for (const other of others) expect(await format.probe(other.source, cxOf(other)), other.name).toBe(0);
  });

  test(`${format.id} survives being cut off anywhere`, async () => {
    for (const fixture of fixtures) {
      const { size } = fixture.source;
      const points = [
        0,
        1,
        3,
        16,
        100,
        446,
        510,
        511,
        512,
        513,
        1023,
        1024,
        4096,
        0x100000,
        0x100200,
        size / 2,
        size - 1,
      ];
      for (const at of points.map(Math.floor).filter((point) => point >= 0 && point < size)) {
        expect(await outcome(format, { ...fixture, source: truncated(fixture.source, at) }), `cut at ${at}`).toBe(
          'fine',
        );
      }
    }
  });

  test(`${format.id} survives mutations of its fields`, async () => {
    const random = dice(SEED);
    const targets = tables.map(({ at, table }) => ({ member: 0, at, length: table.size, table }));
    for (let round = 0; round < ROUNDS; round++) {
      const fixture = fixtures[random(fixtures.length)];
      const whole = { member: 0, at: 0, length: Math.min(fixture.source.size, 4096) };
      const target = targets.length > 0 ? targets[random(targets.length)] : whole;
      const fault = mutation(target, random);
      const source = faulty(fixture.source, [fault]);
      expect(await outcome(format, { ...fixture, source }), `round ${round} at ${fault.at}`).toBe('fine');
    }
  });
}

function cxOf(fixture: Fixture): Cx {
  return {
    source: fixture.name,
    self: `${fixture.name}::x`,
    signal: new AbortController().signal,
    damage: (at, code, expected, actual, effect) => ({ code, at: `${fixture.name}@${at}`, expected, actual, effect }),
    siblings: async ({ name }: Reference) => {
      const source = name === undefined ? undefined : fixture.siblings?.[name];
      return source === undefined ? [] : [{ source, locator: name! }];
    },
  };
}

/** 'fine' where the format opens it or refuses it; anything else is what went wrong. */
async function outcome(format: Format, fixture: Fixture): Promise<string> {
  try {
    await format.probe(fixture.source, cxOf(fixture));
    await format.identity?.(fixture.source);
    const node = await format.open(fixture.source, cxOf(fixture));
    await childNames(node);
    const source = await node.bytes?.();
    if (source !== undefined) await source.read(0, new Uint8Array(Math.min(source.size, 65536)));
    const positions = node.damage.every((d) => /@\d+$/.test(d.at));
    return positions ? 'fine' : `a damage without a position: ${JSON.stringify(node.damage)}`;
  } catch (error) {
    return error instanceof NotThis ? 'fine' : `threw ${error instanceof Error ? error.stack : String(error)}`;
  }
}

async function childNames(node: Node): Promise<string[]> {
  const out: string[] = [];
  for await (const child of node.children?.() ?? []) {
    if (out.push(child.name) > 10_000) break;
  }
  return out;
}

function shape(node: Node): unknown {
  return JSON.parse(JSON.stringify(node));
}

async function sha256(source: Source): Promise<string> {
  const { createHash } = await import('node:crypto');
  expect(source.size).toBeLessThanOrEqual(MOST_HASHED);
  const bytes = new Uint8Array(source.size);
  expect(await source.read(0, bytes)).toEqual([]);
  return createHash('sha256').update(bytes).digest('hex');
}

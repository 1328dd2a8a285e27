/** Search among very many things: the right ones, in a moment, and all of them page by page. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Case } from '../../src/case/case.ts';
import type { NodeRow, SearchOptions } from '../../src/case/nodes.ts';
import { SCAN } from '../../src/jobs/scan.ts';
import { build } from '../cli/salvor.ts';
import { writeImages } from '../make/images.ts';
import { fillCase, manyRows } from '../make/many-nodes.ts';
import { many6 } from '../make/stores.ts';
import { isThere, launch, step, watched } from './browser.ts';
import { Served } from './client.ts';
import { paintOf, residentOf, scrollOf, searchOf } from './measures.ts';

const COUNT = 100_000;
/** The bars of the benchmark are 200 and 1000 milliseconds; here other work shares the machine. */
const ANSWER = 600;
const PAINT = 3000;
/** The bar of the benchmark is 50; here two test files share the machine. */
const LONGEST = 300;
const served = new Served();
let rows: NodeRow[];
let image: string;
let kept: Case;

beforeAll(async () => {
  mkdirSync(join(served.dir, 'store'));
  [image] = await writeImages(many6(), join(served.dir, 'store'));
  rows = [...manyRows(COUNT, image)];
  const dir = join(served.dir, 'case');
  kept = Case.begin(dir, 'salvor test', SCAN);
  fillCase(kept.nodes, image, rows);
  build();
  await served.begin([image]);
});

afterAll(async () => {
  kept.close();
  await served.end();
});

type Asked = Omit<SearchOptions, 'limit'>;

/** What passes, by looking at each thing. */
function passes(asked: Asked): (row: NodeRow) => boolean {
  const has = (text: string, part: string): boolean => text.toLowerCase().includes(part.toLowerCase());
  const within = (value: number | null, least: number | undefined, most: number | undefined): boolean =>
    (least === undefined && most === undefined) ||
    (value !== null && value >= (least ?? 0) && value <= (most ?? Number.MAX_SAFE_INTEGER));
  const { text } = asked;
  return (row) =>
    (text.includes('/') ? has(row.locator, text) && has(row.name, text.split('/').at(-1)!) : has(row.name, text)) &&
    [undefined, row.kind].includes(asked.kind) &&
    [undefined, row.state].includes(asked.state) &&
    [undefined, row.certainty].includes(asked.certainty) &&
    (asked.damaged !== true || row.damage > 0) &&
    within(row.size, asked.larger, asked.smaller) &&
    within(row.modified, asked.newer, asked.older);
}

const ASKED: Asked[] = [
  { text: '' },
  { text: 'report' },
  { text: 'REPORT' },
  { text: 'report-photo' },
  { text: 'po' },
  { text: '99999' },
  { text: 'nothing of that name' },
  { text: '100%' },
  { text: 'a_b' },
  { text: '"quoted" AND' },
  { text: 'büro' },
  { text: 'user3/Documents/' },
  { text: 'dir17/report' },
  { text: '/' },
  { text: '', kind: 'directory' },
  { text: '', state: 'deleted' },
  { text: 'report', state: 'live', kind: 'file' },
  { text: '', certainty: 'missing' },
  { text: '', certainty: 'stated', larger: 999_000 },
  { text: 'log', certainty: 'inferred' },
  { text: '', damaged: true },
  { text: 'invoice', damaged: true, state: 'live' },
  { text: '', larger: 500_000, smaller: 500_100 },
  { text: 'txt', smaller: 1000 },
  { text: '', newer: 1_600_000_500, older: 1_600_000_600 },
  { text: '', older: 1_599_999_999 },
];

test.each(ASKED)('finds what looking at each thing finds: %j', (asked) => {
  const wanted = rows.filter(passes(asked)).map(({ locator }) => locator);
  const found: string[] = [];
  let after: number | undefined;
  for (let pages = 0; pages < 2000; pages++) {
    const began = performance.now();
    const page = kept.nodes.search({ ...asked, limit: 500, after });
    expect(performance.now() - began).toBeLessThan(ANSWER);
    if (after === undefined && page.isCounted === true) expect(page.count).toBe(wanted.length);
    if (after === undefined) expect(page.count).toBeLessThanOrEqual(wanted.length);
    found.push(...page.rows.map(({ locator }) => locator));
    after = page.next;
    if (after === undefined) break;
  }
  expect(found).toEqual(wanted);
});

test.each(ASKED)('an answer without time is gone on with, and nothing is left out: %j', (asked) => {
  const wanted = rows.filter(passes(asked)).length;
  let [found, after, pages] = [0, undefined as number | undefined, 0];
  do {
    const page = kept.nodes.search({ ...asked, limit: 5000, after, budget: 0 });
    found += page.rows.length;
    after = page.next;
  } while (after !== undefined && pages++ < 1000);
  expect(found).toBe(wanted);
});

describe.skipIf(!isThere)('in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());

  test('is there at once, answers at once, and scrolls without a stutter', async () => {
    const { page, faults } = await watched(browser, served.serving.address);
    await page.getByRole('heading', { name: 'Diagnosis' }).waitFor();
    expect(await paintOf(page)).toBeLessThan(PAINT);
    await step(page, 'Browse');
    await page
      .getByRole('treeitem', { name: /^many\/\s*,/ })
      .locator('.twist')
      .click();
    const scrolled = await scrollOf(page, 150);
    expect(scrolled.rows).toBeGreaterThan(1000);
    expect(scrolled.longest).toBeLessThan(LONGEST);
    await page.getByText('Search', { exact: true }).click();
    for (const text of ['report-photo', '99999', 'user3/report'])
      expect(await searchOf(page, text)).toBeLessThan(PAINT);
    expect(residentOf(served.serving.workspace.childPid!)).toBeLessThan(500);
    expect(faults).toEqual([]);
    await page.close();
  });
});

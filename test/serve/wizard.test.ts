/** The wizard in a browser, from damaged evidence to a recovered file whose hash is right. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build } from '../cli/salvor.ts';
import { makeSample, type Sample } from '../make/sample.ts';
import { isThere, launch, serious, step, type Watched, watched } from './browser.ts';
import { Served } from './client.ts';
import { writeHostile, writeKinds } from './files.ts';

describe.skipIf(!isThere)('the web interface in Chromium', () => {
  const served = new Served();
  let browser: Browser;
  let sample: Sample;
  let kinds: Readonly<Record<string, string>>;
  let hostile: string[];
  const folder = (name: string): string => join(served.dir, name);

  beforeAll(async () => {
    build();
    sample = await makeSample(folder('sample'));
    kinds = writeKinds(folder('kinds'));
    hostile = writeHostile(folder('hostile'));
    await served.begin([]);
    browser = await launch();
  });

  afterAll(async () => {
    await browser?.close();
    await served.end();
  });

  async function look({ page }: Watched, name: string): Promise<void> {
    await page
      .getByRole('treeitem', { name: new RegExp(`^${name.replaceAll('.', '\\.')}/?\\s*,`) })
      .locator('.name')
      .click();
  }

  async function opened(sources: readonly string[]): Promise<Watched> {
    await served.serving.workspace.open(sources, folder(`case-${sources[0].split('/').at(-1)}`));
    const one = await watched(browser, served.serving.address);
    await one.page.getByRole('heading', { name: 'Diagnosis' }).waitFor();
    return one;
  }

  test('the whole way: choose, diagnose, scan, browse, recover, report', async () => {
    const { page, faults } = await watched(browser, served.serving.address);
    expect(await serious(page)).toEqual([]);
    await page.getByLabel('Folder', { exact: true }).fill(folder('sample'));
    await page.getByRole('button', { name: 'Go', exact: true }).click();
    await page.getByLabel('Use datastore.img').check();
    await page.getByLabel('Case folder').fill(folder('case'));
    await page.getByRole('button', { name: 'Open and diagnose' }).click();
    await page.getByRole('heading', { name: 'Diagnosis' }).waitFor();
    await page.getByText(/the backup at .* is used in its place/).waitFor();
    expect(await serious(page)).toEqual([]);
    await step(page, 'Scan');
    await page.getByRole('button', { name: 'Start the scan' }).click();
    await page.getByText('All of it is scanned.').waitFor();
    await page.getByRole('cell', { name: 'vmx.text' }).waitFor();
    expect(await serious(page)).toEqual([]);
    await step(page, 'Browse');
    await look({ page, faults }, 'db01');
    await page.getByRole('tree').press('ArrowRight');
    await look({ page, faults }, 'db01-flat.vmdk');
    await page.getByText(/1 MiB missing \(vmfs\.pointer-range\)/).waitFor();
    expect(await serious(page)).toEqual([]);
    await look({ page, faults }, 'db01');
    await page.getByRole('tree').press(' ');
    await page.getByRole('button', { name: 'Recover what is chosen' }).click();
    const out = folder('rescue');
    await page.getByLabel('Folder to write to').fill(out);
    await page.getByRole('button', { name: 'How large is it?' }).click();
    await page.getByText('known to be missing').waitFor();
    await page.getByRole('button', { name: 'Recover', exact: true }).last().click();
    await page.locator('[data-job=recover][data-state=done]').waitFor();
    await page.getByText('db01/db01-flat.vmdk: 1 MiB missing').waitFor();
    expect(await serious(page)).toEqual([]);
    await step(page, 'Report');
    await page.getByText(/is as it was written/).waitFor();
    expect(await serious(page)).toEqual([]);
    for (const file of sample.truth.files.filter(({ path, kind }) => path.startsWith('/db01/') && kind === 'file')) {
      const bytes = readFileSync(join(out, file.path));
      expect(createHash('sha256').update(bytes).digest('hex'), file.path).toBe(file.sha256);
    }
    const report = (await served.ask('/api/report')).body.toString();
    expect(report).toContain('db01-flat.vmdk');
    expect(report).toContain('--choose');
    expect(faults).toEqual([]);
    await page.close();
  });

  test('every kind has its preview, and every tab is fit for everybody', async () => {
    const one = await opened([folder('kinds')]);
    await step(one.page, 'Browse');
    for (const [name, kind] of Object.entries(kinds)) {
      await look(one, name);
      await one.page.locator(`[data-preview=${kind}]`).waitFor();
      expect(await serious(one.page), name).toEqual([]);
    }
    const shows = async (name: string, text: string): Promise<void> => {
      await look(one, name);
      await one.page.locator('[data-preview]').getByText(text).first().waitFor();
    };
    await shows('plain.txt', 'Schlüssel liegt beim Empfang.');
    await shows('wide.txt', 'wide text');
    await shows('latin.log', 'café closed');
    await shows('pack.zip', 'a/one.txt');
    await shows('letter.docx', 'Dear R&D');
    await shows('data.sqlite', 'Grace Hopper');
    await shows('table.xlsx', 'Rent & power');
    await shows('talk.pptx', 'Slide one');
    await shows('note.odt', 'Open text');
    await shows('bare.txt', 'no mark in front of it');
    await look(one, 'cyrillic.txt');
    await one.page.getByLabel('Encoding').selectOption('windows-1251');
    await one.page.getByText('привет, мир').waitFor();
    await shows('letter.eml', 'Die Schlüssel liegen beim Empfang.');
    await shows('letter.eml', 'Grüße und mehr');
    await shows('letter.eml', 'Mietvertrag ü.pdf');
    await shows('box.mbox', 'Message 1 of 2');
    await one.page.getByRole('button', { name: 'Later' }).click();
    await one.page.getByText('Only words & lines').waitFor();
    await look(one, 'SOFTWARE');
    for (const key of ['Microsoft', 'Windows NT', 'CurrentVersion'])
      await one.page.getByRole('button', { name: key }).click();
    await one.page.getByRole('cell', { name: 'Windows Server 2022' }).waitFor();
    await one.page.getByRole('cell', { name: '01 02 fe' }).waitFor();
    expect(await serious(one.page)).toEqual([]);
    await look(one, 'paper.pdf');
    await one.page.locator('[data-drawn=true]').waitFor();
    await look(one, 'red.png');
    const width = await one.page
      .locator('img')
      .evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
    expect(width).toBe(1);
    await one.page.getByRole('tab', { name: 'Bytes' }).click();
    await one.page.locator('.hex .byte').nth(3).click();
    await one.page.getByText('The way of byte 3').waitFor();
    expect(await serious(one.page)).toEqual([]);
    expect(one.faults).toEqual([]);
    await one.page.close();
  });

  test('thirteen hostile files run no script and send no request', async () => {
    expect(hostile).toHaveLength(13);
    const previewOf = (name: string): string =>
      name.endsWith('.pdf') ? '[data-drawn=true]' : `[data-preview=${name.endsWith('.eml') ? 'mail' : 'text'}]`;
    const one = await opened([folder('hostile')]);
    await step(one.page, 'Browse');
    for (const name of hostile) {
      await look(one, name);
      await one.page.locator(previewOf(name)).waitFor();
    }
    await one.page.waitForTimeout(500);
    expect(await one.page.evaluate('window.__ran')).toBeUndefined();
    expect(one.faults).toEqual([]);
    await one.page.close();
  });

  test('the tree is used with the keyboard alone', async () => {
    const one = await opened([folder('sample/datastore.img')]);
    await step(one.page, 'Browse');
    await one.page.getByRole('treeitem', { name: /^web01\/\s*,/ }).waitFor();
    const tree = one.page.getByRole('tree');
    await tree.focus();
    for (let i = 0; i < 40; i++) {
      await tree.press('ArrowDown');
      const now = await tree.getAttribute('aria-activedescendant');
      if ((await one.page.locator(`[id="${now}"]`).textContent())?.includes('web01/') === true) break;
    }
    await tree.press(' ');
    await one.page.getByText('1 chosen.').waitFor();
    await tree.press('ArrowRight');
    await one.page.getByRole('treeitem', { name: /^web01\.vmx\s*,/ }).waitFor();
    await one.page.close();
  });

  test.each(['light', 'dark'] as const)('a phone shows all of it without scrolling sideways, %s', async (scheme) => {
    const one = await watched(browser, served.serving.address, { width: 390, scheme });
    for (const name of ['Evidence', 'Diagnosis', 'Scan', 'Browse', 'Recover', 'Report']) {
      await step(one.page, name);
      await one.page.waitForTimeout(400);
      const [inner, all] = (await one.page.evaluate(
        '[window.innerWidth, document.documentElement.scrollWidth]',
      )) as number[];
      expect(all, name).toBeLessThanOrEqual(inner);
      expect(await serious(one.page), name).toEqual([]);
    }
    expect(one.faults).toEqual([]);
    await one.page.close();
  });
});

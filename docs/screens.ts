/** Takes a picture of every screen of the web interface into docs/screens: `node docs/screens.ts`, on a built dist/. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { makeSample } from '../test/make/sample.ts';

const ROOT = path.join(import.meta.dirname, '..');
const OUT = path.join(ROOT, 'docs', 'screens');
const WIDE = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };
const BROWSER = '/usr/bin/chromium';

/** Starts `salvor serve` in a folder and answers the address that it prints. */
async function served(dir: string, source: string): Promise<{ address: string; child: ChildProcess }> {
  const launcher = path.join(ROOT, 'bin', 'salvor.js');
  const child = spawn(process.execPath, [launcher, 'serve', source, '--json'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text = await new Promise<string>((resolve) =>
    child.stdout!.once('data', (data: Buffer) => resolve(data.toString())),
  );
  return { address: (JSON.parse(text) as { address: string }).address, child };
}

async function go(page: Page, step: string): Promise<void> {
  await page.getByRole('navigation').getByRole('button', { name: step }).click();
  await page.getByRole('heading', { level: 2 }).waitFor();
  await page.waitForTimeout(600);
}

async function tour(page: Page, shot: (name: string) => Promise<void>): Promise<void> {
  await page.getByRole('heading', { name: 'Diagnosis' }).waitFor();
  await page.getByRole('img').first().waitFor();
  await page.waitForTimeout(500);
  await shot('2-diagnosis');
  await go(page, 'Evidence');
  await page.getByLabel('Use sample').waitFor();
  await shot('1-evidence');
  await go(page, 'Scan');
  await shot('3-scan');
  await go(page, 'Browse');
  await page
    .getByRole('treeitem', { name: /^db01\/\s*,/ })
    .locator('.twist')
    .click();
  await page
    .getByRole('treeitem', { name: /^db01\.vmx/ })
    .locator('.name')
    .click();
  await page.locator('[data-preview=text]').waitFor();
  await page.locator('[data-choose$="/db01"]').click();
  await page.waitForTimeout(300);
  await shot('4-browse');
  await page
    .getByRole('treeitem', { name: /^db01-flat\.vmdk/ })
    .locator('.name')
    .click();
  await page.getByRole('tab', { name: 'Picture' }).click();
  await page.getByRole('img').first().waitFor();
  await page.waitForTimeout(500);
  await shot('4-picture');
  await page.getByRole('tab', { name: 'Bytes' }).click();
  await page.locator('.hex .byte').nth(36).click();
  await page.getByText('sample/datastore.img@').last().waitFor();
  await shot('4-bytes');
  await page
    .getByRole('treeitem', { name: /^datastore\.img/ })
    .locator('.name')
    .click();
  await page.getByRole('heading', { name: 'datastore.img' }).waitFor();
  await page.getByRole('tab', { name: 'Bytes' }).click();
  await page.getByLabel('Byte', { exact: true }).fill('0x1c2');
  await page.getByRole('button', { name: 'Go', exact: true }).click();
  await page.locator('[data-field=type]').waitFor();
  await page.locator('[data-field=type]').scrollIntoViewIfNeeded();
  await page.waitForTimeout(300);
  await shot('4-named');
  await page.getByText('Search', { exact: true }).scrollIntoViewIfNeeded();
  await page.getByText('Search', { exact: true }).click();
  const list = page.getByRole('button', { name: 'List everything' });
  if (await list.isVisible().catch(() => false)) await list.click();
  await page.getByLabel('Part of a name').fill('.vm');
  await page
    .locator('[data-found=".vm"]')
    .getByText(/^[1-9]\d* found/)
    .waitFor();
  await shot('4-search');
  await page.getByText('Machines', { exact: true }).click();
  await page.getByRole('heading', { name: 'web01' }).waitFor();
  await shot('4-machines');
  await page.getByRole('button', { name: 'Rebuild, serve or start it' }).first().click();
  await page.getByRole('button', { name: 'Serve all files (WebDAV)' }).click();
  await page.getByText('Password (any name)').waitFor();
  await page.getByRole('button', { name: 'Start it now' }).click();
  await page.getByRole('img', { name: 'The screen of the machine that runs' }).waitFor({ timeout: 60_000 });
  await page.getByRole('heading', { name: 'Use it where it lies' }).scrollIntoViewIfNeeded();
  await page.waitForTimeout(5000);
  await shot('4-machine');
  await page.getByRole('heading', { name: 'On another platform' }).scrollIntoViewIfNeeded();
  await page.mouse.wheel(0, 500);
  await page.waitForTimeout(300);
  await shot('4-plan');
  for (const kind of ['boot', 'dav']) {
    await page.locator(`[data-job=${kind}]`).getByRole('button', { name: 'Stop' }).click();
    await page.locator(`[data-job=${kind}][data-state=done]`).waitFor();
  }
  await page.getByText('Chains', { exact: true }).click();
  await page.getByText('whole and sure').first().waitFor();
  await shot('4-chains');
  await go(page, 'Recover');
  await page.getByLabel('Folder to write to').fill(path.join(tmpdir(), 'rescue'));
  await page.getByRole('button', { name: 'How large is it?' }).click();
  await page.getByText('on disk', { exact: true }).waitFor();
  await shot('5-recover');
  await go(page, 'Report');
  await shot('6-report');
}

const dir = fs.mkdtempSync(path.join(tmpdir(), 'salvor-screens-'));
await makeSample(path.join(dir, 'sample'));
fs.mkdirSync(OUT, { recursive: true });
const browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
try {
  for (const [name, viewport, colorScheme] of [
    ['light', WIDE, 'light'],
    ['dark', WIDE, 'dark'],
    ['phone', PHONE, 'light'],
  ] as const) {
    const { address, child } = await served(dir, 'sample/datastore.img');
    const page = await browser.newPage({ viewport, colorScheme });
    page.setDefaultTimeout(15_000);
    try {
      await page.goto(address);
      await tour(page, async (screen) => {
        await page.screenshot({ path: path.join(OUT, `${screen}-${name}.png`), fullPage: false });
      });
      await page.close();
    } finally {
      child.kill('SIGTERM');
    }
  }
} finally {
  await browser.close();
  fs.rmSync(dir, { recursive: true, force: true });
}

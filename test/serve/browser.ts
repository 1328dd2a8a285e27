/** A browser for tests, and what it is watched for. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';

const PATH = '/usr/bin/chromium';
export const isThere: boolean = existsSync(PATH);
const axe: string = isThere ? readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8') : '';

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: PATH, args: ['--no-sandbox'] });
}

/** A page with what went wrong on it. */
export interface Watched {
  readonly page: Page;
  /** Requests to anywhere else, dialogs, errors, violations of the policy. */
  readonly faults: string[];
}

export interface Looks {
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
}

export async function watched(browser: Browser, address: string, looks: Looks = {}): Promise<Watched> {
  const { width = 1280, scheme = 'light' } = looks;
  const page = await browser.newPage({ viewport: { width, height: 860 }, colorScheme: scheme });
  page.setDefaultTimeout(20_000);
  const faults: string[] = [];
  const own = new URL(address).origin;
  page.on('request', (request) => {
    if (!request.url().startsWith(own) && !/^(data|blob):/.test(request.url()))
      faults.push(`asked for ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    faults.push(`dialog ${dialog.message()}`);
    dialog.dismiss().catch(() => undefined);
  });
  page.on('pageerror', (error) => faults.push(`error ${error.message}`));
  page.on('popup', (popup) => faults.push(`window ${popup.url()}`));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) faults.push(`policy ${message.text()}`);
  });
  await page.goto(address);
  return { page, faults };
}

/** Opens a step of the wizard. */
export async function step(page: Page, name: string): Promise<void> {
  await page.getByRole('navigation').getByRole('button', { name }).click();
  await page
    .getByRole('heading', { level: 2, name: name === 'Evidence' ? 'What shall be looked at?' : name })
    .waitFor();
}

/** What axe finds on a page that is serious or worse. */
export async function serious(page: Page): Promise<string[]> {
  await page.waitForTimeout(600);
  const found: { id: string; impact: string; nodes: { html: string }[] }[] = await page.evaluate(`(() => {
    const own = document.createElement;
    ${axe.replaceAll('</script', '<\\/script')};
    return axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations.map(
      ({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html }) => ({ html })) })));
  })()`);
  const worst = found.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  return worst.map(
    ({ id, nodes }) =>
      `${id}: ${nodes
        .slice(0, 3)
        .map(({ html }) => html.slice(0, 160))
        .join(' | ')}`,
  );
}

/** What a person would feel: how soon a page is there, answers, and moves. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';

/** Milliseconds from the start of the page to its first paint with something on it. */
export async function paintOf(page: Page): Promise<number> {
  return (await page.evaluate(
    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity",
  )) as number;
}

export interface Scrolled {
  /** Rows that the tree had in the end. */
  readonly rows: number;
  /** Milliseconds of the longest task; 0 where none took 50. */
  readonly longest: number;
}

/** Scrolls the tree by so many screens, as fast as frames come, and watches for tasks that hold the page up. */
export async function scrollOf(page: Page, screens: number): Promise<Scrolled> {
  return (await page.evaluate(`(async () => {
    const box = document.querySelector('[role=tree]');
    const tasks = [];
    const watch = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)));
    watch.observe({ type: 'longtask' });
    for (let i = 0; i < ${screens}; i++) {
      box.scrollTop += box.clientHeight;
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 15)));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    watch.disconnect();
    return { rows: Math.round(box.scrollHeight / 30), longest: Math.max(0, ...tasks) };
  })()`)) as Scrolled;
}

/** Types something into the search; milliseconds from the last key until what was found is there. */
export async function searchOf(page: Page, text: string): Promise<number> {
  const field = page.getByLabel('Part of a name');
  await field.fill(text);
  const began = performance.now();
  await page.locator(`[data-found=${JSON.stringify(text)}]`).waitFor();
  return performance.now() - began;
}

/** MB of memory that a process has resident. */
export function residentOf(pid: number | 'self'): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return (Number(match?.[1]) * 1024) / 1e6;
}

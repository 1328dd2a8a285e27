/** What commands do with cases. Loaded only where there is one: opening a database takes longer than most listings. */
import { createRequire } from 'node:module';
import { Case } from '../case/case.ts';
import { beginCaseAt } from '../export/index.ts';
import { SCAN } from '../jobs/scan.ts';
import type { Stack } from '../stack/stack.ts';

/** The program's name and version, for the log. */
export function programName(): string {
  return `salvor ${createRequire(import.meta.url)('../../package.json').version as string}`;
}

/** Opens a case that is there. */
export function openCase(dir: string): Case {
  return Case.at(dir, programName(), SCAN)!;
}

/** Opens the case, or begins it where it may be; never on the evidence. */
export function beginCase(dir: string, stack: Stack): Case {
  return beginCaseAt(dir, stack, programName(), SCAN);
}

/** Locators of the files of a stack that have no finished scan in a case. */
export async function unscanned(kept: Case, stack: Stack): Promise<string[]> {
  return (await stack.files()).filter(({ source }) => !kept.whole(source)).map(({ locator }) => locator);
}

/** What commands do with cases. Loaded only where there is one: opening a database takes longer than most listings. */
import { createRequire } from 'node:module';
import { Case } from '../case/case.ts';
import { checkPlace, realOut } from '../export/index.ts';
import { SCAN, SCAN_VERSION } from '../jobs/scan.ts';
import type { Stack } from '../stack/stack.ts';

/** The program's name and version, for the log. */
export function programName(): string {
  return `salvor ${createRequire(import.meta.url)('../../package.json').version as string}`;
}

/** Opens a case that is there. */
export function openCase(dir: string): Case {
  return Case.at(dir, programName())!;
}

/** Opens the case, or begins it where it may be; never on the evidence. */
export function beginCase(dir: string, stack: Stack): Case {
  const place = realOut(dir);
  const evidence = stack.evidence.opened.map((file) => file.identity);
  checkPlace(
    place.dir,
    place.ancestor,
    stack.evidence.directories,
    evidence,
    undefined,
    'Give a directory on another disk with --case.',
  );
  return Case.begin(dir, programName());
}

/** Lets `kept` answer for every file whose finished scan it holds; answers the locators of those it has none of. */
export async function useScans(kept: Case, stack: Stack): Promise<string[]> {
  const missing: string[] = [];
  for (const { locator, source } of await stack.files()) {
    if (!kept.use(locator, source, SCAN, SCAN_VERSION)) missing.push(locator);
  }
  return missing;
}

/** Where a case is by default. */
import * as path from 'node:path';

/** Where the case of these sources is, unless it is named: NAME.salvor in the working directory. */
export function caseDir(named: string | undefined, sources: readonly string[]): string {
  return path.resolve(named ?? `${path.basename(path.resolve(sources[0]))}.salvor`);
}

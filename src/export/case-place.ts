/** Where a case may be begun: never on the evidence, and never inside it. */
import { Case, type Scan } from '../case/case.ts';
import type { Evidence } from '../stack/evidence.ts';
import { checkPlace, realOut } from './place.ts';

/** Opens the case, or begins it where it may be. Throws ExportError and CaseError. */
export function beginCaseAt(dir: string, stack: { readonly evidence: Evidence }, program: string, scan: Scan): Case {
  const place = realOut(dir);
  const evidence = stack.evidence.opened.map((file) => file.identity);
  const next = 'Give a directory on another disk with --case.';
  checkPlace(place.dir, place.ancestor, stack.evidence.directories, evidence, undefined, next);
  return Case.begin(dir, program, scan);
}

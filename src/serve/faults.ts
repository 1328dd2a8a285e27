/** Faults as they are told: which are sentences for a person, and which are faults of the program. */
import { CaseError } from '../case/error.ts';
import { EvidenceError } from '../core/evidence.ts';
import { ExportError } from '../export/error.ts';
import { LocatorError } from '../stack/locate.ts';
import { ServeError } from './error.ts';
import type { Fault } from './messages.ts';

/** What was thrown, as it goes from one process to another. */
export function faultOf(error: unknown): Fault {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ExportError) return { message, code: error.code, known: true };
  if (error instanceof LocatorError) return { message, code: 'not-found', known: true };
  if (error instanceof EvidenceError) return { message, code: 'evidence', known: true };
  if (error instanceof ServeError) return { message, code: 'serve', known: true };
  if (error instanceof CaseError) return { message, code: 'case', known: true };
  return { message, code: 'fault', known: false };
}

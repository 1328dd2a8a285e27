/** The only room that writes recovered bytes. */
export { beginCaseAt } from './case-place.ts';
export { type Content, type ContentOptions, contentHash } from './content-hash.ts';
export { type Converted, type ConvertOptions, convert } from './convert.ts';
export { type ExportCode, ExportError } from './error.ts';
export { type ImageOptions, type ImageProgress, type ImageReport, image } from './image.ts';
export type { Fill } from './jobs.ts';
export { type RecoveredMachine, recoverMachine } from './machine.ts';
export { type MachinePlan, planMachine } from './machine-plan.ts';
export type {
  CertaintyBytes,
  EncryptedEntry,
  EvidenceEntry,
  FileEntry,
  LeftOut,
  MachineEntry,
  Manifest,
  RegeneratedEntry,
} from './manifest.ts';
export { readManifest } from './manifest.ts';
export type { Availability, Estimate, Progress, RecoverOptions } from './options.ts';
export { checkPlace, realOut } from './place.ts';
export { recover } from './recover.ts';
export { type Report, type ReportEvidence, reportHtml } from './report.ts';
export { Threads } from './threads.ts';
export { availabilityLine, doubtOf, isDoubtful, recoveryLines } from './told.ts';
export { decisionLine, machineLines, stepLines } from './told-machine.ts';
export { type Difference, type VerifyOptions, type VerifyResult, verify } from './verify.ts';

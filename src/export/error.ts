/** What stops a recovery: faults of the command or of the place it writes to. Damage of evidence never does. */

export type ExportCode =
  /** Nothing in the sources that could be copied. */
  | 'nothing'
  /** The directory holds another run. */
  | 'journal'
  /** Names are taken by files that no run of this program made. */
  | 'exists'
  | 'space'
  /** The directory cannot be the target. */
  | 'out'
  | 'write'
  | 'busy'
  /** A finished run is no longer as it was left. */
  | 'changed'
  | 'manifest'
  | 'interrupted';

/** The message is a full sentence that says what to do next. */
export class ExportError extends Error {
  readonly code: ExportCode;

  constructor(code: ExportCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The system's word for what went wrong, in words. */
export function reason(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ENOSPC') return 'the disk is full';
  if (code === 'EDQUOT') return 'the quota is used up';
  if (code === 'EFBIG') return 'the file is larger than its file system allows';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'EROFS') return 'the file system is read-only';
  if (code === 'EEXIST') return 'something of that name appeared there meanwhile';
  if (code === 'EIO') return 'the device answered with an error';
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'ELOOP') return 'it is a symbolic link';
  return error instanceof Error ? error.message : String(error);
}

/** A write that failed, with the way on. What is no answer of the system stays as it is. */
export function writeError(path: string, error: unknown): unknown {
  if (error instanceof ExportError || typeof (error as { code?: unknown }).code !== 'string') return error;
  const next = 'What is done so far stays; make room or mend the cause, and run the same command again to go on.';
  return new ExportError('write', `${path} could not be written: ${reason(error)}. ${next}`, { cause: error });
}

export function interrupted(): ExportError {
  return new ExportError('interrupted', 'Interrupted. What is done so far stays; the same command goes on from there.');
}

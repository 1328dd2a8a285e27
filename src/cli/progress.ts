/** Progress of long work: one line that rewrites itself on a terminal, NDJSON with --json, plain lines elsewhere. */
import type { Progress } from '../export/index.ts';
import { size } from './output.ts';

/** Lines into a file or a pipe come this often, in milliseconds. */
const PLAIN_EVERY = 10_000;
/** Nothing is shown of work that is over before this. */
const QUIET = 800;

export interface Line<P = Progress> {
  show(progress: P): void;
  /** Clears the line. */
  end(): void;
}

/** What shows the progress of a recovery on standard error. */
export function progressLine(json: boolean): Line {
  return lineOf(json, text);
}

/** What shows progress on standard error, as `text` puts it into words. */
export function lineOf<P>(json: boolean, text: (progress: P) => string): Line<P> {
  const terminal = process.stderr.isTTY === true;
  const started = Date.now();
  let last = started;
  return {
    show(progress) {
      const now = Date.now();
      if (json) process.stderr.write(`${JSON.stringify({ progress })}\n`);
      else if (terminal && now - started > QUIET)
        process.stderr.write(`\r\x1b[K${text(progress).slice(0, (process.stderr.columns ?? 160) - 1)}`);
      else if (!terminal && now - last > PLAIN_EVERY) {
        last = now;
        process.stderr.write(`${text(progress)}\n`);
      }
    },
    end() {
      if (terminal && !json) process.stderr.write('\r\x1b[K');
    },
  };
}

function text(p: Progress): string {
  if (p.phase === 'plan') return `Looking at what there is: ${p.filesDone} files so far`;
  const percent = p.totalBytes === 0 ? 100 : Math.floor((p.doneBytes / p.totalBytes) * 100);
  const left = p.bytesPerSecond > 0 ? ` ${duration((p.totalBytes - p.doneBytes) / p.bytesPerSecond)} left,` : '';
  const lost = p.lostBytes > 0 ? `${size(p.lostBytes)} lost` : 'nothing lost';
  const amount = `${size(p.doneBytes)} of ${size(p.totalBytes)} (${percent} %)`;
  const verb = { copy: 'Copying', check: 'Checking', finish: 'Finishing' }[p.phase];
  return `${verb} ${amount}, ${size(p.bytesPerSecond)}/s,${left} ${lost}, file ${p.filesDone} of ${p.filesTotal}: ${p.file}`;
}

/** Seconds as people say them: 1 h 05 min. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** How far a job is, and a way to stop it where it can be gone on with. */
import { Alert, Button, Progress } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { post } from '../lib/api.ts';
import type { Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';

const STATES: Readonly<Record<Job['state'], string>> = {
  running: 'running',
  stopping: 'stopping',
  stopped: 'stopped; it can be gone on with',
  done: 'done',
  failed: 'failed',
};

export function JobProgress({ job }: { job: Job }): ReactNode {
  const stopping = useMutation({ mutationFn: () => post('/api/jobs/stop', { id: job.id }) });
  const number = (name: string): number => Number(job.progress[name] ?? 0);
  const [done, total, rate] = [number('doneBytes'), number('totalBytes'), number('bytesPerSecond')];
  const percent = job.state === 'done' ? 100 : total > 0 ? (done / total) * 100 : 0;
  const isRunning = job.state === 'running' || job.state === 'stopping';
  const parts = [
    STATES[job.state],
    total > 0 && `${size(done)} of ${size(total)}`,
    isRunning && rate > 0 && `${size(Math.round(rate))}/s`,
    isRunning && rate > 0 && `about ${left((total - done) / rate)} left`,
    number('hits') > 0 && `${number('hits')} pieces found`,
    number('files') > 0 && job.kind === 'scan' && `${number('files')} files found`,
    number('lostBytes') > 0 && `${size(number('lostBytes'))} could not be had`,
    number('nodes') > 0 && `${number('nodes')} things listed`,
  ].filter(Boolean);
  return (
    <div>
      {isRunning && <Progress value={percent} aria-label={`${job.kind}: ${Math.floor(percent)} %`} mb="xs" size="lg" />}
      <p role="status" style={{ margin: '0.25rem 0' }}>
        {parts.join(', ')}
      </p>
      {typeof job.progress.file === 'string' && isRunning && <p className="mono">{job.progress.file}</p>}
      {isRunning && (
        <Button size="xs" variant="default" onClick={() => stopping.mutate()} disabled={job.state === 'stopping'}>
          Pause
        </Button>
      )}
      <Fault error={stopping.error} />
      {job.error !== undefined && (
        <Alert color="red" title="It ended with a fault" role="alert" mt="xs">
          {job.error}
        </Alert>
      )}
    </div>
  );
}

function left(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'unknown';
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Recoveries of earlier runs of the program that were cut off, to be gone on with. */
import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { post } from '../lib/api.ts';
import type { CaseView, Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';

export function OpenRuns({ runs, jobs }: { runs: CaseView['runs']; jobs: readonly Job[] }): ReactNode {
  const going = useMutation({
    mutationFn: ({ kind, options }: CaseView['runs'][number]) => post<Job>('/api/jobs', { job: { kind, options } }),
  });
  const known = new Set(jobs.map((job) => JSON.stringify([job.kind, job.options])));
  const open = runs.filter((run) => run.state !== 'done' && !known.has(JSON.stringify([run.kind, run.options])));
  if (open.length === 0) return null;
  return (
    <div style={{ borderTop: '1px solid var(--salvor-line)', marginTop: '0.9rem', paddingTop: '0.6rem' }}>
      <strong>Not finished before</strong>
      {open.map((run) => (
        <p key={run.id} style={{ margin: '0.3rem 0' }}>
          {run.kind} to <span className="mono">{String(run.options.out)}</span>, begun{' '}
          {run.started.slice(0, 16).replace('T', ' ')} UTC{run.said === null ? ', cut off' : `: ${run.said}`}{' '}
          <Button size="compact-sm" onClick={() => going.mutate(run)}>
            Go on
          </Button>
        </p>
      ))}
      <Fault error={going.error} />
    </div>
  );
}

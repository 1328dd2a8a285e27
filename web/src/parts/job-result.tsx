/** A recovery or conversion: how far it is, and what came of it. */
import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { post } from '../lib/api.ts';
import type { Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { JobProgress } from './job-progress.tsx';

export function JobResult({ job }: { job: Job }): ReactNode {
  const going = useMutation({
    mutationFn: () => post<Job>('/api/jobs', { job: { kind: job.kind, options: job.options } }),
  });
  return (
    <div
      style={{ borderTop: '1px solid var(--salvor-line)', marginTop: '0.9rem', paddingTop: '0.6rem' }}
      data-job={job.kind}
      data-state={job.state}
    >
      <strong>To {String(job.options.out)}</strong>
      <JobProgress job={job} />
      {job.said.map((line) => (
        <p
          key={line}
          style={{ margin: '0.15rem 0', paddingLeft: line.startsWith('  ') ? '1.2rem' : 0, overflowWrap: 'anywhere' }}
        >
          {line}
        </p>
      ))}
      {(job.state === 'stopped' || job.state === 'failed') && (
        <Button size="xs" mt="xs" loading={going.isPending} onClick={() => going.mutate()}>
          Go on
        </Button>
      )}
      <Fault error={going.error} />
    </div>
  );
}

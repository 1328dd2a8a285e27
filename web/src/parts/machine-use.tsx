/** Ways to use a machine where it lies: started, as disks over NBD, as files over WebDAV. */
import { Button, Checkbox, Group } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { post } from '../lib/api.ts';
import { useLive } from '../lib/live.ts';
import type { Job, JobRequest, Machine } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { StandingJob } from './standing-job.tsx';

const KINDS = ['boot', 'nbd', 'dav'];

export function MachineUse({ machine, hasQemu }: { machine: Machine; hasQemu: boolean }): ReactNode {
  const { config, name } = machine;
  const { live } = useLive();
  const [isZeros, setZeros] = useState(false);
  const starting = useMutation({ mutationFn: (job: JobRequest) => post<Job>('/api/jobs', { job }) });
  const lost = isZeros ? 'zeros' : 'error';
  const isOwn = (job: Job): boolean =>
    KINDS.includes(job.kind) && (job.kind === 'dav' || (job.options.config === config && job.options.name === name));
  const jobs = (live?.jobs ?? []).filter(isOwn);
  const runs = (kind: string): boolean => jobs.some((job) => job.kind === kind && job.state === 'running');
  return (
    <section aria-labelledby="use" className="standing">
      <h4 id="use" style={{ margin: '0 0 0.4rem' }}>
        Use it where it lies
      </h4>
      <p style={{ marginTop: 0 }}>
        Nothing is copied and the evidence is only read. What a started machine writes is thrown away when it is
        stopped; it reaches no network.
      </p>
      <Checkbox
        label="Zeros for what is missing; otherwise such reads are errors"
        checked={isZeros}
        onChange={(event) => setZeros(event.currentTarget.checked)}
        mb="xs"
      />
      <Group gap="xs">
        <Button
          size="xs"
          disabled={!hasQemu || runs('boot')}
          loading={starting.isPending}
          onClick={() => starting.mutate({ kind: 'boot', options: { config, name, lost } })}
        >
          Start it now
        </Button>
        <Button
          size="xs"
          variant="default"
          disabled={runs('nbd')}
          onClick={() => starting.mutate({ kind: 'nbd', options: { config, name, lost } })}
        >
          Serve its disks (NBD)
        </Button>
        <Button
          size="xs"
          variant="default"
          disabled={runs('dav')}
          onClick={() => starting.mutate({ kind: 'dav', options: { lost } })}
        >
          Serve all files (WebDAV)
        </Button>
      </Group>
      {!hasQemu && <p>To start machines, install qemu (Debian: apt install qemu-system-x86 qemu-utils).</p>}
      <Fault error={starting.error} />
      {jobs.toReversed().map((job) => (
        <StandingJob key={job.id} job={job} />
      ))}
    </section>
  );
}

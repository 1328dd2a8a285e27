/** Something that stands until it is ended: its addresses, the screen of a machine, and what came of it. */
import { Alert, Button, Group } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import { address, post } from '../lib/api.ts';
import type { Job } from '../lib/types.ts';
import { Facts } from './facts.tsx';
import { Fault } from './fault.tsx';

/** Milliseconds between two looks at a screen. */
const LOOK = 1500;
const TITLES: Readonly<Record<string, string>> = {
  boot: 'The machine',
  nbd: 'Its disks over NBD',
  dav: 'All files over WebDAV',
};
const LABELS: Readonly<Record<string, string>> = {
  address: 'Address',
  password: 'Password (any name)',
  said: 'What it shows',
  serial: 'Its serial line',
};

export function StandingJob({ job }: { job: Job }): ReactNode {
  const stopping = useMutation({ mutationFn: () => post('/api/jobs/stop', { id: job.id }) });
  const isRunning = job.state === 'running' || job.state === 'stopping';
  return (
    <div className="standing" data-job={job.kind} data-state={job.state}>
      <Group justify="space-between">
        <strong>{TITLES[job.kind]}</strong>
        {isRunning && (
          <Button size="xs" variant="default" disabled={job.state === 'stopping'} onClick={() => stopping.mutate()}>
            Stop
          </Button>
        )}
      </Group>
      <p role="status" style={{ margin: '0.25rem 0' }}>
        {isRunning ? `${job.state === 'stopping' ? 'stopping' : 'running'} for ${job.seconds} s` : job.state}
      </p>
      {isRunning && <Facts rows={rowsOf(job)} />}
      {job.kind === 'boot' && job.state === 'running' && <GuestScreen id={job.id} />}
      {job.said.map((line) => (
        <p key={line} style={{ margin: '0.15rem 0', overflowWrap: 'anywhere' }}>
          {line}
        </p>
      ))}
      <Fault error={stopping.error} />
      {job.error !== undefined && (
        <Alert color="red" title="It ended with a fault" role="alert" mt="xs">
          {job.error}
        </Alert>
      )}
    </div>
  );
}

function rowsOf({ progress }: Job): [string, string][] {
  return Object.entries(progress).flatMap(([key, value]): [string, string][] => {
    if (key === 'pictures' || key === 'requests' || value === '') return [];
    if (key === 'servedBytes') return [['Read so far', size(Number(value))]];
    if (key === 'lostBytes') return Number(value) === 0 ? [] : [['Met, but missing', size(Number(value))]];
    return [[LABELS[key] ?? key, String(value)]];
  });
}

/** Asked for again and again; what it showed last stays until there is something newer. */
function GuestScreen({ id }: { id: string }): ReactNode {
  const { data } = useQuery({
    queryKey: ['screen', id],
    queryFn: async ({ signal }) => {
      const answer = await fetch(address('/api/screen', { id }), { signal, credentials: 'same-origin' });
      return answer.ok ? await answer.blob() : null;
    },
    refetchInterval: LOOK,
  });
  const [shown, setShown] = useState<string>();
  useEffect(() => {
    if (data === undefined || data === null) return undefined;
    const made = URL.createObjectURL(data);
    setShown(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  if (shown === undefined) return <p>Its screen is not there yet.</p>;
  return <img className="guest-screen" src={shown} alt="The screen of the machine that runs" />;
}

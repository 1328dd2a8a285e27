/** Search by name over everything that was listed. */
import { Button, Checkbox, Group, NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get, post } from '../lib/api.ts';
import { useLive } from '../lib/live.ts';
import type { Found, Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { FoundRow } from './found-row.tsx';
import { JobProgress } from './job-progress.tsx';

const KINDS = [
  { value: '', label: 'every kind' },
  { value: 'file', label: 'files' },
  { value: 'directory', label: 'folders' },
];

export function Search(): ReactNode {
  const { live } = useLive();
  const [text, setText] = useState('');
  const [kind, setKind] = useState('');
  const [damaged, setDamaged] = useState(false);
  const [asked] = useDebouncedValue(text, 150);
  const { data, error } = useQuery({
    queryKey: ['search', asked, kind, damaged],
    queryFn: ({ signal }) =>
      get<Found>(
        '/api/search',
        { text: asked, kind: kind || undefined, damaged: damaged ? 'true' : undefined },
        signal,
      ),
    placeholderData: keepPreviousData,
  });
  const listing = useMutation({ mutationFn: () => post<Job>('/api/jobs', { job: { kind: 'list', options: {} } }) });
  const jobs = (live?.jobs ?? []).filter((job) => job.kind === 'list');
  const job = jobs[jobs.length - 1];
  const isRunning = job?.state === 'running' || job?.state === 'stopping';
  return (
    <div>
      <TextInput
        label="Part of a name"
        placeholder="web01.vmx, or folder/name"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <Group my="xs" align="center">
        <NativeSelect
          aria-label="Kind"
          data={KINDS}
          value={kind}
          onChange={(event) => setKind(event.currentTarget.value)}
        />
        <Checkbox
          label="damaged only"
          checked={damaged}
          onChange={(event) => setDamaged(event.currentTarget.checked)}
        />
      </Group>
      <Fault error={error ?? listing.error} />
      {isRunning && <JobProgress job={job} />}
      {data !== undefined && !data.complete && !isRunning && (
        <p>
          {data.listed === 0 ? 'Nothing is listed by name yet.' : `Only ${data.listed} things are listed so far.`}{' '}
          <Button size="compact-sm" onClick={() => listing.mutate()}>
            List everything
          </Button>
        </p>
      )}
      <ul
        className="rows"
        aria-label="Found"
        style={{ maxHeight: 460, listStyle: 'none', padding: '0.4rem', margin: 0 }}
      >
        {data?.rows.map((row) => (
          <FoundRow key={row.locator} row={row} />
        ))}
        {data?.rows.length === 0 && <li>Nothing of that name.</li>}
      </ul>
      {data?.next !== undefined && <p>There are more; type more of the name.</p>}
    </div>
  );
}

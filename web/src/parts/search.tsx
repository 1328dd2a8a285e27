/** Search by name over everything that was listed. */
import { Button, Checkbox, Group, NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get, post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { Found, Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { JobProgress } from './job-progress.tsx';

const KINDS = [
  { value: '', label: 'every kind' },
  { value: 'file', label: 'files' },
  { value: 'directory', label: 'folders' },
];

export function Search(): ReactNode {
  const { look, chosen, toggle } = useChoice();
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
          <li key={row.locator} style={{ display: 'flex', gap: '0.5rem', alignItems: 'center' }}>
            {['file', 'directory'].includes(row.kind) && (
              <Checkbox
                size="xs"
                aria-label={`Choose ${row.name}`}
                checked={chosen.has(row.locator)}
                onChange={() => toggle(row.locator)}
              />
            )}
            <Button
              variant="subtle"
              size="compact-sm"
              onClick={() => look(row.locator)}
              title={row.locator}
              style={{ overflow: 'hidden' }}
            >
              {row.name}
            </Button>
            {row.state !== 'live' && <span className="mark">{row.state}</span>}
            {row.damage > 0 && <span className="mark wrong">damaged</span>}
            <span style={{ marginLeft: 'auto', fontSize: '0.82rem' }}>{row.size === null ? '' : size(row.size)}</span>
          </li>
        ))}
        {data?.rows.length === 0 && <li>Nothing of that name.</li>}
      </ul>
      {data?.next !== undefined && <p>There are more; type more of the name.</p>}
    </div>
  );
}

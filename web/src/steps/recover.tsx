/** Step 5: what was chosen comes out, with its size known first. */
import { Button, Checkbox, Group, NativeSelect, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get, post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { CaseView, Job } from '../lib/types.ts';
import { ConvertForm } from '../parts/convert-form.tsx';
import { type EstimateData, EstimateView } from '../parts/estimate-view.tsx';
import { Fault } from '../parts/fault.tsx';
import { JobProgress } from '../parts/job-progress.tsx';
import { JobResult } from '../parts/job-result.tsx';
import { OpenRuns } from '../parts/open-runs.tsx';

const FILLS = [
  { value: 'zero', label: 'zeros' },
  { value: 'pattern', label: 'a pattern that can be recognised' },
  { value: 'skip', label: 'holes' },
];

export function RecoverStep(): ReactNode {
  const { chosen, toggle, go } = useChoice();
  const { live } = useLive();
  const kept = useQuery({ queryKey: ['case'], queryFn: ({ signal }) => get<CaseView>('/api/case', {}, signal) });
  const [out, setOut] = useState('');
  const [deep, setDeep] = useState(false);
  const [sha256, setSha] = useState(false);
  const [fill, setFill] = useState('zero');
  const isGone = [...chosen].some((locator) => /\/\+(deleted|orphan|carved)/.test(locator));
  const options = {
    out,
    ...(chosen.size > 0 && { locators: [...chosen].sort() }),
    ...((deep || isGone) && { deep: true }),
    ...(sha256 && { sha256: true }),
    ...(fill !== 'zero' && { fill }),
  };
  const starting = useMutation({
    mutationFn: (kind: 'estimate' | 'recover') => post<Job>('/api/jobs', { job: { kind, options } }),
  });
  const jobs = live?.jobs ?? [];
  const same = (job: Job): boolean => JSON.stringify(job.options) === JSON.stringify(options);
  const estimate = jobs.findLast((job) => job.kind === 'estimate' && same(job));
  const runs = jobs.filter((job) => job.kind === 'recover');
  const isRunning = runs.some((job) => job.state === 'running' && same(job));
  return (
    <>
      <h2>Recover</h2>
      <section className="panel" aria-label="What">
        {chosen.size === 0 ? (
          <p style={{ margin: 0 }}>
            Nothing was chosen, so everything that is there will be recovered.{' '}
            <Button size="compact-sm" variant="default" onClick={() => go('browse')}>
              Choose
            </Button>
          </p>
        ) : (
          <ul style={{ margin: 0, paddingLeft: '1.1rem' }} aria-label="Chosen">
            {[...chosen].map((locator) => (
              <li key={locator}>
                <span className="mono">{locator}</span>{' '}
                <Button
                  size="compact-xs"
                  variant="subtle"
                  onClick={() => toggle(locator)}
                  aria-label={`remove ${locator}`}
                >
                  remove
                </Button>
              </li>
            ))}
          </ul>
        )}
      </section>
      <section className="panel" aria-label="Where to" style={{ marginTop: '1rem' }}>
        <TextInput
          label="Folder to write to"
          description="On another disk than the evidence; nothing that is there is ever overwritten"
          placeholder="/mnt/rescue"
          value={out}
          onChange={(event) => setOut(event.currentTarget.value)}
        />
        <Group mt="sm" align="end">
          <NativeSelect
            label="What stands in gaps"
            data={FILLS}
            value={fill}
            onChange={(event) => setFill(event.currentTarget.value)}
          />
          <Checkbox
            label="SHA-256 of large files, too"
            checked={sha256}
            onChange={(event) => setSha(event.currentTarget.checked)}
          />
          <Checkbox
            label="also what was deleted"
            checked={deep || isGone}
            disabled={isGone}
            onChange={(event) => setDeep(event.currentTarget.checked)}
          />
        </Group>
        <Group mt="md">
          <Button variant="default" disabled={!out.startsWith('/')} onClick={() => starting.mutate('estimate')}>
            How large is it?
          </Button>
          <Button disabled={!out.startsWith('/') || isRunning} onClick={() => starting.mutate('recover')}>
            Recover
          </Button>
        </Group>
        <Fault error={starting.error} />
        {estimate?.state === 'done' && <EstimateView estimate={estimate.result as EstimateData | null} />}
        {estimate !== undefined && estimate.state !== 'done' && <JobProgress job={estimate} />}
        {runs.map((job) => (
          <JobResult key={job.id} job={job} />
        ))}
        <OpenRuns runs={kept.data?.runs ?? []} jobs={jobs} />
      </section>
      <ConvertForm />
      {runs.some((job) => job.state === 'done') && (
        <Button mt="md" onClick={() => go('report')}>
          To the report
        </Button>
      )}
    </>
  );
}

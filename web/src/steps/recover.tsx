/** Step 5: what was chosen comes out, with its size known first. */
import { Button, Group } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get, post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { CaseView, Job } from '../lib/types.ts';
import { ChosenList } from '../parts/chosen-list.tsx';
import { ConvertForm } from '../parts/convert-form.tsx';
import { type EstimateData, EstimateView } from '../parts/estimate-view.tsx';
import { Fault } from '../parts/fault.tsx';
import { JobProgress } from '../parts/job-progress.tsx';
import { JobResult } from '../parts/job-result.tsx';
import { OpenRuns } from '../parts/open-runs.tsx';
import { type RecoverFields, RecoverForm } from '../parts/recover-form.tsx';

export function RecoverStep(): ReactNode {
  const { chosen, go } = useChoice();
  const { live } = useLive();
  const kept = useQuery({ queryKey: ['case'], queryFn: ({ signal }) => get<CaseView>('/api/case', {}, signal) });
  const [form, setForm] = useState<RecoverFields>({ out: '', deep: false, sha256: false, fill: 'zero' });
  const { out, deep, sha256, fill } = form;
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
      <ChosenList />
      <section className="panel" aria-label="Where to" style={{ marginTop: '1rem' }}>
        <RecoverForm form={form} isGone={isGone} onChange={(part) => setForm({ ...form, ...part })} />
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

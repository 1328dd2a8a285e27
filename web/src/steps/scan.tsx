/** Step 3: one pass over everything, for what metadata no longer tells. */
import { Button, Checkbox, Group, Loader, Table } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get, post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { CaseView, Job } from '../lib/types.ts';
import { Fault } from '../parts/fault.tsx';
import { JobProgress } from '../parts/job-progress.tsx';

export function ScanStep(): ReactNode {
  const { go } = useChoice();
  const { live } = useLive();
  const { data, error } = useQuery({
    queryKey: ['case'],
    queryFn: ({ signal }) => get<CaseView>('/api/case', {}, signal),
  });
  const [isCarving, setCarving] = useState(false);
  const starting = useMutation({
    mutationFn: () => post<Job>('/api/jobs', { job: { kind: 'scan', options: isCarving ? { carve: true } : {} } }),
  });
  const jobs = (live?.jobs ?? []).filter((job) => job.kind === 'scan');
  const job = jobs[jobs.length - 1];
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" aria-label="Looking at the case" />;
  const isRunning = job?.state === 'running' || job?.state === 'stopping';
  const done = data.files.reduce((sum, file) => sum + file.scanned, 0);
  const total = data.files.reduce((sum, file) => sum + file.size, 0);
  const isWhole = data.files.length > 0 && data.files.every((file) => file.whole);
  const isCarved = data.files.length > 0 && data.files.every((file) => file.carved);
  const isAll = isWhole && (isCarved || !isCarving);
  return (
    <>
      <h2>Scan</h2>
      <p>
        A scan reads all of the evidence once and looks everywhere for pieces of what Salvor knows. It is worth it when
        something was deleted, formatted over or wiped; what metadata still tells is there without it. What it finds is
        kept in the case, also when the computer goes down: the next scan goes on where this one was.
      </p>
      <section className="panel" aria-label="Progress">
        <p style={{ marginTop: 0 }}>
          {isWhole ? 'All of it is scanned.' : `${size(done)} of ${size(total)} are scanned.`} Kept in{' '}
          <span className="mono">{data.dir}</span>.
        </p>
        {isCarved && <p>Files that content alone tells of were looked for; browse them below +carved.</p>}
        {job !== undefined && <JobProgress job={job} />}
        {!isRunning && !isCarved && (
          <Checkbox
            label="Then also look for files by their content alone, in what live files leave free"
            checked={isCarving}
            onChange={(event) => setCarving(event.currentTarget.checked)}
          />
        )}
        <Group mt="sm">
          {!isRunning && (
            <Button onClick={() => starting.mutate()} loading={starting.isPending} disabled={isAll}>
              {done > 0 && !isWhole ? 'Go on with the scan' : 'Start the scan'}
            </Button>
          )}
          <Button variant={isWhole ? 'filled' : 'default'} onClick={() => go('browse')}>
            Browse
          </Button>
        </Group>
        <Fault error={starting.error} />
      </section>
      <Pieces files={data.files} />
    </>
  );
}

function Pieces({ files }: { files: CaseView['files'] }): ReactNode {
  if (files.every((file) => file.kinds.length === 0)) return undefined;
  return (
    <section className="panel" aria-label="Found" style={{ marginTop: '1rem' }}>
      <h3 style={{ marginTop: 0 }}>Pieces found</h3>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Kind</Table.Th>
            <Table.Th>Pieces</Table.Th>
            <Table.Th>In</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {files.flatMap((file) =>
            file.kinds.map(({ kind, count }) => (
              <Table.Tr key={`${file.locator} ${kind}`}>
                <Table.Td>{kind}</Table.Td>
                <Table.Td>{count}</Table.Td>
                <Table.Td className="mono">{file.locator}</Table.Td>
              </Table.Tr>
            )),
          )}
        </Table.Tbody>
      </Table>
    </section>
  );
}

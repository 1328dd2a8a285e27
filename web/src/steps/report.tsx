/** Step 6: what a person hands over, and what was done. */
import { Alert, Button, Group, Loader } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { get } from '../lib/api.ts';
import type { CaseView } from '../lib/types.ts';
import { Fault } from '../parts/fault.tsx';
import { LogTable } from '../parts/log-table.tsx';

export function ReportStep(): ReactNode {
  const { data, error } = useQuery({
    queryKey: ['case'],
    queryFn: ({ signal }) => get<CaseView>('/api/case', {}, signal),
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" aria-label="Looking at the case" />;
  const done = data.runs.filter((run) => run.state === 'done');
  const { custody } = data;
  return (
    <>
      <h2>Report</h2>
      <section className="panel" aria-label="Report">
        <p style={{ marginTop: 0 }}>
          One page with everything in it: the evidence, what was found, what was recovered and lost and why, hashes, and
          the commands that do it again.{' '}
          {done.length === 0
            ? 'Nothing was recovered yet.'
            : `${done.length} finished recoveries, conversions and starts of machines are in it.`}
        </p>
        <Group>
          <Button component="a" href="/api/report" download>
            Save the report (HTML)
          </Button>
          <Button component="a" variant="default" href="/api/report?format=json" download>
            Save as JSON
          </Button>
        </Group>
        <ul>
          {done.map((run) => (
            <li key={run.id}>
              {run.said} {run.options.out !== undefined && <span className="mono">{String(run.options.out)}</span>}
            </li>
          ))}
        </ul>
      </section>
      <section className="panel" aria-labelledby="log" style={{ marginTop: '1rem' }}>
        <h3 id="log" style={{ marginTop: 0 }}>
          What was done
        </h3>
        {custody.broken === undefined ? (
          <p>
            The log has {custody.count} entries and is as it was written: each carries the SHA-256 of the one before.
          </p>
        ) : (
          <Alert color="red" title="The log was changed" role="alert" mb="sm">
            {custody.broken}
          </Alert>
        )}
        <LogTable entries={custody.entries} />
      </section>
    </>
  );
}

/** Writes one chosen disk as an image of another format. */
import { Button, Group, NativeSelect, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { JobResult } from './job-result.tsx';

export function ConvertForm(): ReactNode {
  const { chosen, current } = useChoice();
  const { live } = useLive();
  const things = [...new Set([...chosen, ...(current === undefined ? [] : [current])])];
  const [locator, setLocator] = useState('');
  const [out, setOut] = useState('');
  const [variant, setVariant] = useState('qcow2');
  const starting = useMutation({
    mutationFn: () => {
      const options = { locator: locator || things[0], out, variant };
      return post<Job>('/api/jobs', { job: { kind: 'convert', options } });
    },
  });
  const jobs = (live?.jobs ?? []).filter((job) => job.kind === 'convert');
  return (
    <section className="panel" aria-labelledby="convert" style={{ marginTop: '1rem' }}>
      <h3 id="convert" style={{ marginTop: 0 }}>
        Or write one disk as an image
      </h3>
      <p>
        The whole chain of a snapshot becomes one image. What could not be had stands as zeros and is named in a map
        beside it.
      </p>
      {things.length === 0 ? (
        <p>Choose or look at a disk in the step before.</p>
      ) : (
        <Group align="end">
          <NativeSelect
            label="Disk"
            data={things}
            value={locator || things[0]}
            onChange={(event) => setLocator(event.currentTarget.value)}
            style={{ flex: 2, minWidth: '12rem' }}
          />
          <NativeSelect
            label="Format"
            data={live?.session.variants ?? []}
            value={variant}
            onChange={(event) => setVariant(event.currentTarget.value)}
          />
          <TextInput
            label="File to write"
            placeholder="/mnt/rescue/disk.qcow2"
            value={out}
            onChange={(event) => setOut(event.currentTarget.value)}
            style={{ flex: 2, minWidth: '12rem' }}
          />
          <Button disabled={!out.startsWith('/')} loading={starting.isPending} onClick={() => starting.mutate()}>
            Convert
          </Button>
        </Group>
      )}
      <Fault error={starting.error} />
      {jobs.map((job) => (
        <JobResult key={job.id} job={job} />
      ))}
    </section>
  );
}

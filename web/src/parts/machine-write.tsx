/** Writes a machine for a platform: its disks converted, its configuration beside them. */
import { Button, Checkbox, Group, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { post } from '../lib/api.ts';
import { useLive } from '../lib/live.ts';
import type { Job, Machine, Plan } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { JobResult } from './job-result.tsx';

export function MachineWrite({ machine, plan }: { machine: Machine; plan: Plan['targets'][number] }): ReactNode {
  const { config, name } = machine;
  const { target, title, archive } = plan;
  const { live } = useLive();
  const [out, setOut] = useState('');
  const [isArchive, setArchive] = useState(false);
  const ova = archive && isArchive;
  const starting = useMutation({
    mutationFn: () => {
      const options = { config, name, target, out, ...(ova && { ova }) };
      return post<Job>('/api/jobs', { job: { kind: 'machine', options } });
    },
  });
  const jobs = (live?.jobs ?? []).filter(
    (job) => job.kind === 'machine' && job.options.config === config && job.options.name === name,
  );
  return (
    <>
      <Group align="end" gap="xs" mt="xs">
        <TextInput
          label="Folder to write to"
          placeholder="/mnt/rescue/web01"
          value={out}
          onChange={(event) => setOut(event.currentTarget.value)}
          style={{ flex: 1, minWidth: '12rem' }}
        />
        <Button disabled={!out.startsWith('/')} loading={starting.isPending} onClick={() => starting.mutate()}>
          Write it for {title}
        </Button>
      </Group>
      {archive && (
        <Checkbox
          mt="xs"
          label="All in one archive (OVA)"
          checked={isArchive}
          onChange={(event) => setArchive(event.currentTarget.checked)}
        />
      )}
      <Fault error={starting.error} />
      {jobs.map((job) => (
        <JobResult key={job.id} job={job} />
      ))}
    </>
  );
}

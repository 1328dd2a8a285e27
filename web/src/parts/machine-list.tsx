/** Virtual machines with their disks, chains and configuration. */
import { Badge, Button, Group, Loader } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { get } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import type { Machine, Machines } from '../lib/types.ts';
import { Facts } from './facts.tsx';
import { Fault } from './fault.tsx';

export function MachineList({ open }: { open: (machine: Machine | undefined) => void }): ReactNode {
  const { look: lookAt, chosen, toggle } = useChoice();
  const look = (locator: string): void => {
    open(undefined);
    lookAt(locator);
  };
  const { data, error } = useQuery({
    queryKey: ['machines'],
    queryFn: ({ signal }) => get<Machines>('/api/machines', {}, signal),
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Looking for machines" />;
  if (data.machines.length === 0) return <p>No configuration of a machine was found.</p>;
  return data.machines.map((machine) => {
    const what = machine.folder ?? machine.config;
    return (
      <section
        key={machine.config}
        className="panel"
        aria-label={`Machine ${machine.name}`}
        style={{ marginBottom: '0.75rem' }}
      >
        <Group justify="space-between">
          <h3 style={{ margin: 0 }}>{machine.name}</h3>
          <Button size="xs" variant={chosen.has(what) ? 'default' : 'filled'} onClick={() => toggle(what)}>
            {chosen.has(what) ? 'Do not recover it' : 'Choose to recover'}
          </Button>
        </Group>
        <Facts
          rows={Object.entries(machine.details).map(([label, value]): [string, string] => [label, String(value)])}
        />
        {machine.disks.map((disk) => (
          <div key={disk.slot} style={{ marginTop: '0.6rem' }}>
            <Group gap="xs">
              <strong>{disk.slot}</strong>
              <span className="mono">{disk.file}</span>
              {disk.broken !== undefined && <Badge color="#a11a1a">broken</Badge>}
            </Group>
            {disk.broken !== undefined && <p className="wrong">! {disk.broken}</p>}
            <ol className="chain" aria-label="Chain, from what is written to down to the base">
              {disk.chain.map((link) => (
                <li key={link} style={{ paddingBottom: '0.3rem' }}>
                  <Button variant="subtle" size="compact-xs" onClick={() => look(link)}>
                    {link.slice(link.lastIndexOf('/') + 1)}
                  </Button>
                </li>
              ))}
            </ol>
          </div>
        ))}
        <Group gap="xs" mt="xs">
          <Button variant="default" size="xs" onClick={() => open(machine)}>
            Rebuild, serve or start it
          </Button>
          <Button variant="default" size="xs" onClick={() => look(machine.config)}>
            Show its configuration
          </Button>
        </Group>
      </section>
    );
  });
}

/** A registry hive: the way to a key, the keys below it, and its values. */
import { Button, Loader, Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get } from '../lib/api.ts';
import type { RegistryKey } from '../lib/types.ts';
import { Fault } from '../parts/fault.tsx';

export function RegistryView({ locator }: { locator: string }): ReactNode {
  const [way, setWay] = useState<readonly string[]>([]);
  const key = way.join('\\');
  const { data, error } = useQuery({
    queryKey: ['registry', locator, key],
    queryFn: ({ signal }) => get<RegistryKey>('/api/registry', { locator, key }, signal),
  });
  return (
    <div>
      <nav aria-label="The way to this key" style={{ marginBottom: '0.5rem' }}>
        {['(root)', ...way].map((name, i) => (
          <span key={i}>
            {i > 0 && ' \\ '}
            <Button
              size="compact-xs"
              variant={i === way.length ? 'filled' : 'default'}
              aria-current={i === way.length ? 'location' : undefined}
              onClick={() => setWay(way.slice(0, i))}
            >
              {name}
            </Button>
          </span>
        ))}
      </nav>
      <Fault error={error} />
      {data === undefined && error === null && <Loader role="status" size="sm" aria-label="Reading the key" />}
      {data?.notes.map((note) => (
        <p key={note} className="wrong">
          ! {note}
        </p>
      ))}
      {data !== undefined && data.keys.length > 0 && (
        <ul className="keys" aria-label="Keys">
          {data.keys.map(({ name, subkeys }, i) => (
            <li key={i}>
              <Button size="compact-sm" variant="subtle" onClick={() => setWay([...way, name])}>
                {subkeys > 0 ? '▸ ' : ''}
                {name}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {data !== undefined && <Values values={data.values} />}
    </div>
  );
}

function Values({ values }: Pick<RegistryKey, 'values'>): ReactNode {
  return (
    <section className="scroll" style={{ maxHeight: 360 }} tabIndex={0} aria-label="Values">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Value</Table.Th>
            <Table.Th>Type</Table.Th>
            <Table.Th>Data</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {values.map((value, i) => (
            <Table.Tr key={i}>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{value.name === '' ? '(default)' : value.name}</Table.Td>
              <Table.Td>{value.type}</Table.Td>
              <Table.Td className="mono" style={{ whiteSpace: 'pre-wrap' }}>
                {value.data}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {values.length === 0 && <p className="said">This key has no values.</p>}
    </section>
  );
}

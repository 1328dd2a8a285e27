/** What was done, the latest first. */
import { Table } from '@mantine/core';
import type { ReactNode } from 'react';
import type { CaseView } from '../lib/types.ts';

export function LogTable({ entries }: { entries: CaseView['custody']['entries'] }): ReactNode {
  return (
    <section className="scroll" style={{ maxHeight: 420 }} tabIndex={0} aria-label="Log">
      <Table stickyHeader>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>When (UTC)</Table.Th>
            <Table.Th>Program</Table.Th>
            <Table.Th>What</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {entries.toReversed().map((entry) => (
            <Table.Tr key={entry.id}>
              <Table.Td style={{ whiteSpace: 'nowrap' }}>{entry.at.slice(0, 19).replace('T', ' ')}</Table.Td>
              <Table.Td>{entry.program}</Table.Td>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{entry.said}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  );
}

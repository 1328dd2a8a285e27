/** The runs of a picture one by one, where there are few of them. */
import { Table } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Picture } from '../lib/types.ts';

export function RunTable({ picture }: { picture: Picture }): ReactNode {
  if (picture.runs.length === 0) return null;
  return (
    <section className="scroll" style={{ maxHeight: 260, marginTop: '0.75rem' }} tabIndex={0} aria-label="Runs">
      <Table striped withRowBorders={false} stickyHeader>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Offset</Table.Th>
            <Table.Th>Bytes</Table.Th>
            <Table.Th>What</Table.Th>
            <Table.Th>Where, and what said so</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {picture.runs.map((run) => (
            <Table.Tr key={run.offset}>
              <Table.Td>{run.offset}</Table.Td>
              <Table.Td>{run.length}</Table.Td>
              <Table.Td>{run.state === run.certainty ? run.state : `${run.state}, ${run.certainty}`}</Table.Td>
              <Table.Td className="mono">
                {run.evidence !== undefined && `${run.evidence}@${run.at} `}
                {run.why?.what} {run.why?.code !== undefined && `[${run.why.code}]`}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  );
}

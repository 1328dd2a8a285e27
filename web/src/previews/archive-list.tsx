/** What an archive holds. */
import { Table } from '@mantine/core';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';

export function ArchiveList({ members }: { members: readonly { name: string; size: number }[] }): ReactNode {
  return (
    <section className="scroll" style={{ maxHeight: 480 }} tabIndex={0} aria-label="Members of the archive">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th>Size</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {members.map((member, i) => (
            <Table.Tr key={i}>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{member.name}</Table.Td>
              <Table.Td>{size(member.size)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  );
}

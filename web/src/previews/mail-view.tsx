/** Messages: their headers, what there is to read, and what is attached. Nothing of HTML is left but its words. */
import { Button, Group, Table } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import type { Preview } from '../lib/types.ts';
import { Facts } from '../parts/facts.tsx';

type Mail = NonNullable<Preview['mails']>[number];

/** Headers that are shown at once. */
const FIRST = 5;

export function MailView({ mails }: { mails: readonly Mail[] }): ReactNode {
  const [at, setAt] = useState(0);
  const mail = mails[at];
  if (mail === undefined) return <p>No message is in it.</p>;
  return (
    <>
      {mails.length > 1 && (
        <Group gap="xs" mb="xs">
          <Button size="compact-sm" variant="default" disabled={at === 0} onClick={() => setAt(at - 1)}>
            Earlier
          </Button>
          <span>
            Message {at + 1} of {mails.length}
          </span>
          <Button size="compact-sm" variant="default" disabled={at + 1 >= mails.length} onClick={() => setAt(at + 1)}>
            Later
          </Button>
        </Group>
      )}
      <Facts rows={mail.headers.slice(0, FIRST)} />
      {mail.headers.length > FIRST && (
        <details style={{ margin: '0.4rem 0' }}>
          <summary>{mail.headers.length - FIRST} more headers</summary>
          <Facts rows={mail.headers.slice(FIRST).map(([label, value], i) => [`${label}${' '.repeat(i)}`, value])} />
        </details>
      )}
      <pre className="text" tabIndex={0} style={{ marginTop: '0.5rem' }}>
        {mail.text}
      </pre>
      {mail.attachments.length > 0 && (
        <section className="scroll" tabIndex={0} aria-label="Attachments">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Attachment</Table.Th>
                <Table.Th>Type</Table.Th>
                <Table.Th>Size</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {mail.attachments.map((one, i) => (
                <Table.Tr key={i}>
                  <Table.Td style={{ overflowWrap: 'anywhere' }}>{one.name}</Table.Td>
                  <Table.Td>{one.type}</Table.Td>
                  <Table.Td>{size(one.size)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </section>
      )}
    </>
  );
}

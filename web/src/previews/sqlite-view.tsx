/** The tables of a SQLite database with their first rows. */
import { Loader, NativeSelect, Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { bytesOf } from '../lib/api.ts';
import { Fault } from '../parts/fault.tsx';
import type { SqliteAnswer, SqliteTable } from './sqlite-worker.ts';

const MAX_BYTES = 128 * 1024 * 1024;
const PIECE = 8 * 1024 * 1024;
const PATIENCE_MS = 30_000;

async function tablesOf(locator: string, size: number): Promise<readonly SqliteTable[]> {
  if (size > MAX_BYTES) throw new Error('It is too large for a preview. Recover it to look at it.');
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += PIECE) bytes.set(await bytesOf(locator, at, Math.min(size, at + PIECE)), at);
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), { type: 'module' });
  try {
    const answer = await new Promise<SqliteAnswer>((resolve, reject) => {
      setTimeout(() => reject(new Error('Reading its tables took too long.')), PATIENCE_MS);
      worker.addEventListener('message', (event: MessageEvent<SqliteAnswer>) => resolve(event.data));
      worker.addEventListener('error', () => reject(new Error('Its tables could not be read.')));
      worker.postMessage(bytes);
    });
    if ('error' in answer) throw new Error(`Its tables cannot be read: ${answer.error}`);
    return answer.tables;
  } finally {
    worker.terminate();
  }
}

export function SqliteView({ locator, size }: { locator: string; size: number }): ReactNode {
  const [name, setName] = useState<string>();
  const { data, error } = useQuery({
    queryKey: ['sqlite', locator],
    queryFn: () => tablesOf(locator, size),
    retry: false,
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Reading tables" />;
  const table = data.find((one) => one.name === name) ?? data[0];
  if (table === undefined) return <p>It has no tables.</p>;
  return (
    <div>
      <NativeSelect
        label="Table"
        data={data.map((one) => one.name)}
        value={table.name}
        onChange={(event) => setName(event.currentTarget.value)}
        mb="xs"
      />
      <section className="scroll" style={{ maxHeight: 420 }} tabIndex={0} aria-label={`Rows of ${table.name}`}>
        <Table withTableBorder>
          <Table.Thead>
            <Table.Tr>
              {table.columns.map((column) => (
                <Table.Th key={column}>{column}</Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {table.rows.map((row, i) => (
              <Table.Tr key={i}>
                {row.map((value, j) => (
                  <Table.Td key={j}>{value}</Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </section>
    </div>
  );
}

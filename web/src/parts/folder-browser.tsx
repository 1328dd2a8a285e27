/** Folders and files of this machine, to choose from. */
import { Button, Checkbox, Group, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get } from '../lib/api.ts';
import type { Folder } from '../lib/types.ts';
import { Fault } from './fault.tsx';

interface Props {
  readonly start: string;
  readonly chosen: ReadonlySet<string>;
  readonly onToggle: (path: string) => void;
}

export function FolderBrowser({ start, chosen, onToggle }: Props): ReactNode {
  const [path, setPath] = useState(start);
  const [typed, setTyped] = useState(start);
  const { data, error } = useQuery({
    queryKey: ['folder', path],
    queryFn: ({ signal }) => get<Folder>('/api/host/files', { path }, signal),
    retry: false,
  });
  const enter = (to: string): void => {
    setPath(to);
    setTyped(to);
  };
  return (
    <div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          enter(typed);
        }}
      >
        <Group gap="xs" align="end" wrap="nowrap">
          <TextInput
            label="Folder"
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            style={{ flex: 1 }}
          />
          <Button type="submit" variant="default">
            Go
          </Button>
        </Group>
      </form>
      <Fault error={error} />
      <ul
        className="rows"
        aria-label={`Entries of ${path}`}
        style={{ maxHeight: 300, listStyle: 'none', padding: '0.4rem', margin: '0.6rem 0 0' }}
      >
        {data?.parent !== undefined && (
          <li>
            <Button variant="subtle" size="compact-sm" onClick={() => enter(data.parent!)}>
              ↑ up
            </Button>
          </li>
        )}
        {data?.entries.map((entry) => (
          <li
            key={entry.path}
            style={{ display: 'flex', alignItems: 'center', gap: '0.5rem', padding: '0.1rem 0.2rem' }}
          >
            <Checkbox
              size="xs"
              aria-label={`Use ${entry.name}`}
              checked={chosen.has(entry.path)}
              onChange={() => onToggle(entry.path)}
            />
            {entry.kind === 'folder' ? (
              <Button
                variant="subtle"
                size="compact-sm"
                onClick={() => enter(entry.path)}
                style={{ overflow: 'hidden' }}
              >
                {entry.name}/
              </Button>
            ) : (
              <span style={{ overflowWrap: 'anywhere', flex: 1, fontSize: '0.92rem' }}>{entry.name}</span>
            )}
            {entry.size !== undefined && (
              <span style={{ color: 'var(--mantine-color-dimmed)', fontSize: '0.82rem' }}>{size(entry.size)}</span>
            )}
          </li>
        ))}
      </ul>
      {data?.cut === true && <p>There are more; type the folder or the file to get there.</p>}
    </div>
  );
}

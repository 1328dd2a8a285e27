/** Folders and files of this machine, to choose from. */
import { Button, Group, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get } from '../lib/api.ts';
import type { Folder } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { FolderEntry } from './folder-entry.tsx';

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
          <FolderEntry
            key={entry.path}
            entry={entry}
            isChosen={chosen.has(entry.path)}
            onToggle={() => onToggle(entry.path)}
            onEnter={() => enter(entry.path)}
          />
        ))}
      </ul>
      {data?.cut === true && <p>There are more; type the folder or the file to get there.</p>}
    </div>
  );
}

/** A file or folder of this machine, to choose or to enter. */
import { Button, Checkbox } from '@mantine/core';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import type { Folder } from '../lib/types.ts';

interface Props {
  readonly entry: Folder['entries'][number];
  readonly isChosen: boolean;
  readonly onToggle: () => void;
  readonly onEnter: () => void;
}

export function FolderEntry({ entry, isChosen, onToggle, onEnter }: Props): ReactNode {
  return (
    <li style={{ display: 'flex', alignItems: 'center', gap: '0.5rem', padding: '0.1rem 0.2rem' }}>
      <Checkbox size="xs" aria-label={`Use ${entry.name}`} checked={isChosen} onChange={() => onToggle()} />
      {entry.kind === 'folder' ? (
        <Button variant="subtle" size="compact-sm" onClick={() => onEnter()} style={{ overflow: 'hidden' }}>
          {entry.name}/
        </Button>
      ) : (
        <span style={{ overflowWrap: 'anywhere', flex: 1, fontSize: '0.92rem' }}>{entry.name}</span>
      )}
      {entry.size !== undefined && (
        <span style={{ color: 'var(--mantine-color-dimmed)', fontSize: '0.82rem' }}>{size(entry.size)}</span>
      )}
    </li>
  );
}

/** One thing that search found. */
import { Button, Checkbox } from '@mantine/core';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { useChoice } from '../lib/choice.ts';
import type { Found } from '../lib/types.ts';

export function FoundRow({ row }: { row: Found['rows'][number] }): ReactNode {
  const { look, chosen, toggle } = useChoice();
  return (
    <li style={{ display: 'flex', gap: '0.5rem', alignItems: 'center' }}>
      {['file', 'directory'].includes(row.kind) && (
        <Checkbox
          size="xs"
          aria-label={`Choose ${row.name}`}
          checked={chosen.has(row.locator)}
          onChange={() => toggle(row.locator)}
        />
      )}
      <Button
        variant="subtle"
        size="compact-sm"
        onClick={() => look(row.locator)}
        title={row.locator}
        style={{ overflow: 'hidden' }}
      >
        {row.name}
      </Button>
      {row.state !== 'live' && <span className="mark">{row.state}</span>}
      {row.certainty !== null && row.certainty !== 'stated' && <span className="mark">{row.certainty}</span>}
      {row.damage > 0 && <span className="mark wrong">damaged</span>}
      <span style={{ marginLeft: 'auto', fontSize: '0.82rem' }}>{row.size === null ? '' : size(row.size)}</span>
    </li>
  );
}

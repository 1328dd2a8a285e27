/** What the colours of a picture stand for, with how much there is of each: the picture in words. */
import { useComputedColorScheme } from '@mantine/core';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { CLASSES } from '../lib/grades.ts';

export function Legend({ totals }: { totals: Readonly<Record<string, number>> }): ReactNode {
  const scheme = useComputedColorScheme('light');
  return (
    <ul className="legend" aria-label="Legend">
      {CLASSES.map(({ id, label, meaning, ...colours }) => (
        <li key={id} title={meaning}>
          <i style={{ background: colours[scheme] }} />
          {label} {size(Math.round(totals[id] ?? 0))}
        </li>
      ))}
    </ul>
  );
}

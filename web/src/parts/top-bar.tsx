/** The name, what is open, and light or dark. */
import { Button, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Session } from '../lib/types.ts';

export function TopBar({ session }: { session: Session }): ReactNode {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = scheme === 'light' ? 'dark' : 'light';
  return (
    <header className="top">
      <h1 className="brand">Salvor</h1>
      <span className="sources" title={session.sources.join(', ')}>
        {session.sources.length === 0 ? 'no evidence open' : `${session.sources.join(', ')} (read-only)`}
      </span>
      <Button variant="default" size="xs" onClick={() => setColorScheme(other)}>
        {other === 'dark' ? 'Dark' : 'Light'}
      </Button>
    </header>
  );
}

/** What was chosen, to be looked over once more. */
import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { useChoice } from '../lib/choice.ts';

export function ChosenList(): ReactNode {
  const { chosen, toggle, go } = useChoice();
  return (
    <section className="panel" aria-label="What">
      {chosen.size === 0 ? (
        <p style={{ margin: 0 }}>
          Nothing was chosen, so everything that is there will be recovered.{' '}
          <Button size="compact-sm" variant="default" onClick={() => go('browse')}>
            Choose
          </Button>
        </p>
      ) : (
        <ul style={{ margin: 0, paddingLeft: '1.1rem' }} aria-label="Chosen">
          {[...chosen].map((locator) => (
            <li key={locator}>
              <span className="mono">{locator}</span>{' '}
              <Button
                size="compact-xs"
                variant="subtle"
                onClick={() => toggle(locator)}
                aria-label={`remove ${locator}`}
              >
                remove
              </Button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

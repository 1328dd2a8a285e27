/** Chains of snapshots: which disk lies on which, how that is known, and what else could lie there. */
import { Badge, Button, Loader } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import type { Chains } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { Sentences } from './sentences.tsx';

export function ChainView(): ReactNode {
  const { look } = useChoice();
  const { data, error } = useQuery({
    queryKey: ['chains'],
    queryFn: ({ signal }) => get<Chains>('/api/chains', {}, signal),
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Solving chains" />;
  if (data.chains.length === 0) return <p>No virtual disk was found.</p>;
  return data.chains.map((chain) => (
    <section
      key={chain.levels[0].locator}
      className="panel"
      aria-label={`Chain of ${chain.levels[0].locator}`}
      style={{ marginBottom: '0.75rem' }}
    >
      <Badge color={chain.whole ? '#1c6b3c' : '#a11a1a'} mb="xs">
        {chain.whole ? 'whole and sure' : chain.missing > 0 ? `${size(chain.missing)} missing` : 'in doubt'}
      </Badge>
      <ol className="chain">
        {chain.levels.map((level) => (
          <li
            key={level.locator}
            className={level.tie?.how === 'missing' || level.tie?.how === 'loop' ? 'broken' : undefined}
          >
            <Button variant="subtle" size="compact-sm" onClick={() => look(level.locator)}>
              {level.locator.slice(level.locator.lastIndexOf('/') + 1)}
            </Button>
            <div style={{ fontSize: '0.88rem' }}>
              {level.format ?? 'plain sectors'}, {size(level.size)}, {size(level.own)} in it
              {level.users.length > 0 && `; named by ${level.users.join(', ')}`}
            </div>
            {level.tie !== undefined && (
              <div style={{ fontSize: '0.88rem' }}>
                ↓ {level.tie.said}; {level.tie.reasons.join('; ')}
                <ul>
                  {level.tie.offers.map((offer) => (
                    <li key={offer.locator}>
                      {offer.verdict}: <span className="mono">{offer.locator}</span>: {offer.reasons.join('; ')}
                    </li>
                  ))}
                </ul>
              </div>
            )}
          </li>
        ))}
      </ol>
      <Sentences sentences={[...chain.notices.map((text) => ({ text, wrong: true })), ...chain.inside]} />
    </section>
  ));
}

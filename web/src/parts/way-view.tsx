/** The way of one byte through all layers, and what each of them says of it. */
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { get } from '../lib/api.ts';
import type { Way } from '../lib/types.ts';
import { Fault } from './fault.tsx';

export function WayView({ locator, at }: { locator: string; at: number }): ReactNode {
  const { data, error } = useQuery({
    queryKey: ['way', locator, at],
    queryFn: ({ signal }) => get<Way>('/api/way', { locator, at }, signal),
  });
  return (
    <section aria-label="The way of this byte" aria-live="polite" style={{ marginTop: '0.75rem' }}>
      <h4 style={{ margin: '0 0 0.25rem' }}>The way of byte {at}</h4>
      <Fault error={error} />
      <ol className="chain">
        {data?.steps.map((step) => (
          <li key={step.at} className={step.state === 'missing' ? 'broken' : undefined}>
            <span className="mono">{step.at}</span>
            {step.state !== undefined && (
              <div className={step.state === 'missing' ? 'wrong' : undefined}>
                {step.state === 'missing' ? 'missing' : `${step.state}, ${step.certainty}`}
                {step.why !== undefined && ` by ${step.why.what}`}
                {step.why?.at !== undefined && <span className="mono"> at {step.why.at}</span>}
                {step.why?.code !== undefined && ` [${step.why.code}]`}
              </div>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

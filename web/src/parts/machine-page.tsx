/** One machine: what it would be on each platform and why, and ways to use it before anything is copied. */
import { Loader, NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { get } from '../lib/api.ts';
import type { Machine, Plan } from '../lib/types.ts';
import { Facts } from './facts.tsx';
import { Fault } from './fault.tsx';
import { MachineUse } from './machine-use.tsx';
import { MachineWrite } from './machine-write.tsx';
import { Sentences } from './sentences.tsx';

export function MachinePage({ machine }: { machine: Machine }): ReactNode {
  const { config, name } = machine;
  const { data, error } = useQuery({
    queryKey: ['plan', config, name],
    queryFn: ({ signal }) => get<Plan>('/api/plan', { config, name }, signal),
  });
  const [target, setTarget] = useState<string>();
  const top = useRef<HTMLHeadingElement>(null);
  const isThere = data !== undefined;
  // On a narrow screen it stands below all machines.
  useEffect(() => {
    if (isThere) top.current?.scrollIntoView({ block: 'nearest' });
  }, [isThere]);
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Looking into its disks" />;
  const chosen = data.targets.find((one) => one.target === target) ?? data.targets[0];
  return (
    <>
      <h3 ref={top} style={{ marginTop: 0, marginBottom: '0.25rem', overflowWrap: 'anywhere' }}>
        {name}
      </h3>
      <p className="mono" style={{ marginTop: 0 }}>
        {config}
      </p>
      <Sentences sentences={data.notes} />
      <Facts rows={data.guest} />
      <MachineUse machine={machine} hasQemu={data.qemu} />
      <section aria-labelledby="elsewhere" className="standing">
        <h4 id="elsewhere" style={{ margin: '0 0 0.4rem' }}>
          On another platform
        </h4>
        <NativeSelect
          label="Platform"
          data={data.targets.map((one) => ({ value: one.target, label: one.title }))}
          value={chosen.target}
          onChange={(event) => setTarget(event.currentTarget.value)}
        />
        <PlanView plan={chosen} machine={machine} />
      </section>
    </>
  );
}

function PlanView({ plan, machine }: { plan: Plan['targets'][number]; machine: Machine }): ReactNode {
  if (plan.refused !== undefined) return <p className="wrong">! {plan.refused}</p>;
  return (
    <>
      <dl className="reasons">
        {plan.decisions.map(({ what, value, reason }) => (
          <div key={what} style={{ display: 'contents' }}>
            <dt>{what}</dt>
            <dd>
              {value}
              <small>{reason}</small>
            </dd>
          </div>
        ))}
      </dl>
      <h5 style={{ margin: '0.9rem 0 0' }}>To write it</h5>
      <p className="mono" style={{ margin: '0.25rem 0' }}>
        {plan.command}
      </p>
      <p style={{ margin: '0.25rem 0', overflowWrap: 'anywhere' }}>It writes {plan.files.join(', ')}.</p>
      <MachineWrite machine={machine} plan={plan} />
      <Steps title="Then" steps={plan.steps} />
      {plan.later.length > 0 && <Steps title="To move to virtio, once it runs" steps={plan.later} />}
    </>
  );
}

function Steps({ title, steps }: { title: string; steps: readonly string[] }): ReactNode {
  return (
    <>
      <h5 style={{ margin: '0.9rem 0 0' }}>{title}</h5>
      <ol style={{ margin: '0.25rem 0 0', paddingLeft: '1.4rem', overflowWrap: 'anywhere' }}>
        {steps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ol>
    </>
  );
}

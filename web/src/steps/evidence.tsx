/** Step 1: what to look at. */
import { Button, Group, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { post } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import type { Session } from '../lib/types.ts';
import { DeviceList } from '../parts/device-list.tsx';
import { Fault } from '../parts/fault.tsx';
import { FolderBrowser } from '../parts/folder-browser.tsx';

export function Evidence(): ReactNode {
  const { live } = useLive();
  const { go } = useChoice();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [place, setPlace] = useState('');
  const opening = useMutation({
    mutationFn: () => post<Session>('/api/session', { sources: [...chosen], ...(place !== '' && { case: place }) }),
    onSuccess: () => go('diagnosis'),
  });
  const toggle = (path: string): void => {
    const next = new Set(chosen);
    if (!next.delete(path)) next.add(path);
    setChosen(next);
  };
  const session = live?.session;
  if (session === undefined) return null;
  return (
    <>
      <h2>What shall be looked at?</h2>
      <p>
        Choose the disks, LUNs or images that hold what was lost; all members of a spanned datastore together. They are
        only ever read.
      </p>
      {session.state === 'open' && (
        <section className="panel" aria-label="Open evidence" style={{ marginBottom: '1rem' }}>
          <p style={{ marginTop: 0 }}>
            Open now: <strong>{session.sources.join(', ')}</strong>. What is found is kept in{' '}
            <span className="mono">{session.case}</span>.
          </p>
          <Button onClick={() => go('diagnosis')}>Go on to the diagnosis</Button>
        </section>
      )}
      {session.state === 'failed' && session.error !== undefined && <Fault error={new Error(session.error)} />}
      <div className="half">
        <section className="panel" aria-labelledby="devices">
          <h3 id="devices" style={{ marginTop: 0 }}>
            Disks of this machine
          </h3>
          <DeviceList chosen={chosen} onToggle={toggle} />
        </section>
        <section className="panel" aria-labelledby="files">
          <h3 id="files" style={{ marginTop: 0 }}>
            Images and folders
          </h3>
          <FolderBrowser start={session.cwd} chosen={chosen} onToggle={toggle} />
        </section>
      </div>
      <section className="panel" aria-label="Open" style={{ marginTop: '1rem' }}>
        <p style={{ marginTop: 0 }} aria-live="polite">
          {chosen.size === 0 ? 'Nothing is chosen yet.' : `Chosen: ${[...chosen].join(', ')}`}
        </p>
        <Group align="end">
          <TextInput
            label="Case folder"
            description="Where findings are kept; on another disk than the evidence"
            placeholder="NAME.salvor in the working folder"
            value={place}
            onChange={(event) => setPlace(event.currentTarget.value)}
            style={{ flex: 1, minWidth: '14rem' }}
          />
          <Button disabled={chosen.size === 0} loading={opening.isPending} onClick={() => opening.mutate()}>
            Open and diagnose
          </Button>
        </Group>
        <Fault error={opening.error} />
      </section>
    </>
  );
}

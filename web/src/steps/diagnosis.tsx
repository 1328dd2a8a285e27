/** Step 2: what is there, how healthy it is, what to do now and what not. */
import { Alert, Button, Group, Loader, NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { get } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import type { CaseView, Diagnosis, Layer } from '../lib/types.ts';
import { Fault } from '../parts/fault.tsx';
import { LayerView } from '../parts/layer-view.tsx';
import { PictureView } from '../parts/picture-view.tsx';
import { Sentences } from '../parts/sentences.tsx';

export function DiagnosisStep(): ReactNode {
  const { go } = useChoice();
  const { data, error } = useQuery({
    queryKey: ['diagnosis'],
    queryFn: ({ signal }) => get<Diagnosis>('/api/diagnosis', {}, signal),
  });
  const kept = useQuery({ queryKey: ['case'], queryFn: ({ signal }) => get<CaseView>('/api/case', {}, signal) });
  const [drawn, setDrawn] = useState<string>();
  if (error !== null) return <Fault error={error} />;
  if (data === undefined)
    return (
      <>
        <h2>Diagnosis</h2>
        <Loader role="status" aria-label="Looking at the evidence" />
      </>
    );
  const things = data.layers.flatMap(drawable);
  const shown = drawn ?? things[0]?.locator;
  return (
    <>
      <h2>Diagnosis</h2>
      {kept.data?.alarms.map((alarm) => (
        <Alert key={alarm} color="red" title="The evidence changed" mb="md" role="alert">
          {alarm}
        </Alert>
      ))}
      <section className="panel" aria-label="What to do now" style={{ marginBottom: '1rem' }}>
        <Sentences sentences={[...data.advice, ...(kept.data?.notes ?? []).map((text) => ({ text, wrong: false }))]} />
        <Group mt="sm">
          <Button onClick={() => go('browse')} disabled={data.known === 0}>
            Browse and recover
          </Button>
          <Button variant="default" onClick={() => go('scan')}>
            Scan for what is lost
          </Button>
        </Group>
      </section>
      <section className="panel" aria-label="Layers" style={{ marginBottom: '1rem' }}>
        {data.layers.map((layer) => (
          <LayerView key={layer.locator} layer={layer} isTop />
        ))}
      </section>
      {shown !== undefined && (
        <section className="panel" aria-label="Picture" style={{ marginBottom: '1rem' }}>
          <NativeSelect
            label="Picture of"
            data={things.map(({ locator, title }) => ({ value: locator, label: title }))}
            value={shown}
            onChange={(event) => setDrawn(event.currentTarget.value)}
            mb="sm"
          />
          <PictureView key={shown} locator={shown} />
          <p style={{ fontSize: '0.88rem', margin: '0.5rem 0 0' }}>
            This is about the bytes of the disk itself: what no read has failed on yet counts as there. What is right
            and what is damaged in it is said above; each file has a picture of its own in the next steps.
          </p>
        </section>
      )}
    </>
  );
}

/** Layers that have bytes to draw. */
function drawable(layer: Layer): Layer[] {
  const isOne =
    ['evidence', 'partition', 'volume', 'disk'].includes(layer.kind) && !/partition table/.test(layer.title);
  return [...(isOne ? [layer] : []), ...layer.inside.flatMap(drawable)];
}

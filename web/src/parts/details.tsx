/** All that is known of one thing: a preview, its facts, its picture, its bytes. */
import { Button, Group, Loader, Tabs } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { address, get } from '../lib/api.ts';
import { useChoice } from '../lib/choice.ts';
import type { Grades, NodeView } from '../lib/types.ts';
import { PreviewView } from '../previews/preview.tsx';
import { Facts } from './facts.tsx';
import { Fault } from './fault.tsx';
import { HexView } from './hex-view.tsx';
import { PictureView } from './picture-view.tsx';
import { Sentences } from './sentences.tsx';

/** Larger evidence is a disk, and begins with its facts. */
const MAX_SHOWN = 64 * 1024 * 1024;

export function Details({ locator }: { locator: string }): ReactNode {
  const { chosen, toggle } = useChoice();
  const { data, error } = useQuery({
    queryKey: ['node', locator],
    queryFn: ({ signal }) => get<NodeView>('/api/node', { locator }, signal),
  });
  const hasBytes = data !== undefined && !['directory', 'filesystem', 'machine', 'volume'].includes(data.entry.kind);
  const grades = useQuery({
    queryKey: ['grades', locator],
    queryFn: ({ signal }) => get<Grades>('/api/grades', { locator }, signal),
    enabled: hasBytes,
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Loading" />;
  const { entry } = data;
  const isFile =
    entry.kind === 'file' || entry.kind === 'evidence' || entry.kind === 'symlink' || entry.kind === 'system';
  return (
    <>
      <h3 style={{ marginTop: 0, marginBottom: '0.25rem', overflowWrap: 'anywhere' }}>{entry.name}</h3>
      <p className="mono" style={{ marginTop: 0 }}>
        {locator}
      </p>
      <Sentences sentences={data.sentences} />
      {grades.data?.shortfall !== undefined && <p className="wrong">! {grades.data.shortfall}</p>}
      <Group gap="xs" mb="sm">
        {entry.recoverable && (
          <Button size="xs" variant={chosen.has(locator) ? 'default' : 'filled'} onClick={() => toggle(locator)}>
            {chosen.has(locator) ? 'Do not recover it' : 'Choose to recover'}
          </Button>
        )}
        {hasBytes && (
          <Button size="xs" variant="default" component="a" href={address('/api/bytes', { locator })} download>
            {grades.data !== undefined && grades.data.certainty.missing > 0
              ? 'Save its bytes, with zeros for what is missing'
              : 'Save its bytes'}
          </Button>
        )}
      </Group>
      <Tabs
        defaultValue={isFile && (entry.kind !== 'evidence' || (entry.size ?? 0) <= MAX_SHOWN) ? 'preview' : 'facts'}
        keepMounted={false}
      >
        <Tabs.List mb="sm">
          {isFile && <Tabs.Tab value="preview">Preview</Tabs.Tab>}
          <Tabs.Tab value="facts">Facts</Tabs.Tab>
          {hasBytes && <Tabs.Tab value="picture">Picture</Tabs.Tab>}
          {hasBytes && <Tabs.Tab value="bytes">Bytes</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="preview">
          <PreviewView locator={locator} />
        </Tabs.Panel>
        <Tabs.Panel value="facts">
          <Facts rows={[...data.facts, ...(grades.data?.facts ?? [])]} />
        </Tabs.Panel>
        <Tabs.Panel value="picture">
          <PictureView locator={locator} />
        </Tabs.Panel>
        <Tabs.Panel value="bytes">
          <HexView locator={locator} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

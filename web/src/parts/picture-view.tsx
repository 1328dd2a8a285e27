/** The picture of a disk: every stretch in the colour of its state and certainty, down to single sectors. */
import { Button, Group } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get } from '../lib/api.ts';
import { CLASSES } from '../lib/grades.ts';
import type { NodeView, Picture } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { Legend } from './legend.tsx';
import { PictureCanvas } from './picture-canvas.tsx';
import { RunTable } from './run-table.tsx';

/** Parts that are asked for: cells of the picture. */
const CELLS = 1536;
const SECTOR = 512;
const ZOOM = 8;

export function PictureView({ locator }: { locator: string }): ReactNode {
  const [range, setRange] = useState<{ from: number; to: number }>();
  const { data, error } = useQuery({
    queryKey: ['map', locator, range?.from, range?.to],
    queryFn: ({ signal }) => get<Picture>('/api/map', { locator, ...range, buckets: CELLS }, signal),
    placeholderData: keepPreviousData,
  });
  const node = useQuery({
    queryKey: ['node', locator],
    queryFn: ({ signal }) => get<NodeView>('/api/node', { locator }, signal),
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return null;
  const zoom = (at: number, by: number): void => {
    const width = Math.min(data.size, Math.max(SECTOR, (data.to - data.from) * by));
    const from = Math.floor(Math.max(0, Math.min(data.size - width, at - width / 2)) / SECTOR) * SECTOR;
    setRange({ from, to: Math.min(data.size, Math.ceil(from + width)) });
  };
  const move = (share: number): void => zoom((data.from + data.to) / 2 + share * (data.to - data.from), 1);
  const isAll = data.from === 0 && data.to === data.size;
  return (
    <div>
      <PictureCanvas picture={data} regions={node.data?.regions ?? []} onZoom={(at) => zoom(at, 1 / ZOOM)} />
      <Legend totals={totals(data)} />
      <Group gap="xs" mt="sm">
        <Button
          size="xs"
          variant="default"
          onClick={() => zoom((data.from + data.to) / 2, 1 / ZOOM)}
          disabled={data.to - data.from <= SECTOR}
        >
          Zoom in
        </Button>
        <Button size="xs" variant="default" onClick={() => zoom((data.from + data.to) / 2, ZOOM)} disabled={isAll}>
          Zoom out
        </Button>
        <Button size="xs" variant="default" onClick={() => move(-0.5)} disabled={data.from === 0} aria-label="Earlier">
          ←
        </Button>
        <Button
          size="xs"
          variant="default"
          onClick={() => move(0.5)}
          disabled={data.to === data.size}
          aria-label="Later"
        >
          →
        </Button>
        <span style={{ fontSize: '0.85rem' }}>
          bytes {data.from.toLocaleString('en')} to {data.to.toLocaleString('en')} of {size(data.size)}
          {data.counted < data.to && '; what lies behind the last coloured cell was too much to count at once: zoom in'}
        </span>
      </Group>
      <RunTable picture={data} />
    </div>
  );
}

function totals(picture: Picture): Readonly<Record<string, number>> {
  return Object.fromEntries(CLASSES.map(({ id }, i) => [id, picture.buckets.reduce((sum, one) => sum + one[i], 0)]));
}

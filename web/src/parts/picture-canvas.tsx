/** The cells of a disk's picture on a canvas. */
import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { type ReactNode, useEffect, useRef } from 'react';
import { CLASSES, UNKNOWN } from '../lib/grades.ts';
import type { NodeView, Picture } from '../lib/types.ts';

interface Props {
  readonly picture: Picture;
  readonly regions: NodeView['regions'];
  readonly onZoom: (at: number) => void;
}

const CELL = 12;
const GAP = 1;
/** Share of a cell from which on even a little that is missing is drawn: it must not vanish between sound bytes. */
const LEAST = 0.25;

export function PictureCanvas({ picture, regions, onZoom }: Props): ReactNode {
  const scheme = useComputedColorScheme('light');
  const { ref, width } = useElementSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const columns = Math.max(16, Math.floor(width / CELL));
  const rows = Math.ceil(picture.buckets.length / columns);
  useEffect(() => {
    const element = canvas.current;
    if (element === null || width === 0) return;
    const scale = window.devicePixelRatio;
    element.width = columns * CELL * scale;
    element.height = rows * CELL * scale;
    const pen = element.getContext('2d')!;
    pen.scale(scale, scale);
    pen.fillStyle = UNKNOWN[scheme];
    pen.fillRect(0, 0, columns * CELL, rows * CELL);
    picture.buckets.forEach((bucket, i) => {
      cell(pen, bucket, { x: (i % columns) * CELL, y: Math.floor(i / columns) * CELL, scheme });
    });
    bounds(pen, picture, regions, columns);
  }, [picture, regions, columns, rows, scheme, width]);
  const share = (picture.to - picture.from) / picture.buckets.length;
  return (
    <div ref={ref}>
      <canvas
        ref={canvas}
        className="picture"
        role="img"
        aria-label={`Bytes ${picture.from} to ${picture.to} by state and certainty; the legend below has the sums`}
        style={{ width: columns * CELL, maxWidth: '100%' }}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
          const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
          onZoom(picture.from + (row * columns + column + 0.5) * share);
        }}
      />
    </div>
  );
}

function cell(
  pen: CanvasRenderingContext2D,
  bucket: readonly number[],
  at: { x: number; y: number; scheme: 'light' | 'dark' },
): void {
  const total = bucket.reduce((sum, bytes) => sum + bytes, 0);
  if (total === 0) return;
  const side = CELL - GAP;
  let x = at.x;
  // What is worst is drawn last, over the right edge, and never thinner than can be seen.
  const shares = bucket.map((bytes, i) =>
    i === CLASSES.length - 1 && bytes > 0 ? Math.max(LEAST, bytes / total) : bytes / total,
  );
  const sum = shares.reduce((one, other) => one + other, 0);
  shares.forEach((part, i) => {
    if (part === 0) return;
    pen.fillStyle = CLASSES[i][at.scheme];
    pen.fillRect(x, at.y, (side * part) / sum, side);
    x += (side * part) / sum;
  });
}

/** A line where a partition begins. */
function bounds(pen: CanvasRenderingContext2D, picture: Picture, regions: Props['regions'], columns: number): void {
  const share = (picture.to - picture.from) / picture.buckets.length;
  pen.fillStyle = '#111';
  for (const { start } of regions) {
    if (start <= picture.from || start >= picture.to) continue;
    const i = Math.floor((start - picture.from) / share);
    pen.fillRect((i % columns) * CELL - GAP, Math.floor(i / columns) * CELL, 2, CELL - GAP);
  }
}

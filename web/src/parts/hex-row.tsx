/** One row of bytes, coloured where they are less than stated. */
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { get } from '../lib/api.ts';
import { classOf } from '../lib/grades.ts';
import type { Hex } from '../lib/types.ts';

interface Props {
  readonly locator: string;
  readonly offset: number;
  readonly count: number;
  readonly top: number;
  readonly at: number;
  readonly onPoint: (at: number) => void;
}

/** Bytes asked for at once. */
const BLOCK = 4096;

export function HexRow({ locator, offset, count, top, at, onPoint }: Props): ReactNode {
  const from = Math.floor(offset / BLOCK) * BLOCK;
  const { data } = useQuery({
    queryKey: ['hex', locator, from],
    queryFn: async ({ signal }) => decoded(await get<Hex>('/api/hex', { locator, from, length: BLOCK }, signal)),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const cells = Array.from({ length: count }, (_, i) => ({ place: offset + i, ...data?.at(offset + i) }));
  return (
    <div className="row" style={{ top, height: 20 }}>
      <span className="at">{offset.toString(16).padStart(10, '0')}</span>
      <span>
        {cells.map(({ place, value, grade }) => (
          <span
            key={place}
            className={`byte ${grade ?? ''}${place === at ? ' on' : ''}`}
            title={grade}
            onClick={() => onPoint(place)}
          >
            {grade === 'missing' ? '??' : (value?.toString(16).padStart(2, '0') ?? '  ')}
          </span>
        ))}
      </span>
      <span>{cells.map(({ value, grade }) => (grade === 'missing' ? '?' : sign(value))).join('')}</span>
    </div>
  );
}

function sign(value: number | undefined): string {
  if (value === undefined) return ' ';
  return value >= 32 && value < 127 ? String.fromCharCode(value) : '·';
}

interface Block {
  at(place: number): { value: number | undefined; grade: string | undefined };
}

function decoded({ offset, base64, runs }: Hex): Block {
  const text = atob(base64);
  const grades: string[] = [];
  for (const run of runs) {
    const name = classOf(run);
    for (let i = 0; i < run.length; i++) grades[run.offset - offset + i] = name;
  }
  return { at: (place) => ({ value: text.charCodeAt(place - offset), grade: grades[place - offset] }) };
}

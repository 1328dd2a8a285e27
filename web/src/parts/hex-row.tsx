/** One row of bytes, coloured where they are less than stated. */
import type { ReactNode } from 'react';
import { type NamedField, useBlock } from '../lib/hex.ts';

interface Props {
  readonly locator: string;
  readonly offset: number;
  readonly count: number;
  readonly top: number;
  readonly at: number;
  readonly onPoint: (at: number) => void;
}

export function HexRow({ locator, offset, count, top, at, onPoint }: Props): ReactNode {
  const { data } = useBlock(locator, offset);
  const cells = Array.from({ length: count }, (_, i) => ({ place: offset + i, ...data?.at(offset + i) }));
  return (
    <div className="row" style={{ top, height: 20 }}>
      <span className="at">{offset.toString(16).padStart(10, '0')}</span>
      <span>
        {cells.map(({ place, value, grade, field }) => (
          <span
            key={place}
            className={`byte ${grade ?? ''}${marksOf(field, place)}${place === at ? ' on' : ''}`}
            title={field === undefined ? grade : `${field.structure}: ${field.field}`}
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

/** A line under what is named, with a gap behind each field. */
function marksOf(field: NamedField | undefined, place: number): string {
  if (field === undefined) return '';
  const end = place === field.at + field.length - 1 ? ' last' : '';
  return `${field.expected === undefined ? ' named' : ' named illegal'}${end}`;
}

function sign(value: number | undefined): string {
  if (value === undefined) return ' ';
  return value >= 32 && value < 127 ? String.fromCharCode(value) : '·';
}

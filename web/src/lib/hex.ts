/** Bytes of a thing in blocks, with the grade of each and the field that it belongs to. */
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { get } from './api.ts';
import { classOf } from './grades.ts';
import type { Hex } from './types.ts';

/** Bytes asked for at once. */
const BLOCK = 4096;

export type NamedField = Hex['fields'][number];

export interface Cell {
  readonly value: number | undefined;
  readonly grade: string | undefined;
  readonly field: NamedField | undefined;
}

interface Block {
  at(place: number): Cell;
}

/** The block that a byte lies in. */
export function useBlock(locator: string, place: number): UseQueryResult<Block> {
  const from = Math.floor(place / BLOCK) * BLOCK;
  return useQuery({
    queryKey: ['hex', locator, from],
    queryFn: async ({ signal }) => decoded(await get<Hex>('/api/hex', { locator, from, length: BLOCK }, signal)),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

function decoded({ offset, base64, runs, fields }: Hex): Block {
  const text = atob(base64);
  const grades: string[] = [];
  for (const run of runs) {
    const name = classOf(run);
    for (let i = 0; i < run.length; i++) grades[run.offset - offset + i] = name;
  }
  // The shortest that covers a byte says most of it: fields of an entry inside the field that holds all entries.
  const names: NamedField[] = [];
  for (const field of [...fields].sort((a, b) => b.length - a.length)) {
    const end = Math.min(field.at + field.length - offset, BLOCK);
    for (let i = Math.max(0, field.at - offset); i < end; i++) names[i] = field;
  }
  return {
    at: (place) => {
      const i = place - offset;
      return { value: i < text.length ? text.charCodeAt(i) : undefined, grade: grades[i], field: names[i] };
    },
  };
}

/** Search over everything that was listed, page by page. */
import { Button, Group } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useInfiniteQuery, useMutation } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { get, post } from '../lib/api.ts';
import { useLive } from '../lib/live.ts';
import { NO_TESTS, queryOf } from '../lib/tests.ts';
import type { Found, Job } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { FoundRow } from './found-row.tsx';
import { JobProgress } from './job-progress.tsx';
import { SearchForm } from './search-form.tsx';

/** So many are a page; an answer with fewer ran out of time, and is gone on with. */
const PAGE = 200;
const PAUSE_MS = 120;

export function Search(): ReactNode {
  const [tests, setTests] = useState(NO_TESTS);
  const [asked] = useDebouncedValue(tests, PAUSE_MS);
  const found = useInfiniteQuery({
    queryKey: ['search', asked],
    queryFn: ({ signal, pageParam }) => get<Found>('/api/search', { ...queryOf(asked), after: pageParam }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  });
  const { data, error, hasNextPage, isFetching, fetchNextPage, isPlaceholderData } = found;
  const rows = data?.pages.flatMap((page) => page.rows) ?? [];
  const [wanted, setWanted] = useState(PAGE);
  useEffect(() => setWanted(PAGE), [asked]);
  // A page that failed is asked for again by a person, not by the screen.
  const isShort = rows.length < wanted && hasNextPage && error === null;
  useEffect(() => {
    if (isShort && !isFetching) void fetchNextPage();
  }, [isShort, isFetching, fetchNextPage]);
  const more = (): void => {
    setWanted(rows.length + PAGE);
    if (error !== null) void fetchNextPage();
  };
  const first = data?.pages[0];
  const last = data?.pages[data.pages.length - 1];
  return (
    <div>
      <SearchForm tests={tests} onChange={setTests} />
      <Fault error={error} />
      {first !== undefined && <Listing found={first} />}
      <p className="said" aria-live="polite" data-found={isPlaceholderData || isShort ? undefined : asked.text}>
        {first === undefined || last === undefined ? '' : countOf(first, rows.length, last)}
      </p>
      <ul
        className="rows"
        aria-label="Found"
        style={{ maxHeight: 420, listStyle: 'none', padding: '0.4rem', margin: 0 }}
      >
        {rows.map((row) => (
          <FoundRow key={row.locator} row={row} />
        ))}
        {rows.length === 0 && !isShort && error === null && <li>Nothing passes these tests.</li>}
      </ul>
      {hasNextPage && !isShort && (
        <Button size="xs" variant="default" mt="xs" loading={isFetching} onClick={more}>
          {error === null ? 'Show more' : 'Try again'}
        </Button>
      )}
    </div>
  );
}

/** How many there are, as far as that is known. */
function countOf(first: Found, shown: number, last: Found): string {
  const number = (value: number): string => value.toLocaleString('en');
  if (last.next === undefined) return `${number(shown)} found.`;
  if (first.counted === true) return `${number(first.count ?? shown)} found; ${number(shown)} are shown.`;
  const least = Math.max(first.count ?? 0, shown);
  const looked = shown < PAGE ? `, ${Math.round(last.looked * 100)} % looked through` : '';
  return `At least ${number(least)} found${looked}; ${number(shown)} are shown.`;
}

/** What was listed by name so far, and a way to list it. */
function Listing({ found }: { found: Found }): ReactNode {
  const { live } = useLive();
  const listing = useMutation({ mutationFn: () => post<Job>('/api/jobs', { job: { kind: 'list', options: {} } }) });
  const jobs = (live?.jobs ?? []).filter((job) => job.kind === 'list');
  const job = jobs[jobs.length - 1];
  if (job?.state === 'running' || job?.state === 'stopping') return <JobProgress job={job} />;
  if (found.complete) return <Fault error={listing.error} />;
  return (
    <Group gap="xs" my="xs">
      <Fault error={listing.error} />
      <span>
        {found.listed === 0
          ? 'Nothing is listed by name yet.'
          : `Only ${found.listed.toLocaleString('en')} things are listed so far.`}
      </span>
      <Button size="compact-sm" onClick={() => listing.mutate()}>
        List everything
      </Button>
    </Group>
  );
}

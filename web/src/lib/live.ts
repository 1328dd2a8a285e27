/** The state of the server as it changes: one stream of events for the whole page. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { get } from './api.ts';
import type { Job, Session } from './types.ts';

export interface Live {
  readonly session: Session;
  readonly jobs: readonly Job[];
}

const LIVE = ['live'];

async function first(): Promise<Live> {
  const [session, { jobs }] = await Promise.all([get<Session>('/api/session'), get<{ jobs: Job[] }>('/api/jobs')]);
  return { session, jobs };
}

/** The session and all jobs, kept up to date. */
export function useLive(): { live: Live | undefined; error: Error | null } {
  const { data, error } = useQuery({
    queryKey: LIVE,
    queryFn: first,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return { live: data, error };
}

/** Listens for as long as the page is open; what was asked of other evidence is forgotten. */
export function useEvents(isOn: boolean): void {
  const client = useQueryClient();
  useEffect(() => {
    if (!isOn) return undefined;
    const source = new EventSource('/api/events');
    let before = '';
    source.addEventListener('state', (event: MessageEvent<string>) => {
      const live = JSON.parse(event.data) as Live;
      client.setQueryData(LIVE, live);
      const done = live.jobs.filter((job) => !['running', 'stopping'].includes(job.state)).length;
      const now = JSON.stringify([live.session.sources, live.session.state, live.session.crashes, done]);
      if (now === before) return;
      const isFirst = before === '';
      before = now;
      if (!isFirst) void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== LIVE[0] });
    });
    return () => source.close();
  }, [isOn, client]);
}

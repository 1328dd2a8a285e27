/** What can be shown of a thing before it is recovered. Nothing of it runs. */
import { Loader, NativeSelect } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, type ReactNode, Suspense, useState } from 'react';
import { address, get } from '../lib/api.ts';
import type { Preview } from '../lib/types.ts';
import { Fault } from '../parts/fault.tsx';
import { HexView } from '../parts/hex-view.tsx';
import { ArchiveList } from './archive-list.tsx';
import { ENCODINGS } from './encodings.ts';
import { MailView } from './mail-view.tsx';
import { MediaView } from './media-view.tsx';

const RegistryView = lazy(async () => ({ default: (await import('./registry-view.tsx')).RegistryView }));
const PdfView = lazy(async () => ({ default: (await import('./pdf-view.tsx')).PdfView }));
const SqliteView = lazy(async () => ({ default: (await import('./sqlite-view.tsx')).SqliteView }));

export function PreviewView({ locator }: { locator: string }): ReactNode {
  const [encoding, setEncoding] = useState<string>();
  const { data, error } = useQuery({
    queryKey: ['preview', locator, encoding],
    queryFn: ({ signal }) => get<Preview>('/api/preview', { locator, encoding }, signal),
    placeholderData: keepPreviousData,
  });
  if (error !== null) return <Fault error={error} />;
  if (data === undefined) return <Loader role="status" size="sm" aria-label="Loading the preview" />;
  return (
    <div data-preview={data.kind}>
      {data.notes.map((note) => (
        <p key={note} className="wrong">
          ! {note}
        </p>
      ))}
      <Suspense fallback={<Loader role="status" size="sm" aria-label="Loading the preview" />}>
        {shown(locator, data, setEncoding)}
      </Suspense>
    </div>
  );
}

function shown(locator: string, data: Preview, read: (encoding: string) => void): ReactNode {
  if (data.kind === 'text')
    return (
      <>
        {ENCODINGS.includes(data.encoding as never) ? (
          <NativeSelect
            size="xs"
            mb="xs"
            label="Encoding"
            data={[...ENCODINGS]}
            value={data.encoding}
            onChange={(event) => read(event.currentTarget.value)}
            style={{ maxWidth: '12rem' }}
          />
        ) : (
          <p style={{ marginTop: 0, fontSize: '0.85rem' }}>{data.encoding}</p>
        )}
        <pre className="text" tabIndex={0}>
          {data.text}
        </pre>
        {data.members !== undefined && <ArchiveList members={data.members} />}
      </>
    );
  if (data.kind === 'picture' || data.kind === 'audio' || data.kind === 'video')
    return <MediaView kind={data.kind} from={address('/api/media', { locator })} />;
  if (data.kind === 'pdf') return <PdfView locator={locator} size={data.size} />;
  if (data.kind === 'sqlite') return <SqliteView locator={locator} size={data.size} />;
  if (data.kind === 'registry') return <RegistryView locator={locator} />;
  if (data.kind === 'mail') return <MailView mails={data.mails ?? []} />;
  if (data.kind === 'archive') return <ArchiveList members={data.members ?? []} />;
  return data.size === 0 ? null : <HexView locator={locator} />;
}

/** What a recovery will take and give, before anything is written. */
import { Alert } from '@mantine/core';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { Facts } from './facts.tsx';

export interface EstimateData {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly bytesOnDisk: number;
  readonly gapsBytes: number;
  readonly machines: readonly string[];
  readonly availability: readonly { machine: string; bytes: number; missing: number; absent: readonly string[] }[];
  readonly freeBytes: number;
  readonly presentBytes: number;
}

export function EstimateView({ estimate }: { estimate: EstimateData | null }): ReactNode {
  if (estimate === null) return <p>This folder holds the finished recovery already; it will only be checked.</p>;
  const needed = Math.max(0, estimate.bytesOnDisk - estimate.presentBytes);
  const rows: [string, string][] = [
    ['files', `${estimate.files} in ${estimate.directories} folders`],
    ['size', size(estimate.bytes)],
    ['on disk', `${size(estimate.bytesOnDisk)}; holes take no room`],
    ['there already', size(estimate.presentBytes)],
    ['free', size(estimate.freeBytes)],
    ['machines', estimate.machines.join(', ') || 'none'],
    ['known to be missing', size(estimate.gapsBytes)],
  ];
  return (
    <section aria-label="Estimate" style={{ marginTop: '1rem' }}>
      <Facts rows={rows} />
      {estimate.availability.map((one) => (
        <p key={one.machine} className="wrong">
          ! Machine "{one.machine}": {size(one.missing)} of {size(one.bytes)} are missing. {one.absent.join('; ')}
        </p>
      ))}
      {needed > estimate.freeBytes && (
        <Alert color="red" title="There is not enough room" role="alert" mt="sm">
          {size(needed)} are needed and {size(estimate.freeBytes)} are free. Choose another folder or less.
        </Alert>
      )}
    </section>
  );
}

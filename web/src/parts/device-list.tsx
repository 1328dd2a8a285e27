/** Block devices of this machine, to choose from. */
import { Checkbox, Loader, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import { get } from '../lib/api.ts';
import type { Devices } from '../lib/types.ts';
import { Fault } from './fault.tsx';

interface Props {
  readonly chosen: ReadonlySet<string>;
  readonly onToggle: (path: string) => void;
}

export function DeviceList({ chosen, onToggle }: Props): ReactNode {
  const { data, error, isPending } = useQuery({
    queryKey: ['devices'],
    queryFn: ({ signal }) => get<Devices>('/api/host/devices', {}, signal),
  });
  if (isPending) return <Loader role="status" size="sm" aria-label="Looking at devices" />;
  if (data === undefined) return <Fault error={error} />;
  if (data.devices.length === 0)
    return <Text size="sm">This machine shows no block devices. Choose a file below.</Text>;
  return data.devices.map((device) => (
    <Checkbox
      key={device.path}
      mb="xs"
      checked={chosen.has(device.path)}
      onChange={() => onToggle(device.path)}
      label={[device.path, size(device.size), device.model, device.serial].filter(Boolean).join(', ')}
      description={[device.warning, device.unseen, ...device.contents].filter(Boolean).join('; ')}
    />
  ));
}

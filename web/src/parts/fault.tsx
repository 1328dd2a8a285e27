/** A fault as a sentence, where the thing would stand that could not be had. */
import { Alert } from '@mantine/core';
import type { ReactNode } from 'react';

export function Fault({ error }: { error: Error | null }): ReactNode {
  if (error === null) return null;
  return (
    <Alert color="red" title="This did not work" role="alert" my="sm">
      {error.message}
    </Alert>
  );
}

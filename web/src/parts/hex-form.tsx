/** Where to go in the bytes of a thing. */
import { Button, Group, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';

interface Props {
  readonly at: number;
  /** Where the window of bytes begins, and how many it has. */
  readonly base: number;
  readonly step: number;
  readonly size: number;
  readonly onGo: (at: number) => void;
}

export function HexForm({ at, base, step, size, onGo }: Props): ReactNode {
  const [typed, setTyped] = useState(String(at));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onGo(Number(typed.trim()));
      }}
    >
      <Group gap="xs" align="end" mb="xs">
        <TextInput
          label="Byte"
          description="decimal, or 0x…"
          size="xs"
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <Button type="submit" size="xs" variant="default">
          Go
        </Button>
        <Button size="xs" variant="default" disabled={base === 0} onClick={() => onGo(base - step)}>
          Earlier
        </Button>
        <Button size="xs" variant="default" disabled={base + step >= size} onClick={() => onGo(base + step)}>
          Later
        </Button>
      </Group>
    </form>
  );
}

/** Where a recovery goes, and what stands in its gaps. */
import { Checkbox, Group, NativeSelect, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';

export interface RecoverFields {
  readonly out: string;
  readonly deep: boolean;
  readonly sha256: boolean;
  readonly fill: string;
}

interface Props {
  readonly form: RecoverFields;
  /** Something that was deleted is chosen, so that it is looked for in any case. */
  readonly isGone: boolean;
  readonly onChange: (part: Partial<RecoverFields>) => void;
}

const FILLS = [
  { value: 'zero', label: 'zeros' },
  { value: 'pattern', label: 'a pattern that can be recognised' },
  { value: 'skip', label: 'holes' },
];

export function RecoverForm({ form, isGone, onChange }: Props): ReactNode {
  return (
    <>
      <TextInput
        label="Folder to write to"
        description="On another disk than the evidence; nothing that is there is ever overwritten"
        placeholder="/mnt/rescue"
        value={form.out}
        onChange={(event) => onChange({ out: event.currentTarget.value })}
      />
      <Group mt="sm" align="end">
        <NativeSelect
          label="What stands in gaps"
          data={FILLS}
          value={form.fill}
          onChange={(event) => onChange({ fill: event.currentTarget.value })}
        />
        <Checkbox
          label="SHA-256 of large files, too"
          checked={form.sha256}
          onChange={(event) => onChange({ sha256: event.currentTarget.checked })}
        />
        <Checkbox
          label="also what was deleted"
          checked={form.deep || isGone}
          disabled={isGone}
          onChange={(event) => onChange({ deep: event.currentTarget.checked })}
        />
      </Group>
    </>
  );
}

/** What is searched for: a part of a name, and tests beside it. */
import { Checkbox, NativeSelect, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { CERTAINTIES, KINDS, STATES, sizeOf, type Tests } from '../lib/tests.ts';

interface Props {
  readonly tests: Tests;
  readonly onChange: (tests: Tests) => void;
}

export function SearchForm({ tests, onChange }: Props): ReactNode {
  const choice = (label: string, name: 'kind' | 'state' | 'certainty', data: typeof KINDS): ReactNode => (
    <NativeSelect
      size="xs"
      label={label}
      data={data}
      value={tests[name]}
      onChange={(event) => onChange({ ...tests, [name]: event.currentTarget.value })}
    />
  );
  const size = (label: string, name: 'larger' | 'smaller'): ReactNode => (
    <TextInput
      size="xs"
      label={label}
      placeholder="64M, 1GiB"
      value={tests[name]}
      error={tests[name] !== '' && Number.isNaN(sizeOf(tests[name])) ? 'Like 4096, 64M or 1GiB.' : undefined}
      onChange={(event) => onChange({ ...tests, [name]: event.currentTarget.value })}
    />
  );
  const day = (label: string, name: 'newer' | 'older'): ReactNode => (
    <TextInput
      size="xs"
      type="date"
      label={label}
      value={tests[name]}
      onChange={(event) => onChange({ ...tests, [name]: event.currentTarget.value })}
    />
  );
  return (
    <search>
      <TextInput
        label="Part of a name"
        description="With a slash, of a path: web01/web01.vmx, or web01/ for everything below it"
        value={tests.text}
        onChange={(event) => onChange({ ...tests, text: event.currentTarget.value })}
      />
      <div className="tests">
        {choice('Kind', 'kind', KINDS)}
        {choice('State', 'state', STATES)}
        {choice('Certainty', 'certainty', CERTAINTIES)}
        {size('At least', 'larger')}
        {size('At most', 'smaller')}
        {day('Modified from', 'newer')}
        {day('Modified until', 'older')}
        <Checkbox
          label="damaged only"
          checked={tests.damaged}
          onChange={(event) => onChange({ ...tests, damaged: event.currentTarget.checked })}
        />
      </div>
    </search>
  );
}

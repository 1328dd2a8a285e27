/** The field of a structure that a byte belongs to. */
import type { ReactNode } from 'react';
import { useBlock } from '../lib/hex.ts';

export function FieldView({ locator, at }: { locator: string; at: number }): ReactNode {
  const { data } = useBlock(locator, at);
  const field = data?.at(at).field;
  return (
    <section
      aria-label="What this byte is"
      aria-live="polite"
      style={{ marginTop: '0.75rem' }}
      data-field={field?.field}
    >
      {field === undefined ? (
        <p className="said">No structure is known to lie here.</p>
      ) : (
        <>
          <h4 style={{ margin: '0 0 0.25rem' }}>
            {field.field} of {field.structure}
          </h4>
          <p className="mono" style={{ margin: 0 }}>
            {field.value}
          </p>
          <p className={field.expected === undefined ? 'said' : 'said wrong'}>
            {field.length === 1 ? `Byte ${field.at}` : `Bytes ${field.at} to ${field.at + field.length - 1}`}
            {field.expected === undefined ? '.' : `; legal is ${field.expected}.`}
          </p>
        </>
      )}
    </section>
  );
}

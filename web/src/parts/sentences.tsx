/** Sentences about a thing, with what is wrong marked in words and colour. */
import type { ReactNode } from 'react';
import type { Sentence } from '../lib/types.ts';

export function Sentences({ sentences }: { sentences: readonly Sentence[] }): ReactNode {
  return sentences.map(({ text, wrong }) => (
    <p key={text} className={wrong ? 'wrong' : undefined} style={{ margin: '0.25rem 0', overflowWrap: 'anywhere' }}>
      {wrong && <strong>! </strong>}
      {text}
    </p>
  ));
}

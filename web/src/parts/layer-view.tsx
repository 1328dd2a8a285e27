/** One layer of the evidence with what is said of it, and what is inside it. */
import { Badge } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Layer } from '../lib/types.ts';
import { Sentences } from './sentences.tsx';

const COLOURS = { sound: '#1c6b3c', damaged: '#a11a1a', unknown: '#495057' } as const;

export function LayerView({ layer, isTop = false }: { layer: Layer; isTop?: boolean }): ReactNode {
  return (
    <div className={`layer${isTop ? ' top-layer' : ''}`}>
      <div style={{ display: 'flex', gap: '0.6rem', alignItems: 'baseline', flexWrap: 'wrap' }}>
        <strong style={{ overflowWrap: 'anywhere' }}>{layer.title}</strong>
        {/* Evidence was only read: whether it is sound is said of what is in it. */}
        {(layer.kind !== 'evidence' || layer.health !== 'sound') && (
          <Badge size="sm" variant="filled" color={COLOURS[layer.health]}>
            {layer.health}
          </Badge>
        )}
      </div>
      <Sentences sentences={layer.sentences} />
      {layer.inside.map((inner) => (
        <LayerView key={inner.locator} layer={inner} />
      ))}
    </div>
  );
}

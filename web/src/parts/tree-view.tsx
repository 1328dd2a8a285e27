/** The tree: only the rows that are seen are drawn, however many there are. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { useChoice } from '../lib/choice.ts';
import type { TreeRow } from '../lib/rows.ts';
import type { Tree } from '../lib/tree.ts';
import { TreeRowView } from './tree-row.tsx';

const HEIGHT = 30;
const GRID = { estimateSize: () => HEIGHT, overscan: 12 };
/** Rows that a key moves by. */
const MOVES: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 15,
  PageUp: -15,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

export function TreeView({ tree, height }: { tree: Tree; height: number }): ReactNode {
  const { rows } = tree;
  const { chosen, toggle, look, current } = useChoice();
  const [active, setActive] = useState(0);
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    ...GRID,
  });
  const items = virtual.getVirtualItems();
  useLoading(
    items.map(({ index }) => rows[index]?.more).filter((more) => more !== undefined),
    tree.load,
  );
  const move = (to: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setActive(next);
    virtual.scrollToIndex(next);
    const entry = rows[next]?.entry;
    if (entry !== undefined) look(entry.locator);
  };
  const actionOf = (key: string): (() => void) | undefined => {
    const row = rows[active];
    const entry = row?.entry;
    if (Object.hasOwn(MOVES, key)) return () => move(active + MOVES[key]);
    if (key === ' ') return () => entry?.recoverable === true && toggle(entry.locator);
    const isOpening = key === 'ArrowRight' && entry?.expandable === true && !row.isOpen;
    const isClosing = key === 'ArrowLeft' && row?.isOpen === true;
    if (entry !== undefined && (isOpening || isClosing)) return () => tree.toggle(active);
    if (key === 'ArrowRight') return () => move(active + 1);
    return key === 'ArrowLeft' ? () => move(parentOf(rows, active)) : undefined;
  };
  const pressed = (event: KeyboardEvent): void => {
    const action = actionOf(event.key);
    if (action === undefined || event.target !== event.currentTarget) return;
    event.preventDefault();
    action();
  };
  return (
    <div
      ref={box}
      className="rows"
      style={{ height }}
      role="tree"
      aria-label="Everything in the evidence"
      aria-multiselectable="true"
      tabIndex={0}
      aria-activedescendant={rows[active] === undefined ? undefined : `${id}-${active}`}
      onKeyDown={pressed}
    >
      <div role="none" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {items.map(({ index, start, key }) => (
          <TreeRowView
            key={key}
            id={`${id}-${index}`}
            row={rows[index]}
            top={start}
            height={HEIGHT}
            isCurrent={rows[index].entry !== undefined && rows[index].entry.locator === current}
            isChosen={chosen.has(rows[index].entry?.locator ?? '')}
            onLook={() => move(index)}
            onOpen={() => tree.toggle(index)}
            onChoose={() => toggle(rows[index].entry!.locator)}
          />
        ))}
      </div>
    </div>
  );
}

function parentOf(rows: readonly TreeRow[], index: number): number {
  const { depth } = rows[index] ?? { depth: 0 };
  for (let i = index - 1; i >= 0; i--) if (rows[i].depth < depth) return i;
  return index;
}

/** Asks for what stands behind rows that are seen and not loaded yet. */
function useLoading(parents: readonly string[], load: (parent: string) => void): void {
  useEffect(() => {
    for (const parent of parents) load(parent);
  }, [parents, load]);
}

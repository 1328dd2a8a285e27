/** The tree: only the rows that are seen are drawn, however many there are. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { useChoice } from '../lib/choice.ts';
import type { Tree, TreeRow } from '../lib/tree.ts';
import { TreeRowView } from './tree-row.tsx';

const HEIGHT = 30;

export function TreeView({ tree, height }: { tree: Tree; height: number }): ReactNode {
  const { rows } = tree;
  const { chosen, toggle, look, current } = useChoice();
  const [active, setActive] = useState(0);
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => HEIGHT,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const { load } = tree;
  useEffect(() => {
    for (const { index } of items) {
      const more = rows[index]?.more;
      if (more !== undefined) load(more);
    }
  }, [items, rows, load]);
  const move = (to: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setActive(next);
    virtual.scrollToIndex(next);
    const entry = rows[next]?.entry;
    if (entry !== undefined) look(entry.locator);
  };
  const pressed = (event: KeyboardEvent): void => {
    const row = rows[active];
    const entry = row?.entry;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowDown: () => move(active + 1),
      ArrowUp: () => move(active - 1),
      PageDown: () => move(active + 15),
      PageUp: () => move(active - 15),
      Home: () => move(0),
      End: () => move(rows.length - 1),
      ArrowRight: () => (entry?.expandable === true && !row.isOpen ? tree.toggle(entry.locator) : move(active + 1)),
      ArrowLeft: () => (row?.isOpen && entry !== undefined ? tree.toggle(entry.locator) : move(parentOf(rows, active))),
      ' ': () => entry?.recoverable === true && toggle(entry.locator),
    };
    const action = actions[event.key];
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
            onOpen={() => tree.toggle(rows[index].entry!.locator)}
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
